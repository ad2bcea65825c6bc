package pubsub

import (
	"context"
	"io"
	"slices"
)

// maxPassed is how many groups that were not wanted are remembered.
const maxPassed = 512

// NextArrival returns the groups in the order of their arrival, as whoever forwards them
// wants them. Left out are groups below Start (or below the first one, if there is no
// Start) and groups too old by MaxAge, until an Update wants them. A group above End is
// held back until an Update raises it: End alone is no end (moq-lite.md §4.5), and io.EOF
// waits for what is held back.
func (c *TrackConsumer) NextArrival(ctx context.Context) (*GroupConsumer, error) {
	return c.read(ctx, c.stepArrival)
}

// stepArrival is called with the track's lock held.
func (c *TrackConsumer) stepArrival() step {
	t := c.t
	if !c.resolve() {
		return c.idle(t.begin)
	}
	if g := c.unpark(); g != nil {
		return step{group: newGroupConsumer(g, nil, c.from(g))}
	}
	for i := t.cache.arrived(c.cursor); i < len(t.cache.arrivals); i++ {
		g := t.cache.arrivals[i]
		c.cursor = g.arrival + 1
		switch {
		case !c.wants(g):
			c.pass(g.sequence)
		case c.opts.End != nil && g.sequence > *c.opts.End:
			c.park(g.sequence)
		default:
			if i := slices.Index(c.passed, g.sequence); i >= 0 { // it went away, and is here again
				c.passed = slices.Delete(c.passed, i, i+1)
			}
			return step{group: newGroupConsumer(g, nil, c.from(g))}
		}
	}
	s := c.idle(0)
	if c.complete() {
		s.err = io.EOF
	}
	if s.err == io.EOF && c.holding() {
		return step{}
	}
	return s
}

// complete reports that every group up to the track's end is here, or cannot be taken any
// more. All that is here has been looked at.
func (c *TrackConsumer) complete() bool {
	t := c.t
	floor := max(c.low, t.begin, t.cache.floor)
	if !t.bounded || floor >= t.final {
		return t.bounded
	}
	missing := t.final - floor - uint64(len(t.cache.groups)-t.cache.at(floor))
	for _, o := range t.never.and(t.carried) {
		if from, end := max(o.first, floor), min(o.last+1, t.final); from < end {
			missing -= end - from - uint64(t.cache.at(end)-t.cache.at(from))
		}
	}
	return missing == 0
}

// holding reports whether a group above End can still be delivered. Age does not matter:
// the track's latest group, which is never too old, is then one of them.
func (c *TrackConsumer) holding() bool {
	floor := max(c.low, c.t.cache.floor)
	c.parked = slices.DeleteFunc(c.parked, func(seq uint64) bool { return seq < floor })
	return len(c.parked) > 0
}

// wants reports whether g is still to be delivered, End aside.
func (c *TrackConsumer) wants(g *group) bool {
	cache := &c.t.cache
	return g.sequence >= c.low && c.fits(g) && cache.kept(g) && !cache.tooOld(cache.at(g.sequence+1), c.ageTicks)
}

// pass remembers a group that is too old, or below Start: an Update may change that.
func (c *TrackConsumer) pass(seq uint64) {
	if len(c.passed) == maxPassed {
		c.passed = slices.Delete(c.passed, 0, maxPassed/2)
	}
	c.passed = append(c.passed, seq)
}

// park remembers a group above End. What was evicted meanwhile is forgotten.
func (c *TrackConsumer) park(seq uint64) {
	if len(c.parked) >= maxGroups {
		floor := c.t.cache.floor
		c.parked = slices.DeleteFunc(c.parked, func(s uint64) bool { return s < floor })
	}
	c.parked = append(c.parked, seq)
}

// unpark returns the first held back group that is within End now.
func (c *TrackConsumer) unpark() *group {
	cache := &c.t.cache
	for i := 0; i < len(c.parked); {
		seq := c.parked[i]
		if c.opts.End != nil && seq > *c.opts.End {
			i++
			continue
		}
		c.parked = slices.Delete(c.parked, i, i+1)
		switch {
		case !cache.has(seq):
		case c.wants(cache.groups[cache.at(seq)]):
			return cache.groups[cache.at(seq)]
		default:
			c.pass(seq)
		}
	}
	return nil
}
