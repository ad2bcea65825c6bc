package moq

import (
	"errors"
	"math/rand/v2"
	"time"
)

// The edges between the phases of a supervisor, drawn in docs/ARCHITECTURE.md. All of
// them run on its loop.

const (
	// maxServerDelay is the longest Retry-After that is obeyed.
	maxServerDelay = 5 * time.Minute
	// maxSuspicions is how often the same suspect answer is taken in a row.
	maxSuspicions = 3
	// quietTime is how long a path counts as having just fallen silent, and minUnheard how
	// long a dial may hear nothing on it, at least.
	quietTime  = 10 * time.Second
	minUnheard = 800 * time.Millisecond
	// minUnasked is the age from which an attempt that has heard nothing is begun anew when
	// the path may have changed. QUIC asks a second time after 200 ms.
	minUnasked = 200 * time.Millisecond
)

// attempt begins one: Waiting or Paused → Connecting, or Connected → Migrating.
func (s *supervisor[S]) attempt(why purpose) {
	s.retryAt, s.notUntil = time.Time{}, time.Time{}
	s.rest(false)
	phase := Connecting
	if s.live != nil {
		phase = Migrating
	}
	if s.board.read().state.Phase != phase {
		s.enter(phase, nil)
	}
	s.begin(why, s.limit())
	s.tell(Event{Kind: EventAttempt})
}

// answered takes the outcome of an attempt.
func (s *supervisor[S]) answered(r result[S]) {
	owed := s.orders.asked()
	s.awaited = false
	switch {
	case r.err == nil:
		s.established(r.session)
	case s.live == nil:
		s.failed(r.err)
	default:
		s.missed(r)
	}
	owed.give(r.err)
}

// established: Connecting or Migrating → Connected.
func (s *supervisor[S]) established(session S) {
	kind, since := EventConnected, time.Now()
	if old := s.live; old != nil {
		if kind = s.replaced(old); kind == EventReplaced {
			since = old.since // the service was not interrupted
		}
	}
	s.live = &serving[S]{session: session, pulse: session.watch(), since: since}
	s.live.renewAt = renewal(session.life())
	s.renewals.reset()
	s.resolved, s.rejected, s.suspicions = true, false, 0
	s.retryAt = time.Time{}
	down := s.down()
	s.downSince = time.Time{}
	s.enter(Connected, func(v *view[S]) {
		v.session, v.live = session, true
		v.state.Generation++
	})
	s.hail(down)
	s.tell(Event{Kind: kind, Down: down})
}

// replaced closes the session that a new one takes the place of. One that had fallen
// silent was lost, and its last words would be heard by nobody.
func (s *supervisor[S]) replaced(old *serving[S]) EventKind {
	if !old.silent {
		s.board.withdraw(0)
		s.retire(old)
		s.calm(old)
		s.hailed = true // nobody missed it
		return EventReplaced
	}
	s.board.withdraw(1)
	s.wentQuiet(old)
	s.downSince, s.last = s.quiet.last, old.silence()
	s.abandon(old, s.last)
	s.calm(old)
	return EventConnected
}

// calm ends the outage that led to a session, if the session proved stable. What was
// counted and planned while it was silent is forgotten with that.
func (s *supervisor[S]) calm(old *serving[S]) {
	if s.pacer.stable(old.lived()) {
		s.pacer.reset()
		s.first, s.refreshed, s.hailed, s.warned = nil, false, false, false
		s.retryAt, s.remindAt, old.counted = time.Time{}, time.Time{}, false
	}
}

// failed: Connecting → Waiting or Stopped, after an attempt that came to nothing.
func (s *supervisor[S]) failed(err error) {
	r := s.judge(err)
	s.tell(Event{Kind: EventFailed, Class: r.action, Err: err})
	s.retreat(err, r)
}

// missed: Migrating → Connected, after an attempt beside the live session that came to
// nothing. No answer is final as long as there is a session.
func (s *supervisor[S]) missed(r result[S]) {
	s.last = r.err
	rule := s.judge(r.err)
	s.tell(Event{Kind: EventFailed, Class: rule.action, Err: r.err})
	switch {
	case s.live.silent:
		s.retryAt = time.Now().Add(s.asked(s.count(r.err), r.err))
	case r.why == renewing:
		wait, _ := s.renewals.next()
		s.live.renewAt = time.Now().Add(s.asked(wait, r.err))
	default:
		s.asked(0, r.err)
	}
	s.enter(Connected, nil)
	s.complain(rule, time.Until(earliest(s.retryAt, s.live.renewAt)))
}

