package pubsub

import (
	"cmp"
	"errors"
	"slices"

	"github.com/remoq/moq/moqerr"
)

// maxOpen bounds how many unfinished groups a Follower remembers; the lowest are forgotten
// first, and then are not resumed.
const maxOpen = 256

// position is how far a Follower has come in a track's numbering.
type position struct {
	known    bool
	source   uint64       // whose numbering it is; 0 if unknown
	top      uint64       // everything below was delivered, or told as lost, or is in cut
	complete uint64       // above the highest group known to have come whole
	open     []openGroup  // delivered from the running subscription, not known to be whole
	cut      []brokenPart // broken off with an earlier subscription; by sequence
}

// openGroup is a group that was delivered from frame from on.
type openGroup struct {
	g    *group
	from int
}

// brokenPart is a group of which only the first frames came.
type brokenPart struct {
	sequence uint64
	frames   int
}

// advance notes that g is delivered from frame from on.
func (p *position) advance(g *group, from int, source uint64) {
	p.prune(nil)
	if len(p.open) == maxOpen {
		p.open = slices.Delete(p.open, 0, 1)
	}
	p.open = append(p.open, openGroup{g, from})
	p.cut = slices.DeleteFunc(p.cut, func(b brokenPart) bool { return b.sequence <= g.sequence })
	p.top = max(p.top, g.sequence+1)
	p.known, p.source = true, source
}

// prune forgets groups that cannot have lost anything with the subscription, whose error
// is failure once it failed.
func (p *position) prune(failure error) {
	for _, o := range p.open {
		if _, done, err := o.g.outcome(); done && err == nil {
			p.complete = max(p.complete, o.g.sequence+1)
		}
	}
	p.open = slices.DeleteFunc(p.open, func(o openGroup) bool { return !p.broken(o.g, failure) })
}

// broken reports whether g may count as cut by the loss of the subscription. A group that
// its publisher reset by itself told its reader so; it counts only if nothing whole came
// after it, since then the reset may have been the first sign of the loss.
func (p *position) broken(g *group, failure error) bool {
	_, done, err := g.outcome()
	switch {
	case !done:
		return true
	case err == nil:
		return false
	case g.sequence >= p.complete:
		return true
	}
	if failure == nil {
		failure = g.track.failure()
	}
	if failure == nil {
		var reset *moqerr.StreamError
		return !errors.As(err, &reset)
	}
	return errors.Is(err, failure) || errors.Is(failure, err)
}

// failure returns why the track ended before its end, if it did.
func (t *track) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.err
}

// breakOff turns what is open into what is cut.
func (p *position) breakOff(err error) {
	p.prune(err)
	for _, o := range p.open {
		frames, _, _ := o.g.outcome()
		p.cut = append(p.cut, brokenPart{o.g.sequence, max(frames, o.from)})
	}
	p.open = nil
	slices.SortFunc(p.cut, func(a, b brokenPart) int { return cmp.Compare(a.sequence, b.sequence) })
}

// restartedBy reports whether group seq of a publisher does not belong to this numbering.
// Only the first group of a subscription, which is the live one, can tell so where an
// identity is unknown.
func (p *position) restartedBy(source uint64, first bool, seq uint64) bool {
	if source != 0 && p.source != 0 {
		return source != p.source
	}
	_, wanted := p.resumeAt(seq)
	return first && !wanted && seq+1 < p.top
}

// end describes where the numbering broke off.
func (p *position) end(cause error) Gap {
	gap := Gap{First: p.top, Cause: cause, Restarted: true}
	if len(p.cut) > 0 {
		gap.First, gap.FirstFrame = p.cut[0].sequence, p.cut[0].frames
	}
	return gap
}

// resumeAt returns the first frame of group seq that did not come yet, and whether the
// group is wanted at all.
func (p *position) resumeAt(seq uint64) (frame int, wanted bool) {
	for _, b := range p.cut {
		if b.sequence == seq {
			return b.frames, true
		}
	}
	return 0, seq >= p.top
}

// lostBefore names what can no longer come once group seq is delivered: nothing that came
// is within one of the gaps.
func (p *position) lostBefore(seq uint64, cause error) (gaps []Gap) {
	lose := func(first uint64, frame int, last uint64) {
		if n := len(gaps); n > 0 && frame == 0 && gaps[n-1].Last+1 == first {
			gaps[n-1].Last = last
			return
		}
		gaps = append(gaps, Gap{First: first, FirstFrame: frame, Last: last, Cause: cause})
	}
	for _, b := range p.cut {
		if b.sequence >= seq {
			break
		}
		lose(b.sequence, b.frames, b.sequence)
	}
	if seq > p.top {
		lose(p.top, 0, seq-1)
	}
	return gaps
}

// giveUp notes that what lies below seq was told as lost.
func (p *position) giveUp(seq uint64) {
	p.cut = slices.DeleteFunc(p.cut, func(b brokenPart) bool { return b.sequence < seq })
	p.top = max(p.top, seq)
}
