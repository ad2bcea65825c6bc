package moq

import (
	"context"
	"iter"
)

// Reconnect keeps a session to one endpoint alive until it is closed, its context
// ends, or there is no point in going on. [Client.Reconnect] makes it.
//
// It dials, waits for the session to end for whatever reason, a clean close by the
// peer included, waits as [Backoff] says, and dials again. The origins of the
// [Config] outlive the sessions: what they publish is announced again on each.
//
// All methods may be called concurrently, and none of them holds up the loop.
type Reconnect struct {
	supervisor *supervisor[*Session]
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
// started has ended; a session may take 1 s to drain. It may be called again, and then
// waits the same. The error is always nil.
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
