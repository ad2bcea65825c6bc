package pubsub

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/remoq/moq/moqerr"
)

// fetchPatience bounds how long a fetch may take to begin. A session that is dead has
// noticed by then.
const fetchPatience = 15 * time.Second

// missing returns the range, the end excluded, of the groups that are to come before those
// that are here, by what is known at present, and that does not begin with a datagram. It is
// empty if there is no such bound.
func (f *Follower) missing() (from, limit uint64) {
	from, limit = f.behind()
	return min(f.carried().past(from), max(from, limit)), limit
}

// carried returns what of the numbering is known to have come as datagrams.
func (f *Follower) carried() spans {
	if sub := f.subscribed(); sub != nil && !f.foreign {
		return f.datagrams.and(sub.datagrams())
	}
	return f.datagrams
}

// behind is missing, datagrams at its beginning included.
func (f *Follower) behind() (from, limit uint64) {
	from = max(f.position.top, f.told, f.skipped())
	for _, o := range f.queue {
		if !o.settled {
			return from, o.sequence
		}
		from = max(from, o.sequence+1)
	}
	if f.atEnd && !f.foreign {
		return from, max(from, f.end)
	}
	return from, from
}

// skipped returns where an Update has skipped to: nobody wants what is missing below it.
func (f *Follower) skipped() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.opts.Start == nil {
		return 0
	}
	return *f.opts.Start
}

// bound returns the sequence below which the running subscription brings nothing more, which is
// nothing at all of another publisher's numbering. What is queued does not tell: it may have come
// with an earlier one.
func (f *Follower) bound() uint64 {
	if f.atEnd || f.foreign {
		return math.MaxUint64
	}
	return f.reached
}

// hole reports whether something that was missed comes before what is queued, or before the
// end.
func (f *Follower) hole() bool {
	if f.cause == nil {
		return false
	}
	limit := f.bound()
	for _, o := range f.queue {
		if !o.settled {
			limit = max(limit, o.sequence)
			break
		}
	}
	if o := f.position.firstCut(); o != nil && o.sequence < limit {
		return true
	}
	from, limit := f.missing()
	return from < limit
}

// due reports whether a hole is to be mended, or given up, since the subscription does not
// bring what is missing.
func (f *Follower) due() bool {
	if f.cause == nil {
		return false
	}
	if o := f.position.firstCut(); o != nil && o.sequence < f.bound() {
		return true
	}
	from, limit := f.missing()
	return from < min(limit, f.bound())
}

// mendNext deals with the lowest thing that was missed.
func (f *Follower) mendNext(ctx context.Context) error {
	if sub := f.subscribed(); f.within > 0 && f.filling && sub != nil {
		if err := sub.edge(ctx, f.begun.Add(minPatience)); err != errTimer {
			return f.unsure(ctx, err)
		}
	}
	if o := f.position.firstCut(); o != nil {
		if f.foreign {
			f.abandon()
			return nil
		}
		if o.sequence < f.bound() {
			return f.mend(ctx, o, f.cause, f.filling)
		}
	}
	return f.fill(ctx)
}

// mend fetches the rest of a group, or gives it up.
func (f *Follower) mend(ctx context.Context, o *openGroup, cause error, fetch bool) error {
	from := o.frames()
	stuck := o.tried > 0 && from < o.tried // the last try brought nothing
	if fetch && !stuck && o.sequence >= f.horizon && !f.tooFar(f.subscribed(), o.last) {
		c, err := f.fetch(ctx, o.sequence, from, o)
		if f.pending == nil {
			o.awaits(nil)
		}
		switch {
		case err != nil && o.over():
			return nil // nobody wants it any more
		case err == nil:
			f.vague = 0
			o.tried = from + 1
			o.goOnWith(c.g, c)
			return nil
		case !f.final(err):
			if gone, err := f.severed(ctx, err); !gone {
				return f.unsure(ctx, err)
			}
		}
	}
	f.gaps = appendGap(f.gaps, o.giveUp(cause))
	return nil
}

// fill fetches the first group that is missing, or the first one that can be had, and tells
// what cannot.
func (f *Follower) fill(ctx context.Context) error {
	from, limit := f.missing()
	if limit = min(limit, f.bound()); from >= limit {
		return nil // the reader of a group that was cut has left it just now
	}
	if f.filling && limit > f.horizon {
		c, err := f.firstOf(ctx, max(from, f.horizon), limit)
		if err != nil {
			gone, err := f.severed(ctx, err)
			if !gone {
				return f.unsure(ctx, err)
			}
			f.filling = false
		}
		if c != nil {
			limit = c.Sequence()
			o := f.newOpenGroup(c)
			o.fetched = []*GroupConsumer{c}
			f.enqueue(o)
		}
	}
	for _, p := range f.carried().without(from, limit) {
		f.gaps = appendGap(f.gaps, Gap{First: p.first, Last: p.last, Cause: f.blame()})
	}
	f.told = max(f.told, limit)
	return nil
}

