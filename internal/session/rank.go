package session

import (
	"sync"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/moqerr"
)

// place is where a group stands among those of its track.
type place int8

const (
	inFront place = iota // it is being sent, or is so small that it goes before anything
	nextUp               // the newest one that waits
	behind               // all others
)

// rank is the urgencies of one subscription's groups, for each place; several may be equal.
type rank struct {
	first, last int8
	version     uint64 // of the ranks that it is from
}

// at returns the urgency of a place. Groups in front take turns with those of other tracks,
// of those behind the oldest goes first.
func (r rank) at(p place) (urgency int8, turns bool) {
	return min(r.first+int8(p), r.last), p != behind || r.first == r.last
}

// ranks maps the priorities of a session's subscriptions to the few urgencies that streams
// have (§6.5). Only those in use count: with three priorities each has two urgencies, one
// for the group in front and one for the others.
type ranks struct {
	mu sync.Mutex
	// Guarded by mu.
	members map[*publication]uint8
	counts  [256]int32
	levels  int // priorities in use
	version uint64
}

// add takes p in with the priority that its subscriber asked for, and ranks whoever is
// affected.
func (r *ranks) add(p *publication, priority uint8) {
	r.mu.Lock()
	if r.members == nil {
		r.members = make(map[*publication]uint8)
	}
	moved := r.place(p, priority, false)
	r.mu.Unlock()
	apply(moved)
}

// update gives p another priority, unless it has been taken out.
func (r *ranks) update(p *publication, priority uint8) {
	r.mu.Lock()
	var moved []move
	if old, known := r.members[p]; known && old != priority {
		moved = r.place(p, priority, r.release(old))
	}
	r.mu.Unlock()
	apply(moved)
}

// place gives p its priority and returns who has another rank for it. changed says that
// the priorities in use are others already. The caller holds mu.
func (r *ranks) place(p *publication, priority uint8, changed bool) []move {
	r.members[p] = priority
	r.counts[priority]++
	if r.counts[priority] == 1 {
		r.levels++
		changed = true
	}
	if changed {
		return r.all()
	}
	return []move{{p, r.of(priority)}}
}

// remove takes p out.
func (r *ranks) remove(p *publication) {
	r.mu.Lock()
	priority, known := r.members[p]
	delete(r.members, p)
	var moved []move
	if known && r.release(priority) {
		moved = r.all()
	}
	r.mu.Unlock()
	apply(moved)
}

// release counts one subscription less, and reports whether it was the last of its
// priority. The caller holds mu.
func (r *ranks) release(priority uint8) bool {
	r.counts[priority]--
	if r.counts[priority] > 0 {
		return false
	}
	r.levels--
	return true
}

// of returns the urgencies of a priority that is in use. The caller holds mu.
func (r *ranks) of(priority uint8) rank {
	higher := 0
	for p := int(priority) + 1; p < len(r.counts); p++ {
		if r.counts[p] > 0 {
			higher++
		}
	}
	const all = urgencyGroups - urgencyFirst + 1
	first, next := higher*all/r.levels, (higher+1)*all/r.levels
	places := min(max(next-first, 1), int(behind)+1)
	r.version++
	return rank{first: int8(urgencyFirst + first), last: int8(urgencyFirst + first + places - 1), version: r.version}
}

// move is a publication with its new rank.
type move struct {
	p    *publication
	rank rank
}

// all ranks every member. The caller holds mu.
func (r *ranks) all() []move {
	var known [256]rank
	moved := make([]move, 0, len(r.members))
	for p, priority := range r.members {
		if known[priority].version == 0 {
			known[priority] = r.of(priority)
		}
		moved = append(moved, move{p, known[priority]})
	}
	return moved
}

func apply(moved []move) {
	for _, m := range moved {
		m.p.rerank(m.rank)
	}
}

// enter gives a new group's stream its place. w is nil for a group of one packet.
//
// Newer groups go before older ones, but one that is being sent is left to finish: else, on
// a link that is too slow for all of them, each would be overtaken by the next and none
// would ever be whole. It is overtaken all the same if nothing else waits, since then the
// link may well have room for both.
func (p *publication) enter(sequence uint64, stream transport.SendStream, w *groupWriter) {
	p.mu.Lock()
	defer p.mu.Unlock() // setting a priority only moves a queue's entry
	switch {
	case w == nil:
		stream.SetPriority(p.rank.at(inFront))
		return
	case p.front == nil:
		p.front = w
	case sequence < p.front.sequence:
	case len(p.open) == 1:
		p.move(p.front, behind)
		p.front = w
	case p.next == nil || p.next.sequence < sequence:
		p.move(p.next, behind)
		p.next = w
	}
	if earlier := p.open[sequence]; earlier != nil { // it was cut, and has come again
		earlier.stream.Reset(moqerr.StreamEvicted)
	}
	p.open[sequence] = w
	p.move(w, p.placeOf(w))
}

func (p *publication) placeOf(w *groupWriter) place {
	switch w {
	case p.front:
		return inFront
	case p.next:
		return nextUp
	default:
		return behind
	}
}

func (p *publication) move(w *groupWriter, to place) {
	if w != nil {
		w.stream.SetPriority(p.rank.at(to))
	}
}

// exit takes out a group whose writer is done, and moves up the newest of those that wait. The
// carrier may still hold the group's end, a packet at most: nothing would cut it when it is too
// old, so it waits for no others.
func (p *publication) exit(w *groupWriter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open[w.sequence] == w {
		delete(p.open, w.sequence)
	}
	p.move(w, inFront)
	if w != p.front && w != p.next {
		return
	}
	if w == p.front {
		p.front = p.newest(nil)
		p.move(p.front, inFront)
	}
	p.next = p.newest(p.front)
	p.move(p.next, nextUp)
}

// newest returns the newest group that is open, but for one.
func (p *publication) newest(but *groupWriter) (found *groupWriter) {
	for _, w := range p.open {
		if w != but && (found == nil || found.sequence < w.sequence) {
			found = w
		}
	}
	return found
}

// rerank moves all groups that are under way to other urgencies.
func (p *publication) rerank(r rank) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.version < p.rank.version {
		return // overtaken by a later one
	}
	p.rank = r
	for _, w := range p.open {
		p.move(w, p.placeOf(w))
	}
}