// ended: Connected → Waiting or Stopped, or Migrating → Connecting, since the session has
// ended.
func (s *supervisor[S]) ended() {
	s.bury(s.live.session)
	s.lost(reasonOf(s.live.session))
}

// felt takes a change of the live session's health.
func (s *supervisor[S]) felt() {
	switch now := s.live.pulse.health(); {
	case now == dead:
		s.deceased()
	case now == silent && !s.live.silent:
		s.suspected()
	case now == alive && s.live.silent:
		s.woke()
	}
}

// suspected: Connected → Migrating, since the session has fallen silent: a second attempt
// begins beside it. A session that was not stable does not buy one for free.
func (s *supervisor[S]) suspected() {
	s.live.silent = true
	s.wentQuiet(s.live)
	s.tell(Event{Kind: EventSilent})
	s.whisper("silent")
	switch {
	case s.try != nil: // it will do
	case !s.pacer.stable(s.live.lived()):
		s.live.counted = true
		s.retryAt = time.Now().Add(max(s.count(s.live.silence()), time.Until(s.notUntil)))
	case time.Now().Before(s.notUntil):
		s.retryAt = s.notUntil
	default:
		s.attempt(hedging)
	}
}

// woke: Migrating → Connected, since the silent session is heard again.
func (s *supervisor[S]) woke() {
	s.live.silent, s.live.counted = false, false
	s.retryAt = time.Time{}
	s.tell(Event{Kind: EventAwake})
	s.whisper("awake")
	if s.try != nil && s.try.why == hedging && !s.awaited {
		s.drop()
	}
	if s.try == nil && s.board.read().state.Phase != Connected {
		s.enter(Connected, nil)
	}
}

// deceased: Migrating → Connecting, or Connected → Waiting, since the session was silent
// for too long.
func (s *supervisor[S]) deceased() {
	s.live.silent = true
	silence := s.live.silence()
	s.abandon(s.live, silence)
	s.lost(silence)
}

// lost counts the loss of the live session. What goes on is the attempt under way, if
// there is one.
func (s *supervisor[S]) lost(err error) {
	old := s.live
	s.live = nil
	s.board.withdraw(1)
	s.calm(old)
	s.wentQuiet(old)
	s.downSince = time.Now()
	if old.silent {
		s.downSince = s.quiet.last
	}
	r := s.judge(err)
	if s.try == nil {
		s.tell(Event{Kind: EventLost, Class: r.action, Err: err})
		s.retreat(err, r)
		return
	}
	if s.last = err; !old.counted {
		s.count(err)
	}
	s.enter(Connecting, nil)
	s.tell(Event{Kind: EventLost, Class: r.action, Err: err})
	s.complain(r, 0)
}

// retreat counts a failure, and waits for the next attempt or stops. The loss of a session
// whose silence was counted already changes nothing about the next attempt.
func (s *supervisor[S]) retreat(err error, r rule) {
	var wait time.Duration
	if s.retryAt.IsZero() {
		wait = max(s.asked(s.count(err), err), time.Until(s.notUntil))
	} else {
		s.last = err
		wait = max(0, time.Until(s.retryAt))
	}
	switch reason := s.verdict(r); {
	case reason == errRefresh:
		s.refreshed = true
		s.refresh(r)
	case reason != nil:
		s.stop(reason, r)
	case s.pacer.spent():
		s.stop(ErrGaveUp, r)
	default:
		s.pause(wait, r)
	}
}

// errRefresh is the verdict that a new credential is to be tried at once.
var errRefresh = errors.New("refresh")

// verdict says why a failure is the end: nil if it is not.
func (s *supervisor[S]) verdict(r rule) error {
	suspect := r.action == Suspect && (r.name != "unknown host" || s.resolved)
	switch {
	case !suspect:
		s.suspicions = 0
	case s.suspicion == r.name:
		s.suspicions++
	default:
		s.suspicion, s.suspicions = r.name, 1
	}
	switch {
	case r.action == Refresh && s.renewable && !s.refreshed:
		return errRefresh
	case r.action == Refresh:
		return ErrRefused
	case r.action == Stop, s.suspicions >= maxSuspicions:
		return ErrStopped
	}
	return nil
}

