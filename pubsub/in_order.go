package pubsub

import (
	"context"
	"io"
	"time"

	"github.com/remoq/moq/moqerr"
)

// minPatience is how long a missing group is waited for at least, once a newer one is
// here (moq-lite.md §4.5).
const minPatience = time.Second

// NextGroup returns the next group in order. A missing one is waited for until it is too
// old by timestamps, or until max(MaxAge, 1 s) have passed since a newer one came, or
// until it is known that it never comes; then it is skipped, and the next group's Gap
// names what was lost. So it does with groups that were evicted before they were read, and
// with those too old for the reader's MaxAge.
func (c *TrackConsumer) NextGroup(ctx context.Context) (*GroupConsumer, error) {
	return c.read(ctx, func() step { return c.stepInOrder(false) })
}

// nextUntil is NextGroup that ends with errTimer at the limit, unless that is zero, and when
// over says so. A track that fails ends it before the first group that is missing: somebody
// may have that still.
func (c *TrackConsumer) nextUntil(ctx context.Context, limit time.Time, over func() bool) (*GroupConsumer, error) {
	return c.read(ctx, func() step {
		s := c.stepInOrder(true)
		switch {
		case s.group != nil || s.err != nil:
		case over() || !limit.IsZero() && !time.Now().Before(limit):
			s.err = errTimer
		case s.deadline.IsZero() || !limit.IsZero() && limit.Before(s.deadline):
			s.deadline = limit
		}
		return s
	})
}

// hurry cuts the wait for what is missing, for a reader who can get it in another way.
func (c *TrackConsumer) hurry(on bool) {
	c.t.mu.Lock()
	c.hurried = on
	c.t.mu.Unlock()
}

// step is what a look at the track came to: a group, an error, or neither: sleep, until
// the deadline if there is one.
type step struct {
	group    *GroupConsumer
	err      error
	deadline time.Time
}

// read looks, and sleeps until there is something to look at. What is here goes before
// the end of ctx, so that whoever forwards a track and is told to stop has lost nothing.
func (c *TrackConsumer) read(ctx context.Context, look func() step) (*GroupConsumer, error) {
	var over error
	for {
		c.t.mu.Lock()
		s := step{err: moqerr.ErrClosed}
		if !c.closed {
			if s = look(); s.group == nil && s.err == nil {
				s.err = over
			}
			if s.group == nil && s.err == nil {
				c.t.bell.add(&c.sleeper)
			} else {
				c.watch(false)
			}
		}
		c.t.mu.Unlock()
		if s.group != nil || s.err != nil {
			return s.group, s.err
		}
		over = c.doze(ctx, s.deadline)
	}
}

// doze sleeps until the track's bell rings, or until the deadline.
func (c *TrackConsumer) doze(ctx context.Context, deadline time.Time) error {
	var alarm <-chan time.Time
	if !deadline.IsZero() {
		timer := time.NewTimer(time.Until(deadline))
		defer timer.Stop()
		alarm = timer.C
	}
	err := c.sleeper.wait(ctx, alarm)
	if err != nil || alarm != nil {
		c.t.mu.Lock()
		c.t.bell.remove(&c.sleeper)
		c.watch(false)
		c.t.mu.Unlock()
	}
	return err
}

