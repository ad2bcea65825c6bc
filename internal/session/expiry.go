package session

import (
	"time"

	"github.com/remoq/moq/moqerr"
)

// staleGrace is how long a group that has become too old may still be blocked.
const staleGrace = 100 * time.Millisecond

// watch arms a timer for each group that is still being sent although a newer one
// exists: it runs out when the group becomes too old for the peer, and resets the
// stream if it is blocked then (§4.5, Max Age).
func (p *publication) watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for sequence, w := range p.open {
		in, older := p.track.StaleIn(sequence)
		if !older {
			continue
		}
		w.arm(in, func() { p.expire(sequence, w) })
	}
}

func (w *groupWriter) arm(in time.Duration, expire func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.done:
	case w.timer == nil:
		w.timer = time.AfterFunc(max(in, 1), expire) // two that are due at once crash the race detector (golang.org/issue/78156)
	case in <= 0 && !w.stale: // evicted before its time
		w.timer.Reset(1)
	}
}

// expire runs when a group's time may be over: presentation time passes as frames
// come, so it looks again. A group that waits for its publisher is left alone; one
// that is blocked is reset.
func (p *publication) expire(sequence uint64, w *groupWriter) {
	in, older := p.track.StaleIn(sequence)
	if older && w.overdue(in) {
		w.stream.Reset(moqerr.StreamOld)
	}
}

// abandon notes a group that was reset: the peer may not even know that there was one, if the
// reset overtook the head.
func (p *publication) abandon(sequence uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = append(p.cut, sequence)
}

func (p *publication) takeCut() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	cut := p.cut
	p.cut = nil
	return cut
}

// overdue reports whether the group has been too old and blocked for staleGrace, and
// arms the timer anew if that can still happen.
func (w *groupWriter) overdue(in time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.done:
		return false
	case in > 0:
		w.timer.Reset(max(in, staleGrace))
		return false
	case w.stale:
		return w.writing
	}
	w.stale = true
	if w.writing {
		w.timer.Reset(staleGrace)
	}
	return false
}

// resetAll cuts every group that is still being sent.
func (p *publication) resetAll(code moqerr.StreamCode) {
	p.mu.Lock()
	open := make([]*groupWriter, 0, len(p.open))
	for _, w := range p.open {
		open = append(open, w)
	}
	p.mu.Unlock()
	for _, w := range open {
		w.stream.Reset(code)
		_ = w.group.Close() // ends its wait for frames
	}
}
