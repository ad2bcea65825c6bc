package moq

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// purpose is what an attempt is for.
type purpose uint8

const (
	reconnecting purpose = iota // there is no session
	hedging                     // the session has fallen silent; it may wake
	redialing                   // somebody asked for another session
	renewing                    // the session's credential expires
)

// trial is what a dial is told, and what it tells.
type trial struct {
	number     int // of the attempt in this outage, from 1
	generation uint64
	rejected   bool  // the last credential was refused
	lastErr    error // why the last attempt or session ended

	// A dial that has asked in vain for patience is replaced by one from another socket, until
	// hurryUntil. Zero: it is not.
	patience   time.Duration
	hurryUntil time.Time

	heard  func()                          // to be called when a first packet has come
	wanted func(ctx context.Context) error // to be called before the session begins; an error: it is not wanted
}

// newTrial is an ordinary first attempt.
func newTrial() trial {
	return trial{
		number: 1, generation: 1,
		heard:  func() {},
		wanted: func(context.Context) error { return nil },
	}
}

// try is the attempt under way.
type try[S liveSession] struct {
	why     purpose
	began   time.Time
	limit   time.Time // by when it has to succeed; zero: never
	cancel  context.CancelCauseFunc
	heard   atomic.Bool // something has come
	settled atomic.Bool // delivered, or dropped
	done    chan result[S]
}

// result is the outcome of an attempt.
type result[S liveSession] struct {
	why     purpose
	session S
	err     error
}

func (t *try[S]) result() <-chan result[S] {
	if t == nil {
		return nil
	}
	return t.done
}

// begin starts an attempt on a goroutine of its own.
func (s *supervisor[S]) begin(why purpose, limit time.Time) {
	t := &try[S]{why: why, began: time.Now(), limit: limit, done: make(chan result[S], 1)}
	ctx, cancel := context.WithCancelCause(s.base)
	t.cancel = cancel
	s.try, s.urgent = t, false
	order := s.trial()
	hear := order.heard
	order.heard = func() {
		t.heard.Store(true)
		hear()
	}
	s.work.Go(func() {
		defer cancel(nil)
		r := result[S]{why: why}
		r.session, r.err = s.dialIn(ctx, limit, order)
		if t.settled.CompareAndSwap(false, true) {
			t.done <- r
			return
		}
		s.waste(r)
	})
}

// waste ends a session that nobody wants any more.
func (s *supervisor[S]) waste(r result[S]) {
	if r.err == nil {
		r.session.abandon(errUnwanted)
		s.bury(r.session)
	}
}

// drop gives up the attempt under way, if there is one, and does not wait for it.
func (s *supervisor[S]) drop() {
	t := s.try
	if t == nil {
		return
	}
	s.try = nil
	t.cancel(errUnwanted)
	if !t.settled.CompareAndSwap(false, true) {
		r := <-t.done // it is about to be there
		s.work.Go(func() { s.waste(r) })
	}
}

// cut gives up the attempt under way because the time is over, and returns what that
// makes of it.
func (s *supervisor[S]) cut() error {
	began := s.try.began
	s.drop()
	return tooLate(began, context.DeadlineExceeded)
}

// again begins the attempt under way anew, on another socket, if it has heard nothing: what
// it waits for may have been sent into a hole. A young one is about to ask again by itself.
// Its time goes on: a network that changes all the time must not keep it from failing.
func (s *supervisor[S]) again() {
	if s.try.heard.Load() || time.Since(s.try.began) < minUnasked {
		return
	}
	why, limit := s.try.why, s.try.limit
	s.drop()
	s.begin(why, limit)
}

// trial describes the next attempt.
func (s *supervisor[S]) trial() trial {
	t := newTrial()
	t.number = s.pacer.failures + 1
	t.generation = s.board.read().state.Generation + 1
	t.rejected = s.rejected
	t.lastErr = s.last
	if !s.quiet.last.IsZero() {
		t.patience = max(minUnheard, s.quiet.rtt*3/2)
		t.hurryUntil = s.quiet.last.Add(quietTime)
	}
	if s.live != nil && s.live.silent {
		second := &second{pulse: s.live.pulse}
		t.heard, t.wanted = second.heard, second.wanted
	}
	return t
}

// judge classifies a failure, and notes what it says of the credential and of the host's
// name: nothing, if the attempt did not get that far.
func (s *supervisor[S]) judge(err error) rule {
	r := s.classify(err)
	if is[*CredentialError](err) {
		return r
	}
	s.rejected = r.action == Refresh
	s.resolved = s.resolved || !is[*net.DNSError](err)
	return r
}

// second is an attempt beside a session that may wake. When the path is heard again, the
// old session is asked once more, and gets the time to answer first.
type second struct {
	pulse pulse
	asked atomic.Pointer[time.Time]
}

func (s *second) heard() {
	now := time.Now()
	s.asked.Store(&now)
	s.pulse.Probe()
}

// ackDelay is how late an acknowledgement may be, besides the round trip.
const ackDelay = 30 * time.Millisecond

// wanted waits for the answer. The loop ends ctx when it has come.
func (s *second) wanted(ctx context.Context) error {
	asked := s.asked.Load()
	if asked == nil {
		return nil
	}
	timer := time.NewTimer(time.Until(asked.Add(ackDelay + s.pulse.RTT()*3/2)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// limit is the time by which the next attempt has to succeed; the zero time is never.
func (s *supervisor[S]) limit() time.Time {
	var end time.Time
	if s.live == nil {
		end = s.pacer.deadline()
	}
	if s.timeout > 0 {
		end = earliest(end, time.Now().Add(s.timeout))
	}
	return end
}

// dialIn dials, once there is a slot. The attempt's time goes on while it waits for one.
func (s *supervisor[S]) dialIn(ctx context.Context, limit time.Time, t trial) (S, error) {
	return within(ctx, limit, func(ctx context.Context) (S, error) {
		select {
		case s.slots <- struct{}{}:
		case <-ctx.Done():
			var none S
			return none, context.Cause(ctx)
		}
		defer func() { <-s.slots }()
		return s.dial(ctx, t)
	})
}

// within dials, and tells in the error if the time ran out.
func within[S any](ctx context.Context, limit time.Time, dial func(context.Context) (S, error)) (S, error) {
	if limit.IsZero() {
		return dial(ctx)
	}
	began := time.Now()
	bounded, cancel := context.WithDeadline(ctx, limit)
	defer cancel()
	session, err := dial(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = tooLate(began, err)
	}
	return session, err
}

func tooLate(began time.Time, err error) error {
	return fmt.Errorf("moq: no session within %v: %w", time.Since(began).Round(time.Millisecond), err)
}
