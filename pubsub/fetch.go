package pubsub

import (
	"context"

	"github.com/remoq/moq/moqerr"
)

// FetchOptions is what to fetch of a group. The zero value is all of it.
type FetchOptions struct {
	// Priority, higher first. Upstream's publishers do not look at it.
	Priority uint8
	// FirstFrame is the index of the first frame that is wanted. Zero: the group's head.
	FirstFrame int
	// Frames is how many are wanted. Zero: all up to the group's end.
	Frames int
}

func (o FetchOptions) filled() FetchOptions {
	o.FirstFrame = min(max(o.FirstFrame, 0), maxGroupFrames)
	o.Frames = min(max(o.Frames, 0), maxGroupFrames+1)
	return o
}

// end is the index behind the last frame that is wanted; 0: the group's end.
func (o FetchOptions) end() int {
	if o.Frames == 0 {
		return 0
	}
	return o.FirstFrame + o.Frames
}

// Fetch reads one group, past or present, without a subscription (moq-lite.md §4.6): from
// a track that is kept here, or else from the supplier of the broadcast. It returns when the
// first frame is here, or the group's end; ctx ends that wait only. A group that is still
// being written is followed to its end.
//
// Close the result, or read it to its end: until then its frames count against the origin's
// budget. The error is a *moqerr.StreamError: StreamNotFound if nobody has the group,
// StreamUnroutable if the broadcast is gone, or the supplier's own; or a
// *moqerr.ConfigError for a name that no track can have; or ctx.Err(), or why the
// supplier's session ended. A group that turns out not to have the frames that were asked
// for ends with StreamTooFarBehind.
func (c *BroadcastConsumer) Fetch(ctx context.Context, track string, group uint64, o FetchOptions) (*GroupConsumer, error) {
	if err := checkTrack(track); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	got, q, err := c.askFetch(track, group, o)
	if q == nil {
		return got, err
	}
	select {
	case <-q.done:
		return q.consumer, q.err
	case <-ctx.Done():
		q.takeBack()
		return nil, ctx.Err()
	}
}

// askFetch returns the group if it is here, else the request for it.
func (c *BroadcastConsumer) askFetch(track string, group uint64, o FetchOptions) (*GroupConsumer, *FetchRequest, error) {
	o = o.filled()
	r := c.route
	if r.local == nil {
		return r.requests.fetch(trackKey{c.path, track}, group, o)
	}
	if r.dead.Load() {
		return nil, nil, streamError(moqerr.StreamUnroutable)
	}
	got, err := r.local.fetch(track, group, o)
	return got, nil, err
}

// fetch finds a group of a track made here.
func (b *broadcast) fetch(name string, group uint64, o FetchOptions) (*GroupConsumer, error) {
	b.mu.Lock()
	t, err := b.tracks[name], b.failed[name]
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	if t != nil {
		if c := t.fetch(group, o); c != nil {
			return c, nil
		}
	}
	return nil, streamError(moqerr.StreamNotFound)
}

// fetch finds a group that is kept and not broken, or returns nil.
func (t *track) fetch(sequence uint64, o FetchOptions) *GroupConsumer {
	t.mu.Lock()
	var g *group
	if i := t.cache.at(sequence); i < len(t.cache.groups) && t.cache.groups[i].sequence == sequence {
		g = t.cache.groups[i]
	}
	t.mu.Unlock()
	if g == nil || g.base > o.FirstFrame {
		return nil
	}
	if _, _, err := g.outcome(); err != nil {
		return nil
	}
	return newRange(g, o)
}

// newRange reads what o names of g.
func newRange(g *group, o FetchOptions) *GroupConsumer {
	c := newGroupConsumer(g, nil, o.FirstFrame)
	c.end, c.exact = o.end(), true
	return c
}

// limit cuts an index behind frames to those that are wanted.
func (c *GroupConsumer) limit(behind int) int {
	if c.end > 0 {
		return min(behind, c.end)
	}
	return behind
}

// release says that a group that was fetched for this reader alone is not wanted any more.
func (c *GroupConsumer) release() {
	if c.fetch != nil {
		c.g.drop()
		c.fetch.abandon()
	}
}
