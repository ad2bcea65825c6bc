package moq

import (
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
