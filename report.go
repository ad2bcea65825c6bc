package moq

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/remoq/moq/moqerr"
)

// remindEvery is how often a long outage is news again.
const remindEvery = time.Minute

// enter publishes the next state, to which change adds what only this phase has.
func (s *supervisor[S]) enter(phase Phase, change func(*view[S])) {
	next := s.board.read()
	next.state = State{
		Phase:      phase,
		Generation: next.state.Generation,
		Losses:     next.state.Losses,
		Attempt:    s.pacer.failures,
		Endpoint:   s.endpoint,
		Since:      time.Now(),
		Err:        s.last,
	}
	switch phase {
	case Waiting:
		next.wait++
		next.state.GiveUpAt = s.pacer.deadline()
	case Connecting:
		next.state.GiveUpAt = s.pacer.deadline()
	}
	if change != nil {
		change(&next)
	}
	s.board.write(next)
}

// rest tells when the supervisor begins and ends to wait.
func (s *supervisor[S]) rest(on bool) {
	if s.resting == on {
		return
	}
	s.resting = on
	if s.asleep != nil {
		n := -1
		if on {
			n = 1
		}
		s.asleep(n)
	}
}

// tell lets the observer know.
func (s *supervisor[S]) tell(e Event) {
	if s.news == nil {
		return
	}
	e.State = s.board.read().state
	e.Time = time.Now()
	if e.Err == nil {
		e.Err = e.State.Err
	}
	s.news.add(e)
}

// hail logs a new session: the first of an outage is news, those of a peer that
// accepts and drops are not.
func (s *supervisor[S]) hail(down time.Duration) {
	level := slog.LevelInfo
	if s.hailed {
		level = slog.LevelDebug
	}
	s.hailed = true
	s.log(level, "connected", slog.Duration("down", down))
}

// complain logs a failure: the first of an outage is news, its repetition is not.
func (s *supervisor[S]) complain(r rule, next time.Duration) {
	level := slog.LevelDebug
	if s.live == nil && !s.warned {
		level, s.warned = slog.LevelWarn, true
	}
	if s.live == nil && s.remindAt.IsZero() {
		s.remindAt = time.Now().Add(remindEvery)
		s.hush()
	}
	s.log(level, "not connected", slog.Duration("down", s.down()),
		slog.String("class", r.action.String()), code(s.last), slog.Duration("next", max(next, 0)), slog.Any("err", s.last))
}

// hush drops a reminder that nobody would hear: to wake ten thousand that wait once a
// minute takes half a percent of a core.
func (s *supervisor[S]) hush() {
	if !s.logger.Enabled(context.Background(), slog.LevelWarn) {
		s.remindAt = time.Time{}
	}
}

// remind makes a long outage news again.
func (s *supervisor[S]) remind() {
	s.remindAt = time.Now().Add(remindEvery)
	s.hush()
	s.log(slog.LevelWarn, "still not connected", slog.Duration("down", s.down()),
		code(s.last), slog.Duration("next", max(time.Until(s.retryAt), 0)), slog.Any("err", s.last))
}

// whisper logs what is of interest to those who look for a fault.
func (s *supervisor[S]) whisper(message string) {
	s.log(slog.LevelDebug, message, slog.Duration("down", time.Since(s.quiet.last)))
}

// farewell logs the end.
func (s *supervisor[S]) farewell(err error, r rule) {
	s.log(slog.LevelError, "stopped", slog.Duration("down", s.down()),
		slog.String("class", r.action.String()), code(s.last), slog.Any("err", err))
}

func (s *supervisor[S]) log(level slog.Level, message string, more ...slog.Attr) {
	ctx := context.Background()
	if !s.logger.Enabled(ctx, level) {
		return
	}
	attrs := append([]slog.Attr{
		slog.String("endpoint", s.endpoint),
		slog.Uint64("generation", s.board.read().state.Generation),
		slog.Int("attempt", s.pacer.failures),
	}, more...)
	s.logger.LogAttrs(ctx, level, message, attrs...)
}

// code is the number in an error that an operator looks up: an HTTP status, else the
// code of a session's close. There may be none.
func code(err error) slog.Attr {
	if status, ok := errors.AsType[*moqerr.StatusError](err); ok {
		return slog.Int("code", status.Status)
	}
	if ended, ok := errors.AsType[*moqerr.SessionError](err); ok {
		return slog.Uint64("code", uint64(ended.Code))
	}
	return slog.Attr{}
}
