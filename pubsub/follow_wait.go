package pubsub

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/remoq/moq/moqerr"
)

// subscription returns the running subscription, or makes one when it is time.
func (f *Follower) subscription(ctx context.Context) (*TrackConsumer, error) {
	f.mu.Lock()
	sub, asked, closed := f.sub, f.asked, f.closed
	f.mu.Unlock()
	switch {
	case closed:
		return nil, moqerr.ErrClosed
	case f.bad != nil:
		return nil, f.bad
	case sub != nil:
		return sub, nil
	}
	for {
		if asked == nil {
			if err := f.pause(ctx); err != nil {
				return nil, err
			}
			if err := f.await(ctx); err != nil {
				return nil, err
			}
		}
		sub, err := f.subscribe(ctx, asked)
		switch {
		case err == nil:
			return sub, nil
		case f.isClosed():
			return nil, moqerr.ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		asked = nil
		f.fail()
		f.mu.Lock()
		f.state.Err = err
		f.mu.Unlock()
		if errors.Is(err, streamError(moqerr.StreamNotFound)) {
			return nil, err
		}
	}
}

// fail counts a failure and settles when to try again.
func (f *Follower) fail() {
	f.seamless = false
	d := min(retryFirst<<min(f.failures, 10), retryLast)
	f.failures++
	f.retryAt = time.Now().Add(d/2 + rand.N(d/2))
}

// pause waits after a failure: for a while, or until the announcement changes. The time
// goes on between calls, so that short ones get there too.
func (f *Follower) pause(ctx context.Context) error {
	if f.retryAt.IsZero() {
		return nil
	}
	timer := time.NewTimer(time.Until(f.retryAt))
	defer timer.Stop()
	for {
		if !time.Now().Before(f.retryAt) { // also if the last supervisor has ended
			f.retryAt = time.Time{}
			return nil
		}
		a, err := f.cursor.next(ctx, timer.C)
		if err != nil && err != errTimer {
			return err
		}
		if err == errTimer || f.see(a) {
			f.retryAt = time.Time{}
			return nil
		}
	}
}

// await waits until the broadcast is announced.
func (f *Follower) await(ctx context.Context) error {
	for a, ok := f.cursor.poll(); ok; a, ok = f.cursor.poll() {
		f.see(a)
	}
	for !f.active {
		f.seamless = false
		a, err := f.cursor.next(ctx, nil)
		if err != nil {
			return err
		}
		f.see(a)
	}
	return nil
}

// see takes note of an announcement and reports whether it is one.
func (f *Follower) see(a Announcement) bool {
	if a.Synced {
		return false
	}
	f.active = a.Active
	return true
}

// subscribed returns the running subscription, or nil.
func (f *Follower) subscribed() *TrackConsumer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sub
}
