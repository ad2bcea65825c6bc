package pubsub

import (
	"cmp"
	"errors"
	"slices"
)

// maxOpen bounds how many unfinished groups a Follower remembers; the lowest are forgotten
// first, and then are not resumed.
const maxOpen = 256

// position is how far a Follower has come in a track's numbering.
type position struct {
	known  bool
	source uint64       // whose numbering it is; 0 if unknown
	top    uint64       // everything below was delivered, or told as lost, or is in open
	whole  uint64       // above the highest group known to have come whole
	gapped uint64       // above the highest group that a gap has named
	open   []*openGroup // delivered, and not known to be whole; by sequence
}

// advance notes that o is delivered.
func (p *position) advance(o *openGroup) {
	p.prune()
	if len(p.open) == maxOpen {
		p.open = slices.Delete(p.open, 0, 1)
	}
	p.open = append(p.open, o)
	slices.SortFunc(p.open, bySequence)
	p.top = max(p.top, o.sequence+1)
}

func bySequence(a, b *openGroup) int { return cmp.Compare(a.sequence, b.sequence) }

// prune forgets groups that cannot lose anything any more.
func (p *position) prune() {
	for _, o := range p.open {
		if _, done, err := o.last.outcome(); done && err == nil {
			p.whole = max(p.whole, o.sequence+1)
		}
	}
	p.open = slices.DeleteFunc(p.open, (*openGroup).over)
}

// breakOff turns what is open into what is cut by a loss. Where nobody will be asked for it, a
// group that its publisher had reset by itself is no part of the loss if something came whole
// after it, since then the reset was not the first sign of it; unless it was cut before.
func (p *position) breakOff(failure error, ask bool) {
	p.prune()
	for _, o := range p.open {
		_, _, err := o.last.outcome()
		if err != nil && !ask && !o.cut && o.sequence < p.whole && !errors.Is(err, failure) && !errors.Is(failure, err) {
			o.giveUp(err)
			continue
		}
		o.breakOff()
	}
	p.prune()
}

// firstCut returns the lowest group that was broken off with an earlier subscription, or
// nil.
func (p *position) firstCut() *openGroup {
	for _, o := range p.open {
		if o.cut && !o.over() {
			return o
		}
	}
	return nil
}

// find returns the delivered group with that sequence that waits for the rest of it.
func (p *position) find(seq uint64) *openGroup {
	for _, o := range p.open {
		if o.sequence == seq && o.cut {
			return o
		}
	}
	return nil
}

// restartedBy reports whether group seq of a publisher does not belong to this numbering.
// Only the first group of a subscription, which is the live one, can tell so where an
// identity is unknown.
func (p *position) restartedBy(source uint64, first bool, seq uint64) bool {
	if source != 0 && p.source != 0 {
		return source != p.source
	}
	return first && p.find(seq) == nil && seq+1 < p.top
}

// end describes where the numbering broke off.
func (p *position) end(cause error) Gap {
	gap := Gap{First: p.top, Cause: cause, Restarted: true}
	for _, o := range p.open {
		// What lies below a gap that was told is told by its own error.
		if o.cut && !o.over() && o.sequence+1 >= p.gapped {
			gap.First, gap.FirstFrame = o.sequence, o.have
			break
		}
	}
	return gap
}

// tell notes what gaps have named.
func (p *position) tell(gaps []Gap) {
	for _, gap := range gaps {
		if !gap.Restarted {
			p.gapped = max(p.gapped, gap.Last+1)
		}
	}
}

// appendGap adds a loss to a list of losses by sequence, in as few pieces as can be.
func appendGap(gaps []Gap, gap Gap) []Gap {
	if n := len(gaps); n > 0 && gap.FirstFrame == 0 && gaps[n-1].Last+1 == gap.First {
		gaps[n-1].Last = gap.Last
		return gaps
	}
	return append(gaps, gap)
}
