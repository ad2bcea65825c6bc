package session

import (
	"context"
	"errors"
	"io"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
)

// maxReason keeps a close reason within what every carrier takes.
const maxReason = 512

// closeCode is what the peer is told when the session ends because of err.
func closeCode(err error) (moqerr.SessionCode, string) {
	var ended *moqerr.SessionError
	switch {
	case errors.Is(err, moqerr.ErrClosed), errors.Is(err, context.Canceled), isAbandoned(err):
		return moqerr.SessionNoError, ""
	case errors.As(err, &ended) && !ended.Remote:
		return ended.Code, ended.Reason[:min(len(ended.Reason), maxReason)]
	case errors.Is(err, context.DeadlineExceeded):
		return moqerr.SessionControlTimeout, "timeout"
	default:
		return moqerr.SessionInternal, ""
	}
}

// refusal turns what Admit returned into a close.
func refusal(err error) error {
	var ended *moqerr.SessionError
	if errors.As(err, &ended) {
		return err
	}
	return &moqerr.SessionError{Code: moqerr.SessionUnauthorized, Reason: err.Error()}
}

// abandoned is the end of a session that we gave up for a reason that is not the peer's
// business.
type abandoned struct{ error }

func (e *abandoned) Unwrap() error { return e.error }

func isAbandoned(err error) bool {
	var a *abandoned
	return errors.As(err, &a)
}

func remote(err error) bool {
	var ended *moqerr.SessionError
	return errors.As(err, &ended) && ended.Remote
}

// errClosing ends the serving of a request because our session is closing: the close
// says it all, and the stream is left alone.
var errClosing = errors.New("closing")

// streamCode is what a reader on the other side is told when err ends its stream.
func streamCode(err error) moqerr.StreamCode {
	var reset *moqerr.StreamError
	var config *moqerr.ConfigError
	switch {
	case errors.As(err, &reset):
		return reset.Code
	case errors.As(err, &config): // a name that nothing can have
		return moqerr.StreamUnroutable
	case errors.Is(err, wire.ErrNoMemory):
		return moqerr.StreamEvicted
	case errors.Is(err, moqerr.ErrTooOld):
		return moqerr.StreamOld
	case errors.Is(err, moqerr.ErrDuplicate), errors.Is(err, context.Canceled), errors.Is(err, moqerr.ErrClosed):
		return moqerr.StreamCancelled
	default:
		return moqerr.StreamInternal
	}
}

// malformed reports whether err, which came out of reading from the peer, means that it
// wrote something that is no message, as opposed to a stream that was reset or a
// connection that died.
func malformed(err error) bool {
	var bad *wire.Error
	return errors.As(err, &bad) || errors.Is(err, io.ErrUnexpectedEOF)
}

// check ends the session if err means a broken protocol, and returns err. It is for
// errors of reading and parsing what this peer wrote only: a track's error may be
// another peer's.
func (s *Session) check(err error) error {
	if malformed(err) {
		s.violation(err)
	}
	return err
}
