package moq

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// liveSession is all that the supervisor knows of a session.
type liveSession interface {
	Closed() <-chan struct{}       // closed when everything of it has ended
	Err() error                    // after Closed; nil after a local Close
	Close() error                  // lets what is finished leave; returns after Closed
	abandon(cause error)           // does not; returns after Closed, and Err is the cause
	watch() pulse                  // begins to judge its silence; called once
	life() (since, till time.Time) // of its credential; zero: it does not expire
}

// pulse judges the silence of a live session.
type pulse interface {
	Changed() <-chan struct{} // rung when health has another value
	health() health
	Check()                // probes, since something hints that the path has changed
	Probe()                // probes, whatever is thought of the session
	RTT() time.Duration    // smoothed
	LastPacket() time.Time // when something came last
}

// health is what a pulse makes of the silence.
type health uint8

const (
	alive  health = iota
	silent        // a probe was not answered
	dead          // nor were those that followed
)

// supervision is what a supervisor works with.
type supervision[S liveSession] struct {
	dial      func(ctx context.Context, t trial) (S, error) // ctx bounds the attempt only; returns soon after its end
	timeout   time.Duration                                 // of one attempt; not positive: none
	backoff   Backoff
	classify  func(error) rule
	renewable bool   // there is somebody to ask for a new credential
	endpoint  string // scheme, host and port
	logger    *slog.Logger
	observe   func(Event) // nil: nobody
	asleep    func(n int) // told when it begins (1) and ends (-1) to wait; nil: nobody
	gone      func(S)     // told when a session has ended; nil: nobody
	done      func(error) // called once, with the final error, before closed is closed
	hooks     *caller
}

var (
	// errClosing is the cause by which close ends the supervisor's context.
	errClosing = errors.New("moq: closing")
	// errUnwanted is the cause by which an attempt is given up that nobody needs any more.
	errUnwanted = errors.New("moq: not needed any more")
)

// maxDials is how many dials there are at once, at most: one whose end is awaited, and
// its successor.
const maxDials = 2

// supervisor keeps one session alive: it dials, waits for the session to end, backs off,
// and dials again. One goroutine, run, owns the loop; what happens is an event that it
// takes, and each event that leads from one phase to another is a method in edges.go.
type supervisor[S liveSession] struct {
	supervision[S]
	base   context.Context // what attempts inherit: the program's, but for its end
	ctx    context.Context // the supervisor's life; it has no children, which cost memory
	cancel context.CancelCauseFunc
	detach func() bool // from the program's context
	closed chan struct{}
	board  board[S]
	orders orders
	news   *news          // nil if nobody observes
	work   sync.WaitGroup // attempts, and sessions that are being closed
	slots  chan struct{}  // one is held by each dial
	alarm  chan struct{}  // rung by the timer; capacity 1
	parked atomic.Bool    // the loop waits, and has no goroutine

	// Owned by the loop.
	pacer    pacer
	renewals pacer // of attempts to replace a session whose credential expires
	live     *serving[S]
	try      *try[S] // the attempt under way; nil: none
	final    error   // why it stops by itself
	timer    *time.Timer
	resting  bool // it waits, and asleep was told

	awaited bool      // somebody waits for another session
	urgent  bool      // an attempt is to be made without a wait
	hurried time.Time // when one was made

	retryAt  time.Time // when to make the next attempt; zero: not planned
	remindAt time.Time // when to complain again
	notUntil time.Time // what the server asked for since the last attempt began; zero: nothing

	first, last error     // failures of this outage
	downSince   time.Time // zero: it is not down
	quiet       quietPath
	hailed      bool   // a session of this outage was logged
	warned      bool   // and so was a failure, as news
	refreshed   bool   // the one new credential of this outage was asked for
	rejected    bool   // the last credential was refused
	resolved    bool   // the host's name was found once
	suspicion   string // the last answer, if it was suspect
	suspicions  int    // how often it came in a row
}

// quietPath is a path that a session was lost on, or has fallen silent on.
type quietPath struct {
	last time.Time // when something came last
	rtt  time.Duration
}

// supervise starts a supervisor and returns at once. ctx bounds the supervisor's life.
func supervise[S liveSession](ctx context.Context, with supervision[S]) *supervisor[S] {
	s := &supervisor[S]{
		supervision: with,
		closed:      make(chan struct{}),
		orders:      newOrders(),
		slots:       make(chan struct{}, maxDials),
		alarm:       make(chan struct{}, 1),
		pacer:       newPacer(with.backoff),
		renewals:    newPacer(with.backoff),
		downSince:   time.Now(),
	}
	s.base = context.WithoutCancel(ctx)
	s.ctx, s.cancel = context.WithCancelCause(s.base)
	if with.observe != nil {
		s.news = newNews(with.observe, with.hooks)
	}
	s.timer = time.AfterFunc(time.Hour, s.expire)
	s.enter(Connecting, nil)
	if ctx.Err() == nil {
		s.attempt(reconnecting)
	}
	s.detach = context.AfterFunc(ctx, func() {
		s.cancel(context.Cause(ctx))
		s.unpark()
	})
	go s.run()
	return s
}

// stillborn returns a supervisor that stopped before its first attempt.
func stillborn[S liveSession](with supervision[S], err error) *supervisor[S] {
	s := &supervisor[S]{supervision: with, cancel: func(error) {}, closed: make(chan struct{}), orders: newOrders()}
	if with.observe != nil {
		s.news = newNews(with.observe, with.hooks)
	}
	s.conclude(&StopError{Reason: ErrStopped, First: err, Last: err})
	if s.news == nil {
		close(s.closed)
	} else {
		go s.depart() // the observer may be slow, and Reconnect returns at once
	}
	return s
}

