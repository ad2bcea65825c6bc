package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxUnsent bounds the bytes of small groups that the carrier has taken and not sent;
	// the most urgent subscriptions have as much again, so that others cannot hold them up.
	maxUnsent = 128 << 10
	// smallGroup is what a small group takes on the wire besides its bytes, at least: the
	// head of a STREAM frame. More would be a debt that nothing pays off.
	smallGroup = 2
	// A group that there is no room for waits so long at first, and at most, until it looks
	// again: the carrier does not tell when it has sent something.
	minRoomWait = time.Millisecond
	maxRoomWait = 100 * time.Millisecond
)

// outflow bounds what the carrier holds of small groups. It takes the first packet of a
// stream whether there is credit for its data or not, so that a peer that lets us open
// streams and withholds that credit could make it hold any number of groups. What has left
// the connection since, of whatever kind, makes room.
type outflow struct {
	sent  func() uint64 // bytes that have left the connection
	taken atomic.Int64  // bytes of small groups, of which so many are not known to have left

	mu   sync.Mutex
	seen uint64 // of sent
}

// take notes a small group that the carrier has taken, or is about to.
func (o *outflow) take(size int) { o.taken.Add(int64(size + smallGroup)) }

// await waits for room for a small group, until ctx ends. What is held may be above the bound
// by one group for each caller.
func (o *outflow) await(ctx context.Context, urgent bool) error {
	limit := int64(maxUnsent)
	if urgent {
		limit *= 2
	}
	if o.taken.Load() <= limit {
		return nil
	}
	wait := minRoomWait
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for o.settle(o.sent()) > limit {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		wait = min(2*wait, maxRoomWait)
		timer.Reset(wait)
	}
	return nil
}

// settle takes into account what has left, and returns what may not have.
func (o *outflow) settle(sent uint64) int64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	if sent > o.seen {
		gone := int64(sent - o.seen)
		o.seen = sent
		o.taken.Add(-min(gone, o.taken.Load()))
	}
	return o.taken.Load()
}
