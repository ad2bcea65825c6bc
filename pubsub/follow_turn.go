package pubsub

import (
	"cmp"
	"context"
	"errors"
	"io"
	"math"
	"slices"
	"time"

	"github.com/remoq/moq/moqerr"
)

// errRung ends a wait for the turn: somebody else did what was to be done.
var errRung = errors.New("moq: rung")

// errOvertaken is why a subscription was renewed that may be another publisher's.
var errOvertaken = errors.New("moq: another publisher was announced before the subscription began")

// errWithheld is no loss: groups are missing in a subscription that runs on, since its peer says
// that they never come, or does not bring them for too long. Somebody may have them all the same:
// the peer may have been asked for less at first, for other readers of the track.
var errWithheld = errors.New("moq: groups were left out")

// blame is why something is lost: what has ended the subscription; nil if it runs on.
func (f *Follower) blame() error {
	if f.cause == errWithheld {
		return nil
	}
	return f.cause
}

// enter waits for the turn: one at a time moves the Follower on. A reader of a group may
// find meanwhile that somebody else has done so.
func (f *Follower) enter(ctx context.Context, c *GroupConsumer) error {
	if f.isClosed() {
		return moqerr.ErrClosed
	}
	select {
	case f.turn <- struct{}{}:
		return nil
	default:
	}
	var rung chan struct{}
	again := time.NewTimer(minPatience)
	defer again.Stop()
	if c != nil {
		rung = c.sleeper.ch
	}
	for {
		select {
		case f.turn <- struct{}{}:
			return nil
		case <-rung:
			return errRung
		case <-again.C: // whoever has the turn may have missed the nudge
			if c != nil {
				f.nudge()
				again.Reset(minPatience)
			}
		case <-f.life.Done():
			return moqerr.ErrClosed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (f *Follower) leave() { <-f.turn }

// nudge asks whoever waits for a group to let somebody else have a look.
func (f *Follower) nudge() {
	f.nudged.Store(true)
	if sub := f.subscribed(); sub != nil {
		sub.rouse()
	}
}

// yield lets somebody else have the turn who asked for it.
func (f *Follower) yield(ctx context.Context, c *GroupConsumer) error {
	f.leave()
	return f.enter(ctx, c)
}

// step does one thing that brings the next group, or the rest of one, closer.
func (f *Follower) step(ctx context.Context) error {
	sub, err := f.subscription(ctx)
	switch {
	case err != nil:
		return err
	case f.due():
		return f.mendNext(ctx)
	}
	c := f.arriving
	if c == nil {
		c, err = sub.nextUntil(ctx, f.watch.deadline(), f.nudged.Load)
	}
	switch {
	case err == nil && f.overtaken():
		f.arriving = nil
		_ = sub.Close() // what is here may have been numbered by another publisher
		f.lose(sub, errOvertaken)
	case err == nil:
		// A session opens a group before its first frame is here.
		if f.arriving = c; f.cause != nil && f.within > 0 && !f.awaitFrame(ctx, c) {
			return cmp.Or(ctx.Err(), error(moqerr.ErrClosed))
		}
		f.arriving = nil
		f.arrive(sub, c)
	case f.isClosed():
		return moqerr.ErrClosed
	case err == errTimer:
		f.look(sub)
	case ctx.Err() != nil:
		return ctx.Err()
	case err == io.EOF:
		f.finish(sub)
	default:
		f.lose(sub, err)
	}
	return nil
}

// deliver returns the next group, if nothing can come before it any more, or the end.
func (f *Follower) deliver() (*GroupConsumer, error) {
	switch {
	case f.isClosed():
		return nil, moqerr.ErrClosed
	case len(f.queue) > 0 && (f.queue[0].settled || !f.hole()):
	case len(f.queue) == 0 && f.atEnd && !f.hole():
		f.count(f.gaps)
		f.gaps, f.atEnd = nil, false
		return nil, io.EOF
	default:
		return nil, nil
	}
	o := f.queue[0]
	f.queue = slices.Delete(f.queue, 0, 1)
	if o.restarted {
		f.restart(o)
	}
	gaps := append(f.gaps, o.gaps...)
	f.gaps, o.gaps = nil, nil
	f.count(gaps)
	f.position.tell(gaps)
	f.position.advance(o)
	f.catchUp(o.sequence)
	o.consumer.gaps = gaps
	return o.consumer, nil
}

// catchUp ends the mending of a loss with the group that was the latest one when the new
// subscription had brought what it had to bring.
func (f *Follower) catchUp(seq uint64) {
	sub := f.subscribed()
	if f.cause == nil || sub == nil {
		return
	}
	if f.edge == math.MaxUint64 && time.Since(f.begun) >= minPatience {
		f.edge = sub.highest()
	}
	if n := len(f.queue); n > 0 && f.edge != math.MaxUint64 { // what is before it is not told yet
		f.edge = max(f.edge, f.queue[n-1].sequence)
	}
	// A group that was queued with an earlier subscription may still wait for the rest of it.
	if seq >= f.edge && f.position.firstCut() == nil {
		f.cause, f.filling, f.edge = nil, false, math.MaxUint64
		sub.hurry(false)
	}
}

// restart begins a new numbering with o.
func (f *Follower) restart(o *openGroup) {
	gap := f.brokenOff
	if gap == nil {
		end := f.position.end(f.blame())
		gap = &end
	}
	f.position = position{known: true, source: f.source, top: o.sequence}
	f.gaps = slices.DeleteFunc(f.gaps, func(g Gap) bool { return g.First >= gap.First })
	f.gaps = append(f.gaps, *gap)
	if f.subscribed() != nil { // else it is lost again, which was not told yet
		f.cause = nil
	}
	f.brokenOff, f.forsaken, f.filling, f.foreign = nil, nil, false, false
	f.told, f.horizon, f.absent, f.edge = 0, 0, 0, math.MaxUint64
	f.watch.seen, f.datagrams = progress{}, nil
	f.mu.Lock()
	f.opts.Start, f.opts.FirstFrame = nil, 0 // they were of the old numbering
	f.mu.Unlock()
}

// overtaken reports whether another publisher has taken the place of the one that the running
// subscription was asked of, before that has brought anything. The peer looks at the path
// only, and may have begun to serve the other one while its announcement was under way.
func (f *Follower) overtaken() bool {
	if !f.fresh || !f.position.known || f.source == 0 {
		return false
	}
	b, err := f.origin.Lookup(f.path, 0)
	return err == nil && b.Source() != f.source
}

// arrive takes in what the subscription brought.
func (f *Follower) arrive(sub *TrackConsumer, c *GroupConsumer) {
	p, seq, fresh := &f.position, c.Sequence(), f.fresh
	f.fresh, f.failures = false, 0
	if p.known && (f.foreign || p.restartedBy(f.source, fresh, seq)) {
		f.abandon()
		o := f.newOpenGroup(c)
		o.settled, o.restarted = true, !f.restarting()
		if !o.restarted {
			o.gaps = c.gaps
		}
		f.queue = append(f.queue, o)
		f.foreign = true
		return
	}
	if !p.known {
		p.known, p.top = true, seq
	}
	p.source, f.reached = f.source, seq+1
	if o := f.waiting(seq); o != nil {
		if c.g.base <= o.frames() {
			o.goOnWith(c.g, nil)
		}
		return
	}
	if from, _ := f.missing(); seq < from || f.queued(seq) != nil {
		return // it came whole before
	}
	if f.cause != nil && f.tooFar(sub, c.g) {
		f.horizon = seq + 1
		return
	}
	if f.cause == nil && f.resume == ResumeLast && c.withheld {
		f.cause, f.filling = errWithheld, true
	}
	o := f.newOpenGroup(c)
	if f.cause == nil {
		o.settled = true
		from, _ := f.missing()
		for _, gap := range c.gaps { // of which some may have come with an earlier subscription
			if gap.First = max(gap.First, from); gap.First <= gap.Last {
				o.gaps = append(o.gaps, gap)
			}
		}
	}
	f.enqueue(o)
}

// restarting reports whether the first group of another numbering is queued.
func (f *Follower) restarting() bool {
	return slices.ContainsFunc(f.queue, func(o *openGroup) bool { return o.restarted })
}

// reconsider looks at the groups that were left of a subscription when it failed. What is
// missing between them was on its way, and is lost only if nobody waits for it.
func (f *Follower) reconsider(left []*openGroup, failure error) {
	wanted := f.resume == ResumeLast || f.seamless
	missed := false
	for _, o := range left {
		missed = missed || len(o.gaps) > 0
		switch {
		case wanted && missed:
			o.settled, o.gaps = false, nil
		case missed:
			for i := range o.gaps {
				o.gaps[i].Cause = failure
			}
		}
	}
}

// enqueue puts a group among those that are to be delivered.
func (f *Follower) enqueue(o *openGroup) {
	i, _ := slices.BinarySearchFunc(f.queue, o, bySequence)
	f.queue = slices.Insert(f.queue, i, o)
}

func (f *Follower) queued(seq uint64) *openGroup {
	for _, o := range f.queue {
		if o.sequence == seq {
			return o
		}
	}
	return nil
}

// waiting returns the group with that sequence that waits for the rest of it, or nil.
func (f *Follower) waiting(seq uint64) *openGroup {
	if o := f.position.find(seq); o != nil {
		return o
	}
	if o := f.queued(seq); o != nil && o.cut && !o.over() {
		return o
	}
	return nil
}

// abandon ends what waits for a numbering that is gone.
func (f *Follower) abandon() {
	if len(f.queue) == 0 && f.brokenOff == nil {
		end := f.position.end(f.blame())
		f.brokenOff = &end
	}
	for o := f.position.firstCut(); o != nil; o = f.position.firstCut() {
		f.forsaken = appendGap(f.forsaken, o.giveUp(f.blame()))
	}
}

// finish takes note of the subscription's end.
func (f *Follower) finish(sub *TrackConsumer) {
	end, bounded := sub.end()
	f.atEnd, f.end = true, end
	if f.position.known && bounded && f.cause != nil && end < f.position.top {
		f.foreign = true // another numbering
	}
}

// lose takes leave of a subscription that failed. What is here of it stays.
func (f *Follower) lose(sub *TrackConsumer, err error) {
	queued := len(f.queue)
	if c := f.arriving; c != nil {
		f.arriving = nil
		f.arrive(sub, c)
	}
	f.drain(sub)
	_ = sub.Close()
	f.datagrams = f.carried()
	f.datagrams.cut(max(f.position.top, f.told))
	f.position.breakOff(err, f.resume == ResumeLast)
	for _, o := range f.queue {
		if !o.over() {
			o.breakOff()
		}
	}
	if f.position.known {
		f.cause, f.edge = err, math.MaxUint64
	}
	f.atEnd, f.foreign, f.filling = false, false, false
	f.severing, f.awaited = nil, nil // they would keep its track
	if !f.restarting() {
		for _, gap := range f.forsaken { // no restart tells of them
			f.gaps = appendGap(f.gaps, gap)
		}
		f.brokenOff, f.forsaken = nil, nil
	}
	f.patience.Store(0)
	f.fail()
	// Another way to the same publisher, or the same one once more: no time is lost.
	if b, err := f.origin.Lookup(f.path, 0); err == nil {
		f.seamless = f.source != 0 && b.Source() == f.source
		if b.route != f.broadcast.route {
			f.failures, f.retryAt = 0, time.Time{}
		}
	}
	f.reconsider(f.queue[queued:], err)
	f.mu.Lock()
	f.sub = nil
	f.state.Live = false
	f.state.Losses++
	f.state.Err = err
	f.mu.Unlock()
}

// drain takes in the groups that are here already.
func (f *Follower) drain(sub *TrackConsumer) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for len(f.queue) < maxGroups {
		c, err := sub.NextGroup(ctx)
		if err != nil {
			return
		}
		f.arrive(sub, c)
	}
}

func (f *Follower) count(gaps []Gap) {
	n := uint64(0)
	for _, gap := range gaps {
		if !gap.Restarted {
			n += gap.Last - gap.First + 1
		}
	}
	if n == 0 {
		return
	}
	f.mu.Lock()
	f.state.LostGroups += n
	f.mu.Unlock()
}