// firstOf fetches the first group from first on, and below limit, that can be had; nil if
// there is none. What it has found missing is remembered, should it be interrupted.
func (f *Follower) firstOf(ctx context.Context, first, limit uint64) (*GroupConsumer, error) {
	if f.absent <= first {
		c, err := f.find(ctx, first)
		if c != nil || err != nil {
			return c, err
		}
		f.absent, f.stride = first+1, 0
	}
	return f.search(ctx, limit)
}

// find fetches a group, whole; nil if nobody has it, or if it is too far back.
func (f *Follower) find(ctx context.Context, seq uint64) (*GroupConsumer, error) {
	c, err := f.unopened, error(nil)
	if c == nil || c.Sequence() != seq {
		f.dropUnopened()
		c, err = f.fetch(ctx, seq, 0, nil)
	}
	f.unopened = nil
	if err == nil {
		f.vague = 0
		if f.within > 0 && !f.awaitFrame(ctx, c) {
			f.unopened = c               // it goes on between calls
			return nil, context.Canceled // the caller sees which of the two it was
		}
	}
	switch {
	case err == nil && f.tooFar(f.subscribed(), c.g):
		return nil, c.Close()
	case err == nil || !f.final(err):
		return c, err
	}
	return nil, nil
}

// awaitFrame waits for the first frame of a group, whose time is the group's, but not for long:
// one that is open may have none for ever. It reports whether that is over, and not the caller's
// patience or the Follower's life.
func (f *Follower) awaitFrame(ctx context.Context, c *GroupConsumer) bool {
	if f.awaited != c.g {
		f.awaited, f.awaitEnd = c.g, time.Now().Add(minPatience)
	}
	short, cancel := context.WithDeadline(ctx, f.awaitEnd)
	defer cancel()
	defer context.AfterFunc(f.life, cancel)()
	_, err := c.ReadRaw(short, nil)
	return err == nil || ctx.Err() == nil && !f.isClosed()
}

func (f *Follower) dropUnopened() {
	if f.unopened != nil {
		f.unopened.release()
		f.unopened = nil
	}
}

// search finds the lowest group from absent on, and below limit, that can be had. Groups are
// kept from some one on, so that a few tries tell: with strides that grow until there is one,
// since what is missing may be a single group that its publisher has reset, and then by halves.
// What it found last is remembered too.
func (f *Follower) search(ctx context.Context, limit uint64) (*GroupConsumer, error) {
	if f.found != nil {
		limit = min(limit, f.found.Sequence())
	}
	for f.absent < limit {
		step := (limit - f.absent) / 2
		if f.found == nil {
			step = min(step, f.stride)
		}
		seq := f.absent + step
		c, err := f.find(ctx, seq)
		switch {
		case err != nil:
			return nil, err
		case c == nil:
			f.absent, f.stride = seq+1, 2*f.stride+1
		default:
			f.dropFound()
			f.found, limit = c, seq
		}
	}
	found := f.found
	f.found = nil
	return found, nil
}

func (f *Follower) dropFound() {
	if f.found != nil {
		f.found.release()
		f.found = nil
	}
}

// tooFar reports whether g begins further back than Within.
func (f *Follower) tooFar(sub *TrackConsumer, g *group) bool {
	return f.within > 0 && sub != nil && sub.behind(g, f.within)
}

// repair brings the rest of a group whose copy broke off, or says why that cannot be.
// Nil: there is something to look at.
func (f *Follower) repair(ctx context.Context, o *openGroup) error {
	select {
	case f.turn <- struct{}{}:
		return f.drive(ctx, o)
	default:
	}
	f.nudge()
	switch err := f.enter(ctx, o.consumer); {
	case err == errRung:
		return nil
	case err != nil:
		return err
	}
	return f.drive(ctx, o)
}

// drive moves the Follower on until the reader of o has something to look at. Its caller
// has the turn, and loses it. It is given up in between to whoever waits for what has come
// meanwhile.
func (f *Follower) drive(ctx context.Context, o *openGroup) error {
	f.nudged.Store(false)
	for !o.answered() {
		var err error
		switch {
		case f.isClosed():
			err = moqerr.ErrClosed
		case !slices.Contains(f.position.open, o): // its numbering is gone
			_, _, cause := o.last.outcome()
			o.giveUp(cause)
		case o.cut:
			err = f.step(ctx)
		default:
			err = f.judge(ctx, o)
		}
		if err != nil {
			f.leave()
			return err
		}
		if f.nudged.Swap(false) || len(f.queue) > 0 {
			if err := f.yield(ctx, o.consumer); err == errRung {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	f.leave()
	return nil
}

// judge decides about a group that broke off while its subscription runs: that may be the
// first sign of a loss, or the group's own affair.
func (f *Follower) judge(ctx context.Context, o *openGroup) error {
	sub := f.subscribed()
	_, _, cause := o.last.outcome()
	if sub == nil {
		o.giveUp(cause)
		return nil
	}
	if o.doubted != o.last { // it goes on between calls
		o.doubted, o.since = o.last, time.Now()
	}
	switch err := sub.goesOn(ctx, o.sequence, o.since.Add(minPatience)); {
	case err == errTimer:
		return f.mend(ctx, o, cause, f.resume == ResumeLast)
	case f.isClosed():
		return moqerr.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	default:
		f.lose(sub, err)
		return nil
	}
}
