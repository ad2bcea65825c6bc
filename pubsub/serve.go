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
	if err := ctx.Err(); err != nil {
		return TrackInfo{}, err
	}
	if r.local == nil {
		return r.requests.trackInfo(ctx, trackKey{c.path, track})
	}
	if r.dead.Load() {
		return TrackInfo{}, streamError(moqerr.StreamUnroutable)
	}
	return r.local.trackInfo(track)
}

func (b *broadcast) trackInfo(name string) (TrackInfo, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if t := b.tracks[name]; t != nil {
		return t.info, nil
	}
	if err := b.failed[name]; err != nil {
		return TrackInfo{}, err
	}
	return TrackInfo{}, streamError(moqerr.StreamNotFound)
}

// Floor returns the lowest sequence that NextArrival may still return: Start, or where a
// reader without one began, raised to the first group that is kept and not too old.
func (c *TrackConsumer) Floor() uint64 {
	t := c.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if !c.resolve() {
		return t.begin
	}
	floor := max(c.low, t.begin, t.cache.floor)
	for i := t.cache.at(floor); i < len(t.cache.groups); i++ {
		if !t.cache.tooOld(i+1, c.ageTicks) {
			return t.cache.groups[i].sequence
		}
	}
	return max(floor, t.next)
}

// Size returns how many bytes of payload the group has so far.
func (c *GroupConsumer) Size() int {
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	return c.g.bytes
}
