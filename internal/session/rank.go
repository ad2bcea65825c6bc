package session

import (
	"slices"
	"sync"

	"github.com/remoq/moq/internal/transport"
)

// maxSlots is how many of a track's newest groups are told apart in urgency, at most.
const maxSlots = 4

// rank is the urgencies of one subscription's groups: the newest has the first, the one
// before it the next, and all that are older share the last.
type rank struct {
	first, last int8
	version     uint64 // of the ranks that it is from
}

// at returns the urgency of the group that has place newer ones before it, and whether it
// shares that with groups of its own track: of those the oldest goes first, while others
// take turns with those of other tracks.
func (r rank) at(place int) (urgency int8, turns bool) {
	if place >= int(r.last-r.first) {
		return r.last, r.last == r.first
	}
	return r.first + int8(place), true
}

// ranks maps the priorities of a session's subscriptions to the few urgencies that streams
// have (§6.5). Only those in use count: with three priorities each has two urgencies, one
// for the newest group and one for what is older.
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
	slots := min(max(next-first, 1), maxSlots)
	r.version++
	return rank{first: int8(urgencyFirst + first), last: int8(urgencyFirst + first + slots - 1), version: r.version}
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

// ranked is the stream of one of the newest groups, sent or not: what was written may still
// wait for the network.
type ranked struct {
	sequence uint64
	stream   transport.SendStream
}

// enter gives a new group's stream its urgency, and those of older groups that it passes
// the next one each.
func (p *publication) enter(sequence uint64, stream transport.SendStream) {
	p.mu.Lock()
	defer p.mu.Unlock() // setting a priority only moves a queue's entry
	at := 0
	for at < len(p.newest) && p.newest[at].sequence > sequence {
		at++
	}
	if at >= maxSlots-1 {
		stream.SetPriority(p.rank.at(at))
		return
	}
	p.newest = slices.Insert(p.newest, at, ranked{sequence, stream})
	for i := at; i < len(p.newest); i++ {
		p.newest[i].stream.SetPriority(p.rank.at(i))
	}
	if len(p.newest) == maxSlots {
		p.newest[maxSlots-1] = ranked{}
		p.newest = p.newest[:maxSlots-1]
	}
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
		w.stream.SetPriority(r.at(maxSlots))
	}
	for i, n := range p.newest {
		n.stream.SetPriority(r.at(i))
	}
}