// refresh: Connecting or Connected → Connecting at once, for a new credential. If every
// session counts as stable, the next outage may be here already: then → Waiting.
func (s *supervisor[S]) refresh(r rule) {
	s.urgent = true
	if at := s.urgentAt(); !reached(at) {
		s.pause(time.Until(at), r)
		return
	}
	s.enter(Connecting, nil)
	s.complain(r, 0)
	s.hurry()
}

// pause: Connecting or Connected → Waiting. The wait is cut to the time that is left
// until giving up.
func (s *supervisor[S]) pause(wait time.Duration, r rule) {
	until := time.Now().Add(wait)
	retry := until
	if end := s.pacer.deadline(); !end.IsZero() && !end.After(until) {
		until, retry = end, time.Time{}
	}
	s.retryAt = until
	s.rest(true)
	s.enter(Waiting, func(v *view[S]) { v.state.RetryAt = retry })
	s.complain(r, time.Until(until))
}

// retry: Waiting → Connecting, or Connected → Migrating, since the wait is over.
func (s *supervisor[S]) retry() {
	if s.live != nil {
		s.attempt(hedging)
		return
	}
	s.attempt(reconnecting)
}

// gaveUp: Connecting or Waiting → Stopped, since the time to give up has come. An attempt
// that is cut off is the last failure.
func (s *supervisor[S]) gaveUp() {
	if s.try != nil {
		s.count(s.cut())
	}
	s.stop(ErrGaveUp, ruleFor(s.last))
}

// stop: → Stopped.
func (s *supervisor[S]) stop(reason error, r rule) {
	err := &StopError{
		Reason:   reason,
		First:    s.first,
		Last:     s.last,
		Attempts: s.pacer.failures,
		Down:     time.Since(s.pacer.since),
	}
	s.final = err
	s.farewell(err, r)
	s.tell(Event{Kind: EventStopped, Err: err})
}

// paused: any phase → Paused.
func (s *supervisor[S]) paused() {
	s.drop()
	if s.live != nil {
		s.board.withdraw(0)
		s.retire(s.live)
		s.calm(s.live)
		s.live = nil
	}
	s.retryAt, s.remindAt, s.downSince = time.Time{}, time.Time{}, time.Time{}
	s.urgent = false
	s.rest(false)
	s.enter(Paused, nil)
	s.tell(Event{Kind: EventPaused})
}

// resumed: Paused → Connecting. A new outage begins, with its own time to give up.
func (s *supervisor[S]) resumed() {
	s.pacer.restart()
	s.first, s.last, s.refreshed, s.suspicions = nil, nil, false, 0
	s.hailed, s.warned = false, false
	s.downSince = time.Now()
	s.tell(Event{Kind: EventResumed})
	s.attempt(reconnecting)
}

// count notes a failure and returns how long to wait after it.
func (s *supervisor[S]) count(err error) time.Duration {
	wait, _ := s.pacer.next()
	if s.first == nil {
		s.first, s.hailed = err, false
	}
	s.last = err
	return wait
}

// asked lengthens a wait to what the server asked for, within reason, and a little more,
// so that not all come at once.
func (s *supervisor[S]) asked(wait time.Duration, err error) time.Duration {
	status, ok := errors.AsType[*StatusError](err)
	if !ok || status.RetryAfter <= 0 {
		return wait
	}
	delay := min(status.RetryAfter, maxServerDelay)
	wait = max(wait, delay+rand.N(delay/10+1))
	s.notUntil = time.Now().Add(wait)
	return wait
}

// wentQuiet notes the path that a session was lost on.
func (s *supervisor[S]) wentQuiet(old *serving[S]) {
	s.quiet = quietPath{last: old.pulse.LastPacket(), rtt: old.pulse.RTT()}
}

// down is how long there has been no session that was heard.
func (s *supervisor[S]) down() time.Duration {
	if s.downSince.IsZero() {
		return 0
	}
	return time.Since(s.downSince)
}
