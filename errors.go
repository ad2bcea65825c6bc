package moq

import (
	"errors"

	"github.com/remoq/moq/moqerr"
)

// The error types of every layer, so that most programs need not import moqerr.
// Stream codes and the gaps of a track are in packages moqerr and pubsub.
type (
	// SessionError is the end of a session, with the code that one side gave for it.
	SessionError = moqerr.SessionError
	// StreamError is the abrupt end of one track, group or request.
	StreamError = moqerr.StreamError
	// StatusError is an HTTP status other than 2xx in answer to a dial.
	StatusError = moqerr.StatusError
	// ConfigError is a setting that cannot be used, named by its field.
	ConfigError = moqerr.ConfigError
	// StopError is the end of a [Reconnect] that will not try again by itself.
	StopError = moqerr.StopError

	// SessionCode says why a session was closed (moq-lite.md §5.1a).
	SessionCode = moqerr.SessionCode
	// StreamCode says why a stream was reset (moq-lite.md §5.1a).
	StreamCode = moqerr.StreamCode
)

// Session close codes (moq-lite.md §5.1a); package moqerr tells what each means.
const (
	SessionNoError        = moqerr.SessionNoError
	SessionInternal       = moqerr.SessionInternal
	SessionUnauthorized   = moqerr.SessionUnauthorized
	SessionProtocol       = moqerr.SessionProtocol
	SessionParameters     = moqerr.SessionParameters
	SessionGoawayTimeout  = moqerr.SessionGoawayTimeout
	SessionControlTimeout = moqerr.SessionControlTimeout
	SessionVersion        = moqerr.SessionVersion
	SessionApplication    = moqerr.SessionApplication
)

// Sentinels, matched with [errors.Is]. They are the values of package moqerr.
var (
	// ErrGaveUp is the reason of a [StopError] whose give-up time ran out.
	ErrGaveUp = moqerr.ErrGaveUp
	// ErrRefused matches a rejected credential in every form that relays give it.
	ErrRefused = moqerr.ErrRefused
	// ErrStopped is the reason of a [StopError] after a failure that no new try mends.
	ErrStopped = moqerr.ErrStopped
	// ErrClosed is returned by what was used after its Close.
	ErrClosed = moqerr.ErrClosed
)

// class is what the supervisor does after a failure.
type class uint8

const (
	classRetry  class = iota // try again, paced
	classRefuse              // end: the credential was rejected
	classStop                // end: no new try can mend it
)

// verdicts are asked in order; what none of them knows is retried. That includes
// timeouts, TLS failures and a context.Canceled that is not our own: whoever was
// unreachable a moment ago may be back.
var verdicts = []struct {
	class class
	match func(error) bool
}{
	{classRefuse, func(err error) bool { return errors.Is(err, ErrRefused) }},
	{classStop, isConfig},
	{classStop, isFinalStatus},
}

// classify says what a failed attempt or an ended session calls for.
func classify(err error) class {
	for _, v := range verdicts {
		if v.match(err) {
			return v.class
		}
	}
	return classRetry
}

// reason is the StopError.Reason of a class that ends the supervisor.
func (c class) reason() error {
	if c == classRefuse {
		return ErrRefused
	}
	return ErrStopped
}

func isConfig(err error) bool {
	_, ok := errors.AsType[*ConfigError](err)
	return ok
}

// isFinalStatus reports whether err carries an HTTP status that the peer really
// sent and that does not invite a new try (moq-lite.md §5.4).
func isFinalStatus(err error) bool {
	switch receivedStatus(err) {
	case 0, 408, 429, 502, 503, 504:
		return false
	}
	return true
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
