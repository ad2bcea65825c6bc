package moq

import (
	"context"
	"iter"
	"sync"
)

// view is what handles read of a supervisor: a value that is never changed, only
// replaced.
type view[S liveSession] struct {
	state   State
	session S             // if live
	live    bool          // established, and not yet found to have ended
	err     error         // once Stopped: the supervisor's final error
	wait    uint64        // counts the waits, so that a kick ends the one it was meant for
	changed chan struct{} // closed when a newer view has replaced this one
}

// usable reports whether the session is there and has not ended meanwhile.
func (v *view[S]) usable() bool {
	return v.live && !isClosed(v.session.Closed())
}

// board shows the newest view to any number of readers. None of them can hold up the
// writer, and none misses the newest. The zero board shows a zero view that is never
// replaced: write first.
type board[S liveSession] struct {
	mu   sync.Mutex
	view view[S]
}

func (b *board[S]) read() view[S] {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.view
}

// write replaces the view and wakes whoever waits for that. There is one writer.
func (b *board[S]) write(next view[S]) {
	next.changed = make(chan struct{})
	b.mu.Lock()
	old := b.view.changed
	b.view = next
	b.mu.Unlock()
	if old != nil {
		close(old)
	}
}

// withdraw takes the session away from those who ask for one from now on, and counts it
// as lost if it was. Nobody has to wake up for that.
func (b *board[S]) withdraw(lost uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var none S
	b.view.session, b.view.live = none, false
	b.view.state.Losses += lost
}

// states yields the present state and then each newest one, until ctx ends or the
// last one, Stopped, was yielded.
func (b *board[S]) states(ctx context.Context) iter.Seq[State] {
	return func(yield func(State) bool) {
		for {
			v := b.read()
			if !yield(v.state) || v.state.Phase == Stopped || await(ctx, v.changed) != nil {
				return
			}
		}
	}
}

// sessions yields the live session and then each newest one, until ctx ends or the
// supervisor has stopped.
func (b *board[S]) sessions(ctx context.Context) iter.Seq[S] {
	return func(yield func(S) bool) {
		for yielded := uint64(0); ; {
			v := b.read()
			if v.usable() && v.state.Generation > yielded {
				yielded = v.state.Generation
				if !yield(v.session) {
					return
				}
			}
			if v.state.Phase == Stopped || await(ctx, v.changed) != nil {
				return
			}
		}
	}
}

// session returns the live session, or waits for it.
func (b *board[S]) session(ctx context.Context) (S, error) {
	for {
		v := b.read()
		if v.usable() {
			return v.session, nil
		}
		err := v.err
		if v.state.Phase == Stopped && err == nil {
			err = ErrClosed
		}
		if err == nil {
			err = await(ctx, v.changed)
		}
		if err != nil {
			var none S
			return none, err
		}
	}
}

// await waits for c to be closed, or returns the cause of ctx's end.
func await(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
	case <-ctx.Done():
	}
	return context.Cause(ctx)
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
