package pubsub

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/remoq/moq/moqerr"
)

// pending is a fetch that was not answered yet. It goes on between calls, so that those with
// short contexts get there too.
type pending struct {
	broadcast *BroadcastConsumer
	group     uint64
	frame     int
	request   *FetchRequest
	since     time.Time
}

// fetch reads a group from where the running subscription comes from, for o if that is not nil,
// whose reader's leaving ends it.
func (f *Follower) fetch(ctx context.Context, seq uint64, frame int, o *openGroup) (*GroupConsumer, error) {
	p := f.pending
	if p == nil || p.broadcast != f.broadcast || p.group != seq || p.frame != frame {
		f.dropFetch()
		f.mu.Lock()
		opts := FetchOptions{Priority: f.opts.Priority, FirstFrame: frame}
		f.mu.Unlock()
		c, q, err := f.broadcast.askFetch(f.track, seq, opts)
		if q == nil {
			return c, err
		}
		p = &pending{broadcast: f.broadcast, group: seq, frame: frame, request: q, since: time.Now()}
		f.pending = p
		if o != nil {
			o.awaits(q)
		}
	}
	select {
	case <-p.request.done:
		f.pending = nil
		return p.request.consumer, p.request.err
	default:
	}
	patience := time.NewTimer(time.Until(p.since.Add(fetchPatience)))
	defer patience.Stop()
	select {
	case <-p.request.done:
		f.pending = nil
		return p.request.consumer, p.request.err
	case <-patience.C:
		f.dropFetch()
		return nil, streamError(moqerr.StreamControlTimeout)
	case <-f.life.Done():
		f.dropFetch()
		return nil, moqerr.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dropFetch takes back what was asked for and is not wanted any more.
func (f *Follower) dropFetch() {
	if f.pending != nil {
		f.pending.request.takeBack()
		f.pending = nil
	}
}

// maxVague is how many fetches in a row may fail for reasons that may pass.
const maxVague = 3

// final reports whether a fetch failed for good: nobody has the group. A relay that lost
// the group's source, or a session that died, says something else.
func (f *Follower) final(err error) bool {
	var reset *moqerr.StreamError
	if !errors.As(err, &reset) {
		return false
	}
	switch reset.Code {
	case moqerr.StreamNotFound, moqerr.StreamOld, moqerr.StreamEvicted, moqerr.StreamTooFarBehind,
		moqerr.StreamControlTimeout:
		f.vague = 0
		return true
	}
	f.vague++
	return reset.Remote && f.vague > maxVague
}

// severed reports whether a fetch failed because the broadcast was retracted, while the
// subscription runs on: nobody can be asked, but nothing else is lost. A retraction may also be
// the first sign of a loss, which is waited for. Else it returns why that wait ended, or err.
func (f *Follower) severed(ctx context.Context, err error) (bool, error) {
	var reset *moqerr.StreamError
	sub := f.subscribed()
	if sub == nil || !errors.As(err, &reset) || reset.Remote || reset.Code != moqerr.StreamUnroutable {
		return false, err
	}
	if _, found := f.origin.Lookup(f.path, 0); found == nil {
		return false, err // another way: it goes on there
	}
	if f.severing != sub { // it goes on between calls
		f.severing, f.severedAt = sub, time.Now()
	}
	if over := sub.goesOn(ctx, math.MaxUint64, f.severedAt.Add(minPatience)); over != errTimer {
		return false, over
	}
	_, found := f.origin.Lookup(f.path, 0)
	return found != nil, err
}

// unsure deals with a fetch that failed without an answer: its caller may have left, else
// the subscription is as good as gone.
func (f *Follower) unsure(ctx context.Context, err error) error {
	switch {
	case f.isClosed():
		return moqerr.ErrClosed
	case ctx.Err() != nil:
		return ctx.Err()
	}
	if sub := f.subscribed(); sub != nil {
		f.lose(sub, err)
	}
	return nil
}
