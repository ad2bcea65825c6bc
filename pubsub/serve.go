package pubsub

import (
	"context"

	"github.com/remoq/moq/moqerr"
)

// TrackInfo returns a track's properties without reading it. For a broadcast that comes
// from elsewhere it waits until the supplier has accepted, as Subscribe does, and fails as
// Subscribe does.
func (c *BroadcastConsumer) TrackInfo(ctx context.Context, track string) (TrackInfo, error) {
	r := c.route
	if err := checkTrack(track); err != nil {
		return TrackInfo{}, err
	}
	if err := ctx.Err(); err != nil {
		return TrackInfo{}, err
	}
	if r.local == nil {
		return r.requests.trackInfo(ctx, trackKey{c.path, track})
	}
	if r.dead.Load() {
		return TrackInfo{}, streamError(moqerr.StreamUnroutable)
	}
	t, missing, err := r.local.find(track)
	switch {
	case err != nil:
		return TrackInfo{}, err
	case missing != nil:
		return missing.trackInfo(ctx, trackKey{c.path, track})
	}
	return t.info, nil
}

// Floor returns a sequence below which NextArrival returns nothing any more: Start, or
// where a reader without one began, raised to what the track still takes, and past groups
// that are here and too old. A group that is missing may still arrive out of order, so it
// is never raised past one. Before a reader without a Start has begun it is the first
// sequence that the track may have.
func (c *TrackConsumer) Floor() uint64 {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.resolve() {
		return t.begin
	}
	floor := max(c.low, t.begin, t.cache.floor)
	for i := t.cache.at(floor); i < len(t.cache.groups); i++ {
		if t.cache.groups[i].sequence != floor || !t.cache.tooOld(i+1, c.ageTicks) {
			break
		}
		floor++
	}
	c.low = floor
	return floor
}

// maxDrops is how much news of groups that never come is kept for whoever passes it on.
const maxDrops = 64

// Range is a range of groups, both ends included.
type Range struct{ First, Last uint64 }

// Dropped returns the ranges of groups that were said never to come since it was asked last,
// so that whoever forwards the track says so too. Some of these groups may be here all the same.
func (c *TrackConsumer) Dropped() (ranges []Range) {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	news := t.dropped - c.dropped
	if news == 0 {
		return nil
	}
	c.dropped = t.dropped
	from := t.never
	if news <= uint64(len(t.drops)) {
		from = t.drops[uint64(len(t.drops))-news:]
	}
	for _, r := range from {
		ranges = append(ranges, Range{r.first, r.last})
	}
	return ranges
}

// frameHead is the most that the wire puts in front of a frame (moq-lite.md §4.12).
const frameHead = 12

// Size returns how many bytes the group takes on the wire at most, so far: payloads, and
// what stands in front of them.
func (c *GroupConsumer) Size() int {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	return c.g.bytes + frameHead*(c.g.ready()-c.g.base)
}

// Buffered returns the number of frames that can be read without waiting.
func (c *GroupConsumer) Buffered() int { return max(0, c.limit(c.g.ready())-c.Index()) }
