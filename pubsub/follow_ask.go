package pubsub

import (
	"context"

	"github.com/remoq/moq/moqerr"
)

// attempt is a subscription of a Follower that was asked for.
type attempt struct {
	request *Request
	waiter  *waiter
	source  uint64
	live    bool   // from the live edge on, whatever Start is
	rev     uint64 // of the Follower's options
}

func (a *attempt) options(o SubscribeOptions) SubscribeOptions {
	if a.live {
		o.Start = nil
	}
	return o
}

func (a *attempt) update(o SubscribeOptions) { a.request.change(a.waiter, a.options(o)) }

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
	case <-f.done:
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
	a := &attempt{source: b.Source(), live: f.position.known}
	f.mu.Lock()
	a.waiter, a.rev = &waiter{opts: a.options(f.opts)}, f.rev
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
	f.source, f.fresh = a.source, true
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		_ = sub.Close()
		return nil, moqerr.ErrClosed
	}
	f.asked, f.sub = nil, sub
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
