package moqerr

import (
	"errors"
	"fmt"
	"time"
)

// Sentinels, matched with [errors.Is].
var (
	// ErrGaveUp is the reason of a [StopError] whose give-up time ran out.
	ErrGaveUp = errors.New("moq: gave up")
	// ErrRefused matches a rejected credential in every form that relays give it:
	// HTTP 401 and 403, the session close codes for "unauthorized", and the
	// [StopError] that follows.
	ErrRefused = errors.New("moq: refused")
	// ErrStopped is the reason of a [StopError] after a failure that no new try can
	// mend: a malformed URL, a status that is final.
	ErrStopped = errors.New("moq: stopped")
	// ErrClosed is returned by what was used after its Close.
	ErrClosed = errors.New("moq: closed")
	// ErrDuplicate is returned for a broadcast, track or group that exists already.
	ErrDuplicate = errors.New("moq: duplicate")
	// ErrTooOld is returned for a group below what the cache still keeps.
	ErrTooOld = errors.New("moq: too old")
)

// SessionError is the end of a session, with the code and reason that one of the
// two sides gave for it.
type SessionError struct {
	Code   SessionCode
	Remote bool   // the peer closed it
	Reason string // the closing side's own words; may be empty

	// Legacy says that the session spoke lite-05 or older, where code 6 may mean
	// "unauthorized" (moq-lite.md §5).
	Legacy bool
}

var _ error = (*SessionError)(nil)

// Error implements error.
func (e *SessionError) Error() string {
	s := fmt.Sprintf("moq: session closed by %s: %s (%d)", side(e.Remote), e.Code, uint64(e.Code))
	if e.Reason != "" {
		s += fmt.Sprintf(": %q", e.Reason)
	}
	return s
}

// Is reports a match with [ErrRefused] if the peer rejected the credential.
func (e *SessionError) Is(target error) bool {
	if target != ErrRefused || !e.Remote {
		return false
	}
	return e.Code == SessionUnauthorized || e.Legacy && e.Code == SessionParameters || refusal(e.Code.Status())
}

// StreamError is the abrupt end of one stream: a group, a subscription, a request.
type StreamError struct {
	Code   StreamCode
	Remote bool // the peer reset it, or asked to stop
}

var _ error = (*StreamError)(nil)

// Error implements error.
func (e *StreamError) Error() string {
	return fmt.Sprintf("moq: stream reset by %s: %s (0x%x)", side(e.Remote), e.Code, uint64(e.Code))
}

// Is reports a match with another *StreamError of the same code, whichever side
// it came from, so that errors.Is(err, &StreamError{Code: StreamNotFound}) works.
func (e *StreamError) Is(target error) bool {
	t, ok := target.(*StreamError)
	return ok && t.Code == e.Code
}

// StatusError is an HTTP status other than 2xx in answer to a dial.
type StatusError struct {
	Status     int
	RetryAfter time.Duration // what the server asked for; 0 if it did not
}

var _ error = (*StatusError)(nil)

// Error implements error.
func (e *StatusError) Error() string {
	return fmt.Sprintf("moq: server answered with status %d", e.Status)
}

// Is reports a match with [ErrRefused] for 401 and 403.
func (e *StatusError) Is(target error) bool { return target == ErrRefused && refusal(e.Status) }

func refusal(status int) bool {
	return status == 401 || status == 403
}

// ConfigError is a setting that cannot be used, named by its field.
type ConfigError struct {
	Field string
	Err   error
}

var _ error = (*ConfigError)(nil)

// Error implements error.
func (e *ConfigError) Error() string { return "moq: " + e.Field + ": " + e.Err.Error() }

// Unwrap returns what is wrong with the field.
func (e *ConfigError) Unwrap() error { return e.Err }

// StopError is the end of a supervisor that will not try again by itself.
type StopError struct {
	Reason   error         // ErrGaveUp, ErrRefused or ErrStopped
	First    error         // the first failure of the outage that ended it
	Last     error         // the last one
	Attempts int           // failures in that outage
	Down     time.Duration // how long it had lasted
}

var _ error = (*StopError)(nil)

// Error implements error.
func (e *StopError) Error() string {
	s := fmt.Sprintf("%v after %d attempts in %v", e.Reason, e.Attempts, e.Down.Round(time.Millisecond))
	if e.Last != nil {
		s += ": " + e.Last.Error()
	}
	if e.First != nil && e.Last != nil && e.First.Error() != e.Last.Error() {
		s += " (first: " + e.First.Error() + ")"
	}
	return s
}

// Unwrap returns the reason and both causes.
func (e *StopError) Unwrap() []error {
	var all []error
	for _, err := range []error{e.Reason, e.First, e.Last} {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

func side(remote bool) string {
	if remote {
		return "peer"
	}
	return "us"
}