// close ends the supervisor and waits for everything it started.
func (s *supervisor[S]) close() {
	s.cancel(errClosing)
	s.unpark()
	<-s.closed
}

// run is the loop. While it waits for the next attempt there is no goroutine, only a
// timer: a stack takes 4 KB, and ten thousand clients may wait for the same relay.
func (s *supervisor[S]) run() {
	for s.final == nil && s.ctx.Err() == nil {
		s.turn()
		if s.resting && s.park() {
			return
		}
	}
	s.timer.Stop()
	err := s.final
	if err == nil {
		err = ending(s.ctx)
	}
	s.leave()
	s.detach()
	s.conclude(err)
	s.depart()
}

// park lets go of the loop's goroutine, unless something has happened meanwhile.
func (s *supervisor[S]) park() bool {
	s.arm()
	s.parked.Store(true)
	quiet := s.ctx.Err() == nil && len(s.alarm) == 0 && len(s.orders.bell) == 0
	return quiet || !s.parked.CompareAndSwap(true, false)
}

// unpark goes on with the loop on a new goroutine, if there is none.
func (s *supervisor[S]) unpark() {
	if s.parked.CompareAndSwap(true, false) {
		go s.run()
	}
}

// expire runs when the timer does.
func (s *supervisor[S]) expire() {
	ring(s.alarm)
	s.unpark()
}

// ring wakes who listens to a channel of capacity 1.
func ring(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// turn waits for the next event and takes it.
func (s *supervisor[S]) turn() {
	s.arm()
	select {
	case <-s.ctx.Done():
		return
	case r := <-s.try.result():
		if isClosed(s.live.closed()) { // that came first
			s.ended()
		}
		s.try = nil
		s.answered(r)
	case <-s.live.closed():
		s.ended()
	case <-s.live.changed():
		s.felt()
	case <-s.orders.bell:
		s.obey()
	case <-s.alarm:
		s.due()
	}
}

// ending is the final error of a supervisor whose context has ended.
func ending(ctx context.Context) error {
	if cause := context.Cause(ctx); cause != errClosing {
		return cause
	}
	return nil
}

// arm sets the timer to what is due first.
func (s *supervisor[S]) arm() {
	next := earliest(s.retryAt, s.urgentAt())
	if s.live == nil {
		next = earliest(next, s.remindAt)
	}
	if s.live.settled() && s.try == nil {
		next = earliest(next, s.live.renewAt)
	}
	if s.live == nil && s.try != nil {
		next = earliest(next, s.pacer.deadline())
	}
	if next.IsZero() {
		s.timer.Stop()
		return
	}
	if wait := time.Until(next); wait > 0 {
		s.timer.Reset(wait)
		return
	}
	s.timer.Stop()
	ring(s.alarm)
}

// earliest returns the earlier of two times, of which zero is never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func reached(t time.Time) bool { return !t.IsZero() && time.Until(t) <= 0 }

// due does what the timer was set for.
func (s *supervisor[S]) due() {
	if s.board.read().state.Phase == Paused { // else it may have rung before the pause
		if reached(s.urgentAt()) {
			s.hurry()
		}
		return
	}
	if s.live == nil && reached(s.remindAt) {
		s.remind()
	}
	switch {
	case s.live == nil && s.pacer.spent():
		s.gaveUp()
	case reached(s.urgentAt()):
		s.hurry()
	case reached(s.retryAt):
		s.retry()
	case s.live.settled() && s.try == nil && reached(s.live.renewAt):
		s.attempt(renewing)
	}
}

// leave ends everything, and waits for it. The session that is being closed is nobody's
// any more while it drains.
func (s *supervisor[S]) leave() {
	s.drop()
	if s.live != nil {
		s.board.withdraw(0)
		s.retire(s.live)
		s.live = nil
	}
	s.work.Wait()
}

// conclude publishes the final error, nil if the supervisor was closed.
func (s *supervisor[S]) conclude(err error) {
	s.rest(false)
	s.enter(Stopped, func(v *view[S]) { v.err, v.state.Err = err, err })
	if s.final == nil {
		s.tell(Event{Kind: EventStopped})
	}
	s.orders.refuse(stopError(err))
	s.done(err)
}

// depart lets the observer hear the last of it.
func (s *supervisor[S]) depart() {
	s.news.close()
	close(s.closed)
}

// stopError is what a call on a supervisor that has stopped returns.
func stopError(err error) error {
	if err == nil {
		return ErrClosed
	}
	return err
}

// retire closes a session in good order, on a goroutine of its own.
func (s *supervisor[S]) retire(old *serving[S]) {
	s.work.Go(func() {
		_ = old.session.Close()
		s.bury(old.session)
	})
}

// abandon ends a session that nobody would hear the last words of.
func (s *supervisor[S]) abandon(old *serving[S], cause error) {
	s.work.Go(func() {
		old.session.abandon(cause)
		s.bury(old.session)
	})
}

// bury tells of a session that has ended.
func (s *supervisor[S]) bury(session S) {
	if s.gone != nil {
		s.gone(session)
	}
}

// reasonOf says why a session ended, also if it was closed by whoever got hold of it.
func reasonOf(session liveSession) error {
	if err := session.Err(); err != nil {
		return err
	}
	return &SessionError{Code: SessionNoError}
}
