package transport

import (
	"sync/atomic"
	"time"
)

// gapWindow is how long a gap between packets is remembered, at least; twice that at
// most.
const gapWindow = 5 * time.Second

// acknowledging is how long after a packet has come what is sent may only acknowledge it.
// Acknowledgements wait for 25 ms, and for a busy machine.
const acknowledging = 100 * time.Millisecond

// traffic is how many reads of late make a connection a busy one, whose silence means
// something. A session that begins, or that only answers now and then, has fewer.
const traffic = 16

// stamps are when packets came and went on the socket of one dial. They are written on
// the goroutines that read and write, for each packet: atomics only, and no allocation.
type stamps struct {
	epoch time.Time // its monotonic reading is what the others count from

	heard func() // called at the first packet, and then forgotten: it knows the session before; may be nil

	last atomic.Int64 // when a packet came, or the epoch
	went atomic.Int64 // when one was sent
	came atomic.Bool

	// When the first packet went that nothing has come since. What goes soon behind one that
	// has come does not count: it may only acknowledge it. Older than last: there is none.
	asked atomic.Int64

	// The longest gap between two packets of a busy connection that came in this window and
	// in the one before, and how many reads there were.
	gap, gapBefore     atomic.Int64
	reads, readsBefore atomic.Int64
	window             atomic.Int64 // when the window began

	pulse atomic.Pointer[Pulse] // whoever judges them; nil: nobody
}

func newStamps(heard func()) *stamps { return &stamps{epoch: time.Now(), heard: heard} }

func (s *stamps) now() int64 { return int64(time.Since(s.epoch)) }

// received implements observer.
func (s *stamps) received() {
	now := s.now()
	p := s.pulse.Load()
	roused := p != nil && p.roused(now)
	gap := now - s.last.Swap(now)
	if !s.came.Load() {
		s.came.Store(true)
		if s.heard != nil {
			s.heard()
			s.heard = nil
		}
		return // the first gap is the handshake's
	}
	if now-s.window.Load() > int64(gapWindow) {
		s.window.Store(now)
		s.gapBefore.Store(s.gap.Swap(0))
		s.readsBefore.Store(s.reads.Swap(0))
	}
	begins := s.reads.Add(1)+s.readsBefore.Load() == traffic
	// A pause in which nobody had anything to say tells nothing of the traffic behind it.
	if gap > s.gap.Load() && !roused && s.busy() {
		s.gap.Store(gap)
	}
	if begins && p != nil {
		p.quicken()
	}
	if p != nil && p.health.Load() != int32(Alive) {
		p.woke()
	}
}

// sent implements observer.
func (s *stamps) sent() {
	now := s.now()
	if last := s.last.Load(); now-last > int64(acknowledging) && s.asked.Load() <= last {
		s.asked.Store(now)
	}
	pause := now - s.went.Swap(now)
	if p := s.pulse.Load(); p != nil && pause > int64(minJump) {
		p.slept()
	}
}

// inVain returns since when an answer is due that has not come; false: none is.
func (s *stamps) inVain() (since time.Time, due bool) {
	if !s.came.Load() {
		return s.epoch, true
	}
	asked := s.asked.Load()
	return s.epoch.Add(time.Duration(asked)), asked > s.last.Load()
}

// unreachable implements observer.
func (s *stamps) unreachable(error) {
	if p := s.pulse.Load(); p != nil {
		p.hint()
	}
}

// busy reports whether there was traffic of late.
func (s *stamps) busy() bool { return s.reads.Load()+s.readsBefore.Load() >= traffic }

// typical is the longest gap between packets that was seen lately.
func (s *stamps) typical() time.Duration {
	return time.Duration(max(s.gap.Load(), s.gapBefore.Load()))
}
