package moq

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/internal/transport"
)

// Action is what a failed attempt, or the end of a session, calls for.
type Action uint8

// The actions, from the mildest on.
const (
	Retry   Action = iota // try again, paced by the Backoff
	Refresh               // ask for a new credential and try at once, but only once; without [Hooks].Credentials it is Stop
	Suspect               // try again, but stop when the same answer came three times in a row
	Stop                  // no new try can mend it
)

var actionNames = [...]string{"retry", "refresh", "suspect", "stop"}

// String returns the action's name in lower case.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "unknown"
}

// rule is one line of the classification.
type rule struct {
	name   string // tells whether two answers are the same
	action Action
	match  func(error) bool
}

// rules are asked in order; what none of them knows is retried. That includes silence,
// networks that cannot be reached, and a context.Canceled that is not our own: whoever
// was unreachable a moment ago may be back.
//
// A relay that has let us in says an HTTP status in its close code, 64 + status
// (moq-lite.md §5.4). A rejected credential has several forms: statuses 401 and 403, and
// the close code 2, or 6 on moq-lite-05 and older. On newer versions 6 means that we
// sent malformed parameters, which is retried like every other close.
var rules = []rule{
	{"credential", Retry, is[*CredentialError]}, // the program's own provider cannot end it
	{"refused", Refresh, func(err error) bool { return errors.Is(err, ErrRefused) }},
	{"setting", Stop, is[*ConfigError]},
	{"status 404", Suspect, statusIn(404)},
	{"busy", Retry, statusIn(408, 429, 502, 503, 504)},
	{"status", Stop, func(err error) bool { return receivedStatus(err) != 0 }},
	{"no version in common", Suspect, hasCode(SessionVersion)},
	{"no protocol in common", Suspect, hasAlert(120)},
	// bad, unsupported, revoked, expired, unknown, illegal value; unknown authority, access
	// denied; bad status response; certificate required (RFC 8446 §6)
	{"certificate", Suspect, certificateAlert(42, 43, 44, 45, 46, 47, 48, 49, 113, 116)},
	{"unknown host", Suspect, isUnknownHost},
}

// DefaultClassify says what a failure calls for, by what it is.
//
//   - Refresh: the credential was rejected ([ErrRefused]).
//   - Suspect: TLS refuses a certificate, of either side (unless a callback of [Config].TLS
//     failed with an error whose Transient method says true), or there is no ALPN in common; no
//     version in common (close 0x15); HTTP status 404; a host name that does not exist. The
//     last is retried as long as the name has not been found once: a machine that
//     boots may have no DNS yet.
//   - Stop: a setting that cannot be used, and any HTTP status that the peer really sent
//     but 404 and 408, 429, 502, 503, 504, which invite a new try.
//   - Retry: everything else.
func DefaultClassify(err error) Action { return ruleFor(err).action }

// ruleFor returns the first rule that matches.
func ruleFor(err error) rule {
	for _, r := range rules {
		if r.match(err) {
			return r
		}
	}
	return rule{name: "failure", action: Retry}
}

// classifier returns what the supervisor asks; hook may be nil.
func classifier(c *caller, hook func(error) Action) func(error) rule {
	if hook == nil {
		return ruleFor
	}
	return func(err error) rule {
		r := ruleFor(err)
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // the grace is all that it has
		action, failed := call(ctx, c, "Classify", func(context.Context) (Action, error) { return hook(err), nil })
		if failed == nil && action != r.action {
			r.action = action
			switch r.name { // of what was no answer to be compared
			case "failure":
				r.name = cause(err).Error()
			case "busy", "status":
				r.name = fmt.Sprintf("status %d", receivedStatus(err))
			}
		}
		return r
	}
}

// cause is the innermost error: those around it may tell how long it took.
func cause(err error) error {
	for inner := err; inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err
}

func is[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func statusIn(statuses ...int) func(error) bool {
	return func(err error) bool {
		got := receivedStatus(err)
		for _, status := range statuses {
			if got == status {
				return true
			}
		}
		return false
	}
}

// receivedStatus returns the HTTP status that the peer answered, in a response or
// in a close code, or 0.
func receivedStatus(err error) int {
	if e, ok := errors.AsType[*StatusError](err); ok {
		return e.Status
	}
	if e, ok := errors.AsType[*SessionError](err); ok && e.Remote {
		return e.Code.Status()
	}
	return 0
}

func hasCode(code SessionCode) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*SessionError](err)
		return ok && e.Code == code
	}
}

// hasAlert matches TLS alerts of either side; QUIC adds 0x100 to them (RFC 9001 §4.8).
func hasAlert(alerts ...uint64) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*quic.TransportError](err)
		if !ok || !e.ErrorCode.IsCryptoError() {
			return false
		}
		for _, alert := range alerts {
			if uint64(e.ErrorCode) == 0x100+alert {
				return true
			}
		}
		return false
	}
}

// certificateAlert is hasAlert, but for what failed on our side for a moment.
func certificateAlert(alerts ...uint64) func(error) bool {
	refused := hasAlert(alerts...)
	return func(err error) bool { return refused(err) && !transport.Transient(err) }
}

func isUnknownHost(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}
