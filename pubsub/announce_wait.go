package pubsub

import (
	"context"
	"errors"
	"time"

	"github.com/remoq/moq/moqerr"
)

// errTimer is returned by next when its timer fired.
var errTimer = errors.New("moq: timer")

// next is Next, bounded by a timer that may be nil.
func (a *Announcements) next(ctx context.Context, timer <-chan time.Time) (Announcement, error) {
	o := a.origin
	for {
		if err := ctx.Err(); err != nil {
			return Announcement{}, err
		}
		o.mu.Lock()
		out, ok, err := a.sleep()
		o.mu.Unlock()
		if ok || err != nil {
			return out, err
		}
		select {
		case <-a.sleeper.ch:
		case <-timer:
			return Announcement{}, errTimer
		case <-ctx.Done():
			return Announcement{}, ctx.Err()
		}
	}
}

// sleep returns what Next returns, or neither: wait. The caller holds the lock.
func (a *Announcements) sleep() (out Announcement, ok bool, err error) {
	if a.closed {
		return out, false, moqerr.ErrClosed
	}
	if out, ok = a.produce(true); ok {
		return out, true, nil
	}
	if a.origin.stopped != nil {
		return out, false, a.origin.stopped
	}
	a.sleeper.prepare()
	a.waiting = true
	return out, false, nil
}

// poll returns an announcement if one is there.
func (a *Announcements) poll() (Announcement, bool) {
	a.origin.mu.Lock()
	defer a.origin.mu.Unlock()
	return a.produce(true)
}
