package moq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// liveSession is all that the supervisor knows of a session.
type liveSession interface {
	Closed() <-chan struct{} // closed when everything of it has ended
	Err() error              // after Closed; nil after a local Close
	Close() error            // returns after Closed
}

// supervision is what a supervisor works with.
type supervision[S liveSession] struct {
	dial     func(ctx context.Context) (S, error) // ctx bounds the attempt only; returns soon after its end
	timeout  time.Duration                        // of one attempt; not positive: none
	backoff  Backoff
	endpoint string // scheme, host and port
	logger   *slog.Logger
	done     func(error) // called once, with the final error, before closed is closed
}

// errClosing is the cause by which close ends the supervisor's context.
var errClosing = errors.New("moq: closing")

// supervisor keeps one session alive: it dials, waits for the session to end, backs
// off, and dials again. One goroutine at a time owns the loop, and none while it waits.
type supervisor[S liveSession] struct {
	supervision[S]
	cancel context.CancelCauseFunc
	closed chan struct{}
	board  board[S]

	mu    sync.Mutex
	timer *time.Timer // of the last wait

	// Owned by the loop.
	pacer       pacer
	first, last error // failures of this outage
	hailed      bool  // a session of this outage was logged
}

// supervise starts a supervisor and returns at once. ctx bounds the supervisor's life.
func supervise[S liveSession](ctx context.Context, with supervision[S]) *supervisor[S] {
	ctx, cancel := context.WithCancelCause(ctx)
	s := &supervisor[S]{
		supervision: with,
		cancel:      cancel,
		closed:      make(chan struct{}),
		pacer:       newPacer(with.backoff),
	}
	s.enter(Connecting, nil)
	context.AfterFunc(ctx, func() { s.wake(ctx) })
	go s.run(ctx)
	return s
}

// stillborn returns a supervisor that stopped before its first attempt.
func stillborn[S liveSession](with supervision[S], err error) *supervisor[S] {
	s := &supervisor[S]{supervision: with, cancel: func(error) {}, closed: make(chan struct{})}
	s.finish(&StopError{Reason: ErrStopped, First: err, Last: err})
	return s
}

// close ends the supervisor and waits for everything it started.
func (s *supervisor[S]) close() {
	s.cancel(errClosing)
	<-s.closed
}

// run makes a round of the loop, and sees to it that there is another.
func (s *supervisor[S]) run(ctx context.Context) {
	delay, err := s.round(ctx)
	if delay > 0 {
		s.sleep(ctx, delay)
		return
	}
	s.cancel(errClosing) // releases the context
	s.finish(err)
}

// sleep starts the next round after a delay. Meanwhile there is no goroutine: one that
// has dialed has a grown stack, and ten thousand clients may wait for the same relay.
func (s *supervisor[S]) sleep(ctx context.Context, delay time.Duration) {
	s.mu.Lock() // over the start: a round that is over at once must not be overtaken by this one's timer
	s.timer = time.AfterFunc(delay, func() { s.run(ctx) })
	s.mu.Unlock()
	if ctx.Err() != nil {
		s.wake(ctx) // the end may have come too early to find the timer
	}
}

// wake starts the next round now, if the supervisor sleeps. That a timer can be
// stopped only once, and not after it fired, makes it one round.
func (s *supervisor[S]) wake(ctx context.Context) {
	s.mu.Lock()
	timer := s.timer
	s.mu.Unlock()
	if timer != nil && timer.Stop() {
		s.run(ctx)
	}
}

// finish publishes the final error, nil if the supervisor was closed.
func (s *supervisor[S]) finish(err error) {
	s.enter(Stopped, func(v *view[S]) { v.err, v.state.Err = err, err })
	s.done(err)
	close(s.closed)
}

// round makes one attempt, waits for the end of the session that comes out of it, and
// returns how long to wait before the next. If there is to be none, it returns 0 and
// the supervisor's final error.
func (s *supervisor[S]) round(ctx context.Context) (delay time.Duration, final error) {
	switch {
	case ctx.Err() != nil:
		return 0, ending(ctx)
	case s.pacer.spent():
		return 0, s.stop(ErrGaveUp)
	}
	if s.pacer.failures > 0 { // else it is the first round, and the state says so
		s.enter(Connecting, nil)
	}
	err := s.serve(ctx)
	// Only our own context means stop: a context.Canceled in err may be anybody's.
	if ctx.Err() != nil {
		return 0, ending(ctx)
	}
	delay = s.count(err)
	if c := classify(err); c != classRetry {
		return 0, s.stop(c.reason())
	}
	if s.pacer.spent() {
		return 0, s.stop(ErrGaveUp)
	}
	return s.pause(delay), nil
}

