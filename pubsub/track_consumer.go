package pubsub

import (
	"context"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/remoq/moq/moqerr"
)

// TrackConsumer reads one track. One goroutine reads groups at a time, by NextGroup or by
// NextArrival, not both, and one may read datagrams beside it; the other methods may be called from anywhere. Close unblocks a
// read.
//
// A read that has to wait ends with ctx.Err(), with [moqerr.ErrClosed] after Close, with
// io.EOF when the track or the asked range ended, or with the error that cut the track. In
// the last two cases the groups that are here are delivered first.
type TrackConsumer struct {
	t *track

	// Guarded by track.mu.
	opts     SubscribeOptions
	age      time.Duration // opts.MaxAge on this track
	ageTicks uint64
	closed   bool
	resolved bool      // next and low are known
	low      uint64    // the first group that is wanted
	next     uint64    // in order: the next group
	lost     bool      // something was lost since the last group
	lostFrom uint64    // the first of it
	absent   bool      // some of it never was here
	missing  uint64    // the group that is being waited for
	since    time.Time // since when a newer one is here; zero: not waiting
	hurried  bool      // a missing group is not waited for long
	watching bool      // counted in track.watchers
	cursor   uint64    // by arrival: the next arrival
	parked   []uint64  // by arrival: groups above End
	passed   []uint64  // by arrival: the latest groups that were not wanted
	dropped  uint64    // how much of track.drops was taken
	heard    uint64    // datagrams that were delivered, or passed over
	unheard  uint64    // datagrams that were missed since the last one

	sleeper  sleeper
	listener sleeper // for datagrams
}

// subscribe adds a reader, unless the track was released.
func (t *track) subscribe(o SubscribeOptions) (*TrackConsumer, bool) {
	c := &TrackConsumer{t: t}
	t.mu.Lock()
	if t.gone {
		t.mu.Unlock()
		return nil, false
	}
	c.apply(o)
	if !c.resolved && t.used {
		c.resolved = true
		c.next = t.next
		if n := len(t.cache.groups); n > 0 {
			c.next = t.cache.groups[n-1].sequence
		}
		c.low = c.next
	}
	if t.datagrams != nil {
		c.heard = t.datagrams.count
	}
	t.readers = append(t.readers, c)
	changed := t.recount()
	t.mu.Unlock()
	fire(changed)
	return c, true
}

// apply takes over o. The caller holds the track's lock.
func (c *TrackConsumer) apply(o SubscribeOptions) {
	c.opts = o.copied()
	c.age = o.age(c.t.info.MaxAge)
	c.ageTicks = toTicks(c.age, c.t.info.Timescale)
	if c.opts.Start == nil {
		return
	}
	c.low = *c.opts.Start
	if !c.resolved || c.low > c.next {
		c.next, c.lost, c.absent = c.low, false, false
	}
	c.resolved = true
}

// recount sums up the demand. The caller holds mu and fires the result without it.
func (t *track) recount() chan struct{} {
	var d Demand
	for _, c := range t.readers {
		d.add(c.opts, c.age)
	}
	return t.demand.set(d)
}

// Info returns the track's properties. MaxAge 0 means that only the latest group is kept.
func (c *TrackConsumer) Info() TrackInfo { return c.t.info }

// Update replaces what the reader wants. Start can skip ahead, but not go back behind what
// was read; by arrival it brings what was passed over, of the last 512 such groups. A higher
// End goes on after io.EOF. It fails with [moqerr.ErrClosed] after Close.
func (c *TrackConsumer) Update(o SubscribeOptions) error {
	t := c.t
	t.mu.Lock()
	if c.closed {
		t.mu.Unlock()
		return moqerr.ErrClosed
	}
	c.apply(o)
	c.parked = append(c.parked, c.passed...) // they may be wanted now
	c.passed = nil
	changed := t.recount()
	t.mu.Unlock()
	fire(changed)
	c.rouse()
	return nil
}

// rouse makes a reader that sleeps look again.
func (c *TrackConsumer) rouse() {
	c.t.mu.Lock()
	c.t.bell.remove(&c.sleeper)
	c.sleeper.prepare()
	c.t.mu.Unlock()
	c.sleeper.ring()
}

// Close ends the subscription. Groups that were delivered can still be read. It may be
// repeated and returns nil.
func (c *TrackConsumer) Close() error {
	t := c.t
	t.mu.Lock()
	if c.closed {
		t.mu.Unlock()
		return nil
	}
	c.closed = true
	c.watch(false)
	t.bell.remove(&c.sleeper)
	t.listeners.remove(&c.listener)
	sleeper, listener := c.sleeper, c.listener // made under the lock when they first wait
	t.readers = slices.DeleteFunc(t.readers, func(o *TrackConsumer) bool { return o == c })
	t.empty()
	changed := t.recount()
	t.mu.Unlock()
	fire(changed)
	sleeper.ring()
	listener.ring()
	return nil
}

// Final returns the first sequence that will never exist, once it is known.
func (c *TrackConsumer) Final() (sequence uint64, known bool) {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.t.final, c.t.bounded
}

// Stale reports whether the group is too old by the reader's MaxAge, or not kept any
// more.
func (c *TrackConsumer) Stale(sequence uint64) bool {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	return sequence < t.cache.floor || t.cache.tooOld(t.cache.at(sequence+1), c.ageTicks)
}

// StaleIn returns how much presentation time is left until the group is too old by the
// reader's MaxAge: all of it, or more, while no later group has a frame; false while it is the
// latest group.
func (c *TrackConsumer) StaleIn(sequence uint64) (time.Duration, bool) {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if sequence < t.cache.floor {
		return 0, true
	}
	ticks, _, ok := t.cache.left(t.cache.at(sequence+1), c.ageTicks)
	return toDuration(ticks, t.info.Timescale), ok
}

// Groups iterates over the groups in order, as NextGroup returns them. Leaving the loop
// early closes the group at hand; the subscription stays open until Close.
func (c *TrackConsumer) Groups(ctx context.Context) iter.Seq2[*GroupConsumer, error] {
	return groups(ctx, c.NextGroup)
}

// Arrivals iterates over the groups as they arrive, as NextArrival returns them. Leaving
// the loop early closes the group at hand.
func (c *TrackConsumer) Arrivals(ctx context.Context) iter.Seq2[*GroupConsumer, error] {
	return groups(ctx, c.NextArrival)
}

func groups(ctx context.Context, next func(context.Context) (*GroupConsumer, error)) iter.Seq2[*GroupConsumer, error] {
	return func(yield func(*GroupConsumer, error) bool) {
		for {
			g, err := next(ctx)
			if err == io.EOF {
				return
			}
			more := yield(g, err)
			if err != nil {
				return
			}
			if !more {
				_ = g.Close()
				return
			}
		}
	}
}