// stepInOrder is called with the track's lock held, like all that follow. With stay a failure
// of the track gives up nothing.
func (c *TrackConsumer) stepInOrder(stay bool) step {
	t := c.t
	for {
		if !c.resolve() {
			return c.idle(t.begin)
		}
		c.catchUp()
		if c.opts.End != nil && c.next > *c.opts.End || t.bounded && c.next >= t.final {
			return step{err: io.EOF}
		}
		i := t.cache.at(c.next)
		if i < len(t.cache.groups) && t.cache.groups[i].sequence == c.next {
			if g := t.cache.groups[i]; c.fits(g) && !t.cache.tooOld(i+1, c.ageTicks) {
				return step{group: c.deliver(t.cache.groups[i])}
			}
			c.skipTo(c.next + 1)
			continue
		}
		if past := t.carried.past(c.next); past != c.next {
			c.next = past // it came as a datagram: nothing is lost
			continue
		}
		if past := t.never.past(c.next); past != c.next {
			if i < len(t.cache.groups) {
				past = min(past, t.cache.groups[i].sequence)
			}
			c.absent = true
			c.skipTo(past)
			continue
		}
		if i == len(t.cache.groups) {
			s := c.idle(c.next)
			if s.err == nil && c.hurried && t.bounded {
				if s.deadline = c.overdue(time.Now(), minPatience); !time.Now().Before(s.deadline) {
					c.skipTo(t.final)
					continue
				}
			}
			return s
		}
		if stay && t.ended && t.err != nil {
			return step{err: t.err}
		}
		deadline, skip := c.patience(i)
		if !skip {
			return step{deadline: deadline}
		}
		c.absent = c.absent || !t.cache.tooOld(i, c.ageTicks)
		c.skipTo(t.cache.groups[i].sequence)
	}
}

// resolve settles where a reader without a Start begins that came before any group: at the
// first one that came. What the peer said that it starts with does not count: relays name
// groups that never come.
func (c *TrackConsumer) resolve() bool {
	if !c.resolved && c.t.used {
		c.resolved = true
		c.next = c.t.first
		c.low = c.next
	}
	return c.resolved
}

// catchUp moves up to what the track can still deliver. What a local track never had is
// no loss.
func (c *TrackConsumer) catchUp() {
	t := c.t
	if c.next < t.begin {
		if t.started {
			c.absent = true
			c.skipTo(t.begin)
		} else {
			c.next = t.begin
		}
	}
	if c.next < t.cache.floor {
		c.skipTo(t.cache.floor)
	}
}

// skipTo gives up what lies below seq.
func (c *TrackConsumer) skipTo(seq uint64) {
	if !c.lost {
		c.lost, c.lostFrom = true, c.next
	}
	c.next = seq
}

func (c *TrackConsumer) deliver(g *group) *GroupConsumer {
	var gaps []Gap
	if c.lost {
		for _, p := range c.t.carried.without(c.lostFrom, g.sequence) {
			gaps = append(gaps, Gap{First: p.first, Last: p.last})
		}
	}
	o := newGroupConsumer(g, gaps, c.from(g))
	o.withheld = c.absent && c.age >= c.t.info.MaxAge
	c.lost, c.absent, c.since = false, false, time.Time{}
	c.next = g.sequence + 1
	return o
}

// idle is the step when nothing from next on is here.
func (c *TrackConsumer) idle(next uint64) step {
	t := c.t
	switch {
	case t.bounded && next >= t.final:
		return step{err: io.EOF}
	case t.ended && t.err != nil:
		return step{err: t.err}
	case t.ended:
		return step{err: io.EOF}
	default:
		return step{}
	}
}

// patience decides how long to wait for the missing group c.next, while the one at place i
// is here.
func (c *TrackConsumer) patience(i int) (deadline time.Time, skip bool) {
	t := c.t
	patience := max(c.age, minPatience)
	if c.hurried {
		patience = minPatience
	}
	deadline = c.overdue(t.cache.groups[i].seen, patience)
	// Watch first: a frame written from here on rings.
	c.watch(true)
	return deadline, t.ended || t.cache.tooOld(i, c.ageTicks) || !time.Now().Before(deadline)
}

// overdue returns until when group c.next is waited for, which was found missing at since.
func (c *TrackConsumer) overdue(since time.Time, patience time.Duration) time.Time {
	if c.since.IsZero() || c.missing != c.next {
		c.missing, c.since = c.next, since
	}
	return c.since.Add(patience)
}

// watch says whether the reader must know of every frame.
func (c *TrackConsumer) watch(on bool) {
	if c.watching == on {
		return
	}
	c.watching = on
	if on {
		c.t.watchers.Add(1)
	} else {
		c.t.watchers.Add(-1)
	}
}
