package transport

import (
	"sync/atomic"
	"time"
)

const (
	// rousing is the time in which what came during a sleep is read.
	rousing = 50 * time.Millisecond
	// sparing is how long round-trip times that were measured across a sleep are not
	// believed.
	sparing = 10 * time.Second
)

// rest notices that the program did not run for a while, as when it was stopped or its
// machine slept. What came meanwhile waits in the socket and is read in one go: it is no
// sign of life, and its age is neither a gap in the peer's traffic nor a round trip.
type rest struct {
	due    atomic.Int64 // when the pulse's timer is to run
	woke   atomic.Int64 // when the last rest ended; 0: there was none
	before atomic.Int64 // the round-trip time as it was before it
	rouse  atomic.Bool  // what came meanwhile is being read
}

// overslept says that the timer should have run long ago.
func (r *rest) overslept(now int64) bool {
	due := r.due.Load()
	return due != 0 && now-due > int64(minJump)
}

// ended says, once, that what came meanwhile has been read.
func (r *rest) ended() bool { return r.rouse.Swap(false) }

// spare returns the round-trip time, or the one from before the rest if that was less and
// the rest is not long ago.
func (r *rest) spare(now int64, rtt time.Duration) time.Duration {
	if woke := r.woke.Load(); woke != 0 && now-woke < int64(sparing) {
		return min(rtt, time.Duration(r.before.Load()))
	}
	return rtt
}

// arm sets the timer. The caller holds mu.
func (p *Pulse) arm(d time.Duration) {
	p.rest.due.Store(p.stamps.now() + int64(d))
	p.timer.Reset(d)
}

// wake forgets the question that was open before a rest, and asks anew soon. The caller
// holds mu.
func (p *Pulse) wake(now int64) {
	p.rest.before.Store(int64(p.RTT()))
	p.rest.woke.Store(now)
	p.rest.rouse.Store(true)
	p.probed = 0
	p.arm(rousing)
}

// roused is called when a packet has come: it says whether it came during a rest.
func (p *Pulse) roused(now int64) bool {
	if !p.rest.overslept(now) {
		return p.rest.rouse.Load()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended && p.rest.overslept(now) {
		p.wake(now)
	}
	return true
}
