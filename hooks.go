package moq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Hooks are functions of the program's that a [Reconnect] asks or tells. All are
// optional.
//
// Each call runs on a goroutine of its own, so a hook may call any method, Close
// included. A panic is recovered and is that call's error. A call that outlives its
// context by 1 s is abandoned: its goroutine is left to itself.
type Hooks struct {
	// Credentials returns the token for one attempt, which is sent as ?jwt= in place of
	// the one in the URL. It is asked before each attempt, and the attempt's time goes
	// on meanwhile. An error is a failed attempt. [Client.Connect] asks too.
	Credentials func(ctx context.Context, a Attempt) (Credential, error)
	// Classify says what a failure calls for. It has 1 s; without an answer, and by
	// default, that is [DefaultClassify].
	Classify func(err error) Action
	// Observe hears of everything that happens, in order, one call at a time. What a slow
	// one misses is counted in [Event].Dropped. When the Reconnect ends, it has 1 s to
	// hear the rest.
	Observe func(Event)
}

// Credential is what a relay wants to see. However it is printed, it does not show the
// token.
type Credential struct {
	Token string
	// Expires is when the relay will not take the token any more. The session is then
	// replaced in the last fifth of the token's life. Zero: it does not expire.
	Expires time.Time
}

// String hides the token.
func (c Credential) String() string {
	token := "(hidden)"
	if c.Token == "" {
		token = "(none)"
	}
	if c.Expires.IsZero() {
		return "token " + token
	}
	return "token " + token + " until " + c.Expires.Format(time.RFC3339)
}

// GoString is String, for %#v.
func (c Credential) GoString() string { return c.String() }

// Format writes String, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// LogValue is String, for slog.
func (c Credential) LogValue() slog.Value { return slog.StringValue(c.String()) }

// MarshalText is String: a token is not written by accident.
func (c Credential) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Attempt is what a credential is wanted for. However it is printed, it shows no more of
// the URL than scheme, host and port.
type Attempt struct {
	Number     int      // 1 for the first of an outage
	Generation uint64   // of the session that it would become
	URL        *url.URL // as given to Reconnect; a copy
	Rejected   bool     // the last credential that was shown was refused
	LastErr    error    // why the last attempt or session ended; nil at first
}

// String tells what the attempt is, without path, query and user info.
func (a Attempt) String() string {
	where := ""
	if a.URL != nil {
		where = " of " + a.URL.Scheme + "://" + a.URL.Host
	}
	s := fmt.Sprintf("attempt %d%s", a.Number, where)
	if a.Rejected {
		s += ", after a refusal"
	}
	if a.LastErr != nil {
		s += fmt.Sprintf(" (%v)", a.LastErr)
	}
	return s
}

// GoString is String, for %#v.
func (a Attempt) GoString() string { return a.String() }

// Format writes String, whatever the verb.
func (a Attempt) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, a.String()) }

// LogValue is String, for slog.
func (a Attempt) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalText is String.
func (a Attempt) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// PanicError is the panic of a hook. Its value is not kept: it may hold anything.
type PanicError struct {
	Hook  string // the field of Hooks
	Stack []byte
}

var _ error = (*PanicError)(nil)

// Error implements error.
func (e *PanicError) Error() string { return "moq: hook " + e.Hook + " panicked" }

// hookGrace is how long a hook may outlive its context.
const hookGrace = time.Second

var (
	errAbandoned = errors.New("did not return in time")
	errGoexit    = errors.New("ended its goroutine")
)

// caller calls hooks.
type caller struct {
	abandoned atomic.Uint64 // calls whose goroutines were left to themselves
	panicked  atomic.Uint64
}

// call runs a hook on a goroutine of its own, and returns its result, its panic as an
// error, or errAbandoned if it outlives ctx by hookGrace.
func call[T any](ctx context.Context, c *caller, name string, hook func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	answers := make(chan answer, 1)
	go func() { // waited for below, unless it is abandoned: it is the program's code
		a := answer{err: fmt.Errorf("moq: hook %s %w", name, errGoexit)}
		defer func() {
			if recover() != nil {
				c.panicked.Add(1)
				a.err = &PanicError{Hook: name, Stack: debug.Stack()}
			}
			answers <- a
		}()
		a.value, a.err = hook(ctx)
	}()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-ctx.Done():
	}
	grace := time.NewTimer(hookGrace)
	defer grace.Stop()
	select {
	case a := <-answers:
		return a.value, a.err
	case <-grace.C:
		c.abandoned.Add(1)
		var none T
		return none, fmt.Errorf("moq: hook %s %w: %w", name, errAbandoned, context.Cause(ctx))
	}
}
