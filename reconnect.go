package moq

import (
	"context"
	"fmt"
	"io"
	"iter"
)

// Reconnect keeps a session to one endpoint alive until it is closed, its context
// ends, or there is no point in going on. [Client.Reconnect] makes it.
//
// It dials, waits for the session to end for whatever reason, a clean close by the
// peer included, waits as [Backoff] says, and dials again. The origins of the
// [Config] outlive the sessions: what they publish is announced again on each.
//
// A session that stays silent for longer than its traffic makes likely is probed. If that
// is not answered, a second one is dialed beside it, and whichever is heard first is kept
// (Migrating). docs/RECONNECT.md has the rules and the figures.
//
// All methods may be called concurrently, and none of them holds up the loop.
type Reconnect struct {
	supervisor *supervisor[*Session]
	history    *history
	hooks      *caller
}

// Closed is closed when the supervisor has ended for good, and with it every session
// and goroutine that it started.
func (r *Reconnect) Closed() <-chan struct{} { return r.supervisor.closed }

// Err returns why the supervisor ended, once Closed is closed: nil after
// [Reconnect.Close] or [Client.Close], context.Cause of the context given to
// Reconnect, or a *[StopError] that tells the reason ([ErrRefused], [ErrGaveUp] or
// [ErrStopped]) and the first and last failure of the outage. Before, it returns nil.
func (r *Reconnect) Err() error {
	if !isClosed(r.supervisor.closed) {
		return nil
	}
	return r.supervisor.board.read().err
}

// Wait waits for Closed and returns [Reconnect.Err]. If ctx ends first, it returns
// context.Cause(ctx); the supervisor goes on.
func (r *Reconnect) Wait(ctx context.Context) error {
	if err := await(ctx, r.supervisor.closed); err != nil && !isClosed(r.supervisor.closed) {
		return err
	}
	return r.Err()
}

// Close ends a running dial or session, and returns when everything the supervisor
// started has ended; a session may take 1 s to drain, and on WebTransport up to another to say
// goodbye. It may be called again, and then waits the same. The error is always nil.
func (r *Reconnect) Close() error {
	r.supervisor.close()
	return nil
}

// State returns a snapshot.
func (r *Reconnect) State() State { return r.supervisor.board.read().state }

// States yields the present state and then each change. A slow reader misses states
// in between but never the newest; Generation and Losses tell what it missed. It ends
// after the phase Stopped, or with ctx.
func (r *Reconnect) States(ctx context.Context) iter.Seq[State] {
	return r.supervisor.board.states(ctx)
}

// Session returns the live session, or waits for it. The error is context.Cause(ctx),
// and once the supervisor has stopped what [Reconnect.Err] returns, or [ErrClosed]
// where that is nil.
//
// The session belongs to the supervisor: who closes it gets another one.
func (r *Reconnect) Session(ctx context.Context) (*Session, error) {
	return r.supervisor.board.session(ctx)
}

// Sessions yields the live session, if there is one, and then each new one. A slow
// reader gets the newest only; one that has ended meanwhile is left out. It ends when
// the supervisor has stopped, or with ctx.
func (r *Reconnect) Sessions(ctx context.Context) iter.Seq[*Session] {
	return r.supervisor.board.sessions(ctx)
}

// Kick ends the present wait, so that the next attempt is made now. It does nothing else:
// in every other phase, and once the wait is over, it has no effect, also not later. Of several
// kicks the one for the latest wait counts.
//
// Attempts that Kick, Check, Redial and Resume ask for are made at once, but a tenth of
// [Backoff].Initial apart, within 50 ms and 1 s.
func (r *Reconnect) Kick() { r.supervisor.kick() }

// Check says that the path may have changed: another network, a machine that woke up. A
// live session is probed, and replaced if it does not answer soon; a wait is ended; an
// attempt that has heard nothing for a while is begun anew. It has no effect while the
// Reconnect is paused. Changes of interfaces (on Linux) and sleep are noticed without it.
func (r *Reconnect) Check() { r.supervisor.check() }

// Redial replaces the live session: it dials a second one, and when that is established
// closes the first in good order. It returns nil when there is a session that was not
// there before, and the attempt's error if that failed; the live session then goes on.
// While there is none, it ends the wait, or joins the attempt under way; while Paused, it
// waits for Resume. The error is context.Cause(ctx) if ctx ends first, which does not call
// the attempt off, and once stopped what [Reconnect.Session] returns.
func (r *Reconnect) Redial(ctx context.Context) error { return r.supervisor.redial(ctx) }

// Pause closes the live session in good order, or calls off the attempt or the wait, and
// stays disconnected until [Reconnect.Resume]. The time to give up does not run meanwhile,
// and the session does not count as lost. It does not wait for any of this: States tells.
func (r *Reconnect) Pause() { r.supervisor.setPaused(true) }

// Resume ends a Pause: an attempt is made at once, and the time to give up begins anew. In
// every other phase it has no effect. If the loop has not heard of the Pause yet, neither
// has any.
func (r *Reconnect) Resume() { r.supervisor.setPaused(false) }

// String tells the phase, and scheme, host and port of the URL.
func (r *Reconnect) String() string {
	state := r.State()
	return fmt.Sprintf("%v, %s", state.Phase, state.Endpoint)
}

// Format writes String, whatever the verb, as [Session.Format] does.
func (r *Reconnect) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, r.String()) }

// MarshalText is String.
func (r *Reconnect) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// Stats returns what all sessions so far add up to.
func (r *Reconnect) Stats() ReconnectStats {
	s := r.history.sum()
	s.AbandonedHooks, s.PanickedHooks = r.hooks.abandoned.Load(), r.hooks.panicked.Load()
	return s
}
