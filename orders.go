package moq

import (
	"context"
	"sync"
)

// orders are what handles ask of a supervisor's loop. Whoever gives one does not wait for
// the loop, and the loop does not wait for them: what stands there is what is wanted now.
type orders struct {
	bell chan struct{} // rung when something was ordered; capacity 1

	mu      sync.Mutex
	pause   bool
	kick    uint64 // the newest wait that is to end
	check   bool
	redials []chan error
	over    error // why nothing can be ordered any more
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

// take returns what is ordered, and takes what is to be done once.
func (o *orders) take() (pause, check bool, kick uint64, redials []chan error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	pause, check, kick, redials = o.pause, o.check, o.kick, o.redials
	o.check, o.kick, o.redials = false, 0, nil
	return pause, check, kick, redials
}

// refuse answers who waits, and from now on whoever comes, with err.
func (o *orders) refuse(err error) {
	o.mu.Lock()
	redials := o.redials
	o.redials, o.over = nil, err
	o.mu.Unlock()
	for _, done := range redials {
		done <- err
	}
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
	done := make(chan error, 1)
	s.order(func(o *orders) {
		if o.over != nil {
			done <- o.over
			return
		}
		o.redials = append(o.redials, done)
	})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// answer tells who waits for a new session what came of it.
func (s *supervisor[S]) answer(err error) {
	for _, done := range s.redials {
		done <- err
	}
	s.redials = nil
}

// obey does what was ordered.
func (s *supervisor[S]) obey() {
	pause, check, kick, redials := s.orders.take()
	s.redials = append(s.redials, redials...)
	v := s.board.read()
	switch {
	case pause && v.state.Phase != Paused:
		s.paused()
	case pause:
	case v.state.Phase == Paused:
		s.resumed()
	case v.state.Phase == Waiting:
		if check || kick == v.wait || len(redials) > 0 {
			s.retry()
		}
	case s.try != nil:
		if len(redials) > 0 && s.live != nil {
			s.try.why = redialing // it goes on even if the session wakes
		}
		if check {
			s.look()
		}
	case len(redials) > 0:
		s.attempt(redialing)
	case check:
		s.look()
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
