package session

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remoq/moq/internal/transport"
)

const (
	// maxUnsent bounds what the carrier is left with: a fraction of a millisecond of a fast
	// link, some tenths of a second of a slow one.
	maxUnsent = 16 << 10
	// soon is how long a group waits for that to leave where it does so soon, late how long it
	// takes where it does not.
	soon, late = 90 * time.Millisecond, 100 * time.Millisecond
	// restBytes is the most that the carrier keeps of one group after a write has returned.
	restBytes = 1452
	// maxWaiting bounds the small groups that wait for the carrier, each with a stream and a
	// goroutine; the most urgent subscriptions have as many again, so that others cannot hold
	// them up.
	maxWaiting = 250
)

// outflow bounds what the carrier is left with. A write returns when all but a packet's worth
// has been sent, and that rest is out of reach: it leaves when its turn comes, which may be
// late on a slow link, and a peer that withholds credit for data could make us hold any number
// of small groups. So now and then a writer waits until its last byte has left: what was
// handed over before that has left too, or is next, since the ends of groups go before all
// else. Where that takes long, all writers wait.
type outflow struct {
	handed atomic.Int64 // bytes of rests, ever
	left   atomic.Int64 // of these, so many are known to have left
	slow   atomic.Bool  // the last took long to leave

	mu sync.Mutex
	// Guarded by mu.
	proof   chan struct{} // closed when the writer knows that waits to; nil: none does
	waiting int           // small groups whose writers wait
	room    chan struct{} // closed when there is one less; nil: nobody looks
}

// open reports whether the carrier may be left with the caller's rest. If not, the caller
// waits for it, with through; it may also wait for proof, if there is one under way, and then
// ask again.
func (o *outflow) open() (yes bool, proof <-chan struct{}) {
	unsent := o.handed.Load() - o.left.Load()
	if unsent <= maxUnsent*3/4 {
		return true, nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.proof == nil {
		o.proof = make(chan struct{})
		return false, nil
	}
	return unsent <= maxUnsent, o.proof
}

// openSoon is open that waits for the proof where that has come soon so far. It keeps its
// timer with the caller, whose waits may be many.
func (o *outflow) openSoon(timer **time.Timer) bool {
	yes, proof := o.open()
	if yes || proof == nil || o.slow.Load() {
		return yes
	}
	if *timer == nil {
		*timer = time.NewTimer(soon)
	} else {
		(*timer).Reset(soon)
	}
	select {
	case <-proof:
		(*timer).Stop()
		yes, _ = o.open()
	case <-(*timer).C:
		o.slow.Store(true)
	}
	return yes
}

// hand notes that the carrier has the end of a write of size bytes, or is about to.
func (o *outflow) hand(size int) { o.handed.Add(int64(min(size, restBytes))) }

// through writes b to its last byte.
func (o *outflow) through(stream transport.SendStream, b []byte) (int, error) {
	before, begun := o.handed.Load(), time.Now()
	n, err := stream.WriteThrough(b)
	if err == nil {
		o.prove(before, time.Since(begun))
	}
	o.mu.Lock()
	if o.proof != nil {
		close(o.proof)
		o.proof = nil
	}
	o.mu.Unlock()
	return n, err
}

// prove takes note that what was handed over before has left within a while.
func (o *outflow) prove(before int64, in time.Duration) {
	for left := o.left.Load(); left < before && !o.left.CompareAndSwap(left, before); {
		left = o.left.Load()
	}
	if in < soon {
		o.slow.Store(false)
	} else if in > late {
		o.slow.Store(true)
	}
}

// enter notes a small group whose writer is about to wait.
func (o *outflow) enter() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting++
}

// leave notes that it does not wait any more.
func (o *outflow) leave() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.waiting--
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// await waits until one more small group may wait, or ctx ends. There may be one too many for
// each caller.
func (o *outflow) await(ctx context.Context, urgent bool) error {
	limit := maxWaiting
	if urgent {
		limit *= 2
	}
	for {
		room := o.look(limit)
		if room == nil {
			return nil
		}
		select {
		case <-room:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// look returns nil if less than limit groups wait, else what is closed when there is one less.
func (o *outflow) look(limit int) <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting < limit {
		return nil
	}
	if o.room == nil {
		o.room = make(chan struct{})
	}
	return o.room
}
