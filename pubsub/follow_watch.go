package pubsub

import (
	"context"
	"time"
)

// maxOpenWatched is how many of the latest groups are looked at.
const maxOpenWatched = 64

// progress is how far a track has come: up to which sequence, of a group or a datagram, and
// to how many frames of its latest group, and of some older ones, which may still be open.
type progress struct {
	of     *track
	next   uint64
	frames int
	older  int // of another track, or when groups have left the cache, not to be compared
}

func (p progress) behind(o progress) bool {
	switch {
	case p.next != o.next:
		return p.next < o.next
	case p.frames != o.frames:
		return p.frames < o.frames
	}
	return p.of == o.of && p.older < o.older
}

// watchdog notices that nothing comes. Whether that is the publisher's silence or a
// subscription that was lost cannot be known; so the subscription is made anew, where it
// was, and less and less often.
type watchdog struct {
	since time.Time     // of the last sign of life
	wait  time.Duration // how long the next may take; 0: off
	seen  progress
}

func (w *watchdog) deadline() time.Time {
	if w.wait == 0 {
		return time.Time{}
	}
	return w.since.Add(w.wait)
}

// watchOver begins to watch a new subscription. One to a track that is made here cannot be
// lost.
func (f *Follower) watchOver(sub *TrackConsumer) {
	w := &f.watch
	w.since = time.Now()
	switch {
	case f.broadcast.route.ours():
		w.wait = 0
	case w.wait == 0:
		w.wait = f.stall
	}
	now := sub.progress()
	w.seen.of, w.seen.older = now.of, now.older
	f.patience.Store(int64(w.wait))
}

// look renews the subscription if nothing has come of it for too long.
func (f *Follower) look(sub *TrackConsumer) {
	w := &f.watch
	if w.wait == 0 {
		return
	}
	if now := sub.progress(); w.seen.behind(now) {
		w.seen, w.since, w.wait = now, time.Now(), f.stall
		f.patience.Store(int64(w.wait))
		return
	} else if now.older < w.seen.older {
		w.seen.older = now.older
	}
	if time.Now().Before(w.deadline()) {
		return
	}
	w.wait = min(2*w.wait, f.stall<<maxStallDoublings)
	f.broadcast.route.requests.setAside(trackKey{f.path, f.track}, sub.t)
	f.lose(sub, errSilent)
}

// wakeUp is called by a reader that has waited for a frame for long. Whoever has the turn
// looks by himself.
func (f *Follower) wakeUp(ctx context.Context, o *openGroup) error {
	select {
	case f.turn <- struct{}{}:
	default:
		return nil
	}
	if sub := f.subscribed(); sub != nil {
		f.look(sub)
	}
	if o.cut {
		return f.drive(ctx, o)
	}
	f.leave()
	return nil
}

// progress returns how far the track has come.
func (c *TrackConsumer) progress() progress {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	p := progress{of: c.t, next: c.t.next}
	if n := len(c.t.cache.groups); n > 0 {
		p.frames = c.t.cache.groups[n-1].ready()
		for _, g := range c.t.cache.groups[max(0, n-maxOpenWatched) : n-1] {
			p.older += g.ready()
		}
	}
	return p
}

// highest returns the highest sequence that has come.
func (c *TrackConsumer) highest() uint64 {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return max(c.t.next, 1) - 1
}

// edge waits until the newest timestamp is known, or for the deadline: errTimer. Else it
// returns why the wait ended.
func (c *TrackConsumer) edge(ctx context.Context, deadline time.Time) error {
	t := c.t
	_, err := c.read(ctx, func() step {
		c.watch(true) // first: a frame written from here on rings
		if _, known := t.cache.newest(); known || t.ended || t.bounded || !time.Now().Before(deadline) {
			return step{err: errTimer}
		}
		return step{deadline: deadline}
	})
	return err
}

// behind reports whether g begins more than d before the newest frame.
func (c *TrackConsumer) behind(g *group, d time.Duration) bool {
	start, ok := g.start()
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	newest, known := c.t.cache.newest()
	return ok && known && addTicks(start, toTicks(d, c.t.info.Timescale)) < newest
}

// goesOn waits until a newer group than seq is here and not broken, or for the deadline:
// errTimer. Else it returns why the track ended, or why the wait did.
func (c *TrackConsumer) goesOn(ctx context.Context, seq uint64, deadline time.Time) error {
	t := c.t
	_, err := c.read(ctx, func() step {
		if t.ended && t.err != nil {
			return step{err: t.err}
		}
		if n := len(t.cache.groups); n > 0 && t.cache.groups[n-1].sequence > seq {
			if _, _, broken := t.cache.groups[n-1].outcome(); broken == nil {
				return step{err: errTimer}
			}
		}
		if t.ended || !time.Now().Before(deadline) {
			return step{err: errTimer}
		}
		return step{deadline: deadline}
	})
	return err
}