// ending is the final error of a supervisor whose context has ended.
func ending(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != errClosing {
		return cause
	}
	return nil
}

// serve makes one attempt and, if it succeeds, waits for the end of the session. It
// returns why the one or the other ended, and leaves nothing running.
func (s *supervisor[S]) serve(ctx context.Context) error {
	session, err := attempt(ctx, s.limit(), s.dial)
	if err != nil {
		return err
	}
	if ctx.Err() == nil {
		began := time.Now()
		s.enter(Connected, func(v *view[S]) {
			v.session, v.live = session, true
			v.state.Generation++
		})
		s.hail()
		select {
		case <-session.Closed():
			if s.pacer.stable(time.Since(began)) {
				s.pacer.reset()
			}
			return reasonOf(session)
		case <-ctx.Done():
		}
		s.board.withdraw()
	}
	// Nobody wants it any more. It may have come out of a dial that Close overtook.
	_ = session.Close()
	<-session.Closed()
	return nil
}

// reasonOf says why a session ended, also if it was closed by whoever got hold of it.
func reasonOf(session liveSession) error {
	if err := session.Err(); err != nil {
		return err
	}
	return &SessionError{Code: SessionNoError}
}

// limit is the time by which the next attempt has to succeed; the zero time is never.
func (s *supervisor[S]) limit() time.Time {
	end := s.pacer.deadline()
	if s.timeout <= 0 {
		return end
	}
	if limit := time.Now().Add(s.timeout); end.IsZero() || limit.Before(end) {
		return limit
	}
	return end
}

// attempt dials, and tells in the error if the time ran out.
func attempt[S any](ctx context.Context, limit time.Time, dial func(context.Context) (S, error)) (S, error) {
	if limit.IsZero() {
		return dial(ctx)
	}
	began := time.Now()
	bounded, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	session, err := dial(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("moq: no session within %v: %w", time.Since(began).Round(time.Millisecond), err)
	}
	return session, err
}

// count notes a failure and returns how long to wait after it.
func (s *supervisor[S]) count(err error) time.Duration {
	wait, failures := s.pacer.next()
	if failures == 1 {
		s.first, s.hailed = err, false
	}
	s.last = err
	return wait
}

// pause publishes a wait, and cuts it to the time that is left until giving up.
func (s *supervisor[S]) pause(delay time.Duration) time.Duration {
	until := time.Now().Add(delay)
	retry := until
	if end := s.pacer.deadline(); !end.IsZero() && !end.After(until) {
		until, retry = end, time.Time{}
	}
	s.enter(Waiting, func(v *view[S]) { v.state.RetryAt = retry })
	s.complain(time.Until(until))
	return max(time.Until(until), 1) // a slow logger is part of the wait
}

// stop is the final error of a supervisor that ends by itself.
func (s *supervisor[S]) stop(reason error) error {
	err := &StopError{
		Reason:   reason,
		First:    s.first,
		Last:     s.last,
		Attempts: s.pacer.failures,
		Down:     time.Since(s.pacer.since),
	}
	s.log(slog.LevelError, "stopped", slog.Any("err", err))
	return err
}

// enter publishes the next state, to which change adds what only this phase has. A
// session that was live, and was not withdrawn, counts as lost.
func (s *supervisor[S]) enter(phase Phase, change func(*view[S])) {
	next := s.board.read()
	if next.live {
		var none S
		next.live, next.session = false, none
		next.state.Losses++
	}
	next.state = State{
		Phase:      phase,
		Generation: next.state.Generation,
		Losses:     next.state.Losses,
		Attempt:    s.pacer.failures,
		Endpoint:   s.endpoint,
		Since:      time.Now(),
		Err:        s.last,
	}
	if phase == Connecting || phase == Waiting {
		next.state.GiveUpAt = s.pacer.deadline()
	}
	if change != nil {
		change(&next)
	}
	s.board.write(next)
}

// hail logs a new session: the first of an outage is news, those of a peer that
// accepts and drops are not.
func (s *supervisor[S]) hail() {
	level := slog.LevelInfo
	if s.hailed {
		level = slog.LevelDebug
	}
	s.hailed = true
	s.log(level, "connected")
}

// complain logs a failure: the first of an outage is news, its repetition is not.
func (s *supervisor[S]) complain(next time.Duration) {
	level := slog.LevelDebug
	if s.pacer.failures == 1 {
		level = slog.LevelWarn
	}
	s.log(level, "not connected", slog.Any("err", s.last), slog.Duration("next", next))
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
		slog.Duration("down", time.Since(s.pacer.since)),
	}, more...)
	s.logger.LogAttrs(ctx, level, message, attrs...)
}
