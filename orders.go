package moq

import (
	"context"
	"sync"
	"time"
)

// orders are what handles ask of a supervisor's loop. Whoever gives one does not wait for
// the loop, and the loop does not wait for them: what stands there is what is wanted now.
type orders struct {
	bell chan struct{} // rung when something was ordered; capacity 1

	mu     sync.Mutex
	pause  bool
	kick   uint64 // the newest wait that is to end
	check  bool
	redial *answer // to those who want another session; nil: nobody does
	over   error   // why nothing can be ordered any more
}

// answer is what came of an attempt, for all who wait for it.
type answer struct {
	done chan struct{}
	err  error // written before done is closed
}

func (a *answer) give(err error) {
	if a != nil {
		a.err = err
		close(a.done)
	}
}

func newOrders() orders { return orders{bell: make(chan struct{}, 1)} }

// order changes what is ordered.
func (s *supervisor[S]) order(change func(o *orders)) {
	s.orders.mu.Lock()
	change(&s.orders)
	s.orders.mu.Unlock()
	ring(s.orders.bell)
	s.unpark()
}

// take returns what is ordered, and takes what is to be done once. Who wants another
// session wants it until there is an answer.
func (o *orders) take() (pause, check bool, kick uint64, redial bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	pause, check, kick, redial = o.pause, o.check, o.kick, o.redial != nil
	o.check, o.kick = false, 0
	return pause, check, kick, redial
}

// asked takes the answer that those are owed who want another session now.
func (o *orders) asked() *answer {
	o.mu.Lock()
	defer o.mu.Unlock()
	a := o.redial
	o.redial = nil
	return a
}

// refuse answers who waits, and from now on whoever comes, with err.
func (o *orders) refuse(err error) {
	o.mu.Lock()
	o.over = err
	o.mu.Unlock()
	o.asked().give(err)
}

// kick ends the present wait. One that comes too late ends none.
func (s *supervisor[S]) kick() {
	if v := s.board.read(); v.state.Phase == Waiting {
		s.order(func(o *orders) { o.end(v.wait) })
	}
}

// end orders the end of a wait. Whoever has seen a later one knows better, even if they
// were first to say so.
func (o *orders) end(wait uint64) { o.kick = max(o.kick, wait) }

// check asks for a look at the path, or ends the present wait.
func (s *supervisor[S]) check() { s.order(func(o *orders) { o.check = true }) }

func (s *supervisor[S]) setPaused(on bool) { s.order(func(o *orders) { o.pause = on }) }

// redial waits for a session that was not there yet.
func (s *supervisor[S]) redial(ctx context.Context) error {
	var owed *answer
	var over error
	s.order(func(o *orders) {
		if over = o.over; over == nil && o.redial == nil {
			o.redial = &answer{done: make(chan struct{})}
		}
		owed = o.redial
	})
	if over != nil {
		return over
	}
	if err := await(ctx, owed.done); err != nil && !isClosed(owed.done) {
		return err
	}
	return owed.err
}

// obey does what was ordered, or plans it.
func (s *supervisor[S]) obey() {
	pause, check, kick, redial := s.orders.take()
	s.awaited = redial
	v := s.board.read()
	switch {
	case pause && v.state.Phase != Paused:
		s.paused()
	case pause:
		s.urgent = false // a Resume was taken back
	case v.state.Phase == Paused:
		s.urgent = true
	case v.state.Phase == Waiting:
		s.urgent = s.urgent || check || redial || kick == v.wait
	default:
		s.urgent = redial && s.try == nil
		if check {
			s.look()
		}
	}
	s.due()
}

// urgentAt is when to make the attempt that is not to wait; zero: there is none. It is now,
// unless the last such attempt was made just before: orders may come in a loop.
func (s *supervisor[S]) urgentAt() time.Time {
	if !s.urgent {
		return time.Time{}
	}
	return s.hurried.Add(s.pacer.floor())
}

// hurry makes the attempt that is not to wait.
func (s *supervisor[S]) hurry() {
	s.hurried = time.Now()
	switch {
	case s.board.read().state.Phase == Paused:
		s.resumed()
	case s.live != nil:
		s.attempt(redialing)
	default:
		s.attempt(reconnecting)
	}
}

// look asks what is there whether the path is: the live session, and the attempt under way.
func (s *supervisor[S]) look() {
	if s.live != nil {
		s.live.pulse.Check()
	}
	if s.try != nil {
		s.again()
	}
}
