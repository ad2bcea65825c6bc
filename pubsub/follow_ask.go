package pubsub

import (
	"context"
	"math"
	"time"

	"github.com/remoq/moq/moqerr"
)

// attempt is a subscription of a Follower that was asked for.
type attempt struct {
	request   *Request
	waiter    *waiter
	broadcast *BroadcastConsumer
	source    uint64
	known     bool    // it is not the first: Start of the options does not count any more
	start     *uint64 // where it begins instead; nil: at the live edge
	frame     int     // of group start
	rev       uint64  // of the Follower's options
}

// options is what is asked for. Start can skip ahead of where a loss is mended from.
func (a *attempt) options(o SubscribeOptions) SubscribeOptions {
	if a.known && (a.start == nil || o.Start == nil || *o.Start <= *a.start) {
		o.Start, o.FirstFrame = a.start, a.frame
	}
	return o
}

func (a *attempt) update(o SubscribeOptions) { a.request.change(a.waiter, a.options(o)) }

// plan says where a new subscription to b begins.
func (f *Follower) plan(b *BroadcastConsumer) *attempt {
	p := &f.position
	a := &attempt{broadcast: b, source: b.Source(), known: p.known}
	if p.known && a.source != 0 && a.source == p.source && (f.resume == ResumeLast || f.seamless) {
		start, frame := f.next()
		a.start, a.frame = &start, frame
	}
	return a
}

// next returns the first frame that has not come.
func (f *Follower) next() (seq uint64, frame int) {
	if o := f.position.firstCut(); o != nil {
		return o.sequence, o.frames()
	}
	seq = max(f.position.top, f.told)
	for _, o := range f.queue {
		if !o.settled && o.sequence != seq {
			break
		}
		if o.cut && !o.over() {
			return o.sequence, o.frames()
		}
		seq = o.sequence + 1
	}
	return f.datagrams.past(seq), 0
}

// subscribe makes one attempt, or goes on with the one that is under way.
func (f *Follower) subscribe(ctx context.Context, a *attempt) (*TrackConsumer, error) {
	if a == nil {
		var sub *TrackConsumer
		var err error
		if a, sub, err = f.ask(ctx); sub != nil || err != nil {
			return sub, err
		}
	}
	select {
	case <-a.request.done:
	case <-f.life.Done():
		return nil, moqerr.ErrClosed
	case <-ctx.Done():
		select {
		case <-a.request.done:
		default:
			return nil, ctx.Err()
		}
	}
	if err := a.request.err; err != nil {
		f.mu.Lock()
		f.asked = nil
		f.mu.Unlock()
		return nil, err
	}
	return f.begin(a, a.waiter.consumer)
}

// ask looks the track up: it returns a subscription, or the request that it waits for.
func (f *Follower) ask(ctx context.Context) (*attempt, *TrackConsumer, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	b, err := f.origin.Lookup(f.path, 0)
	if err != nil {
		return nil, nil, err
	}
	a := f.plan(b)
	f.mu.Lock()
	a.waiter, a.rev = &waiter{opts: a.options(f.opts), expected: f.age}, f.rev
	f.mu.Unlock()
	sub, request, err := b.ask(f.track, a.waiter)
	switch {
	case err != nil:
		return nil, nil, err
	case request == nil:
		sub, err = f.begin(a, sub)
		return nil, sub, err
	}
	a.request = request
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		request.leave(a.waiter)
		return nil, nil, moqerr.ErrClosed
	}
	f.asked = a
	opts, changed := f.opts, f.rev != a.rev
	a.rev = f.rev
	f.mu.Unlock()
	if changed {
		a.update(opts)
	}
	return a, nil, nil
}

// begin makes sub the running subscription. What was updated since it was asked for
// counts.
func (f *Follower) begin(a *attempt, sub *TrackConsumer) (*TrackConsumer, error) {
	p := &f.position
	f.source, f.broadcast, f.fresh = a.source, a.broadcast, true
	f.foreign = p.known && a.source != 0 && p.source != 0 && a.source != p.source
	f.filling = f.cause != nil && !f.foreign && (f.resume == ResumeLast || f.seamless)
	f.dropFound()
	f.dropUnopened()
	f.reached, f.horizon, f.absent, f.begun, f.edge = 0, 0, 0, time.Now(), math.MaxUint64
	f.age = sub.Info().MaxAge
	f.watchOver(sub)
	sub.hurry(a.start != nil)
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		_ = sub.Close()
		return nil, moqerr.ErrClosed
	}
	f.asked, f.sub, f.made = nil, sub, a
	f.state.Live = true
	opts, changed := f.opts, f.rev != a.rev
	f.mu.Unlock()
	if changed {
		_ = sub.Update(a.options(opts))
	}
	return sub, nil
}

// end returns the first sequence that the reader cannot get any more, since the track or
// the range that was asked for ends there, and whether it is the track's own end.
func (c *TrackConsumer) end() (sequence uint64, bounded bool) {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	sequence = t.next
	if t.bounded {
		sequence = t.final
	}
	if c.opts.End != nil && *c.opts.End < sequence {
		return *c.opts.End + 1, false
	}
	return sequence, true
}
