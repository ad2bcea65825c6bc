package pubsub

import (
	"sync/atomic"

	"github.com/remoq/moq/moqerr"
)

// Budget bounds the memory that one supplier, as a session is, makes this process hold: the
// groups of its tracks, and what it has taken for other things. Its methods may be called
// concurrently, and on nil, which is no bound.
//
// Older groups are evicted from three quarters on. Beyond the whole even the latest group
// of a track is cut with StreamEvicted, if it grows.
type Budget struct {
	limit int64
	held  atomic.Int64
	over  atomic.Int64 // what was written since all tracks were looked at, while it was short
}

// NewBudget returns a budget of so many bytes. Zero: DefaultBudget. Negative: no bound.
func NewBudget(bytes int64) *Budget {
	switch {
	case bytes < 0:
		return nil
	case bytes == 0:
		bytes = DefaultBudget
	}
	return &Budget{limit: bytes}
}

// Take counts n bytes more, or refuses them if they do not fit.
func (b *Budget) Take(n int64) bool {
	if b == nil {
		return true
	}
	if b.held.Add(n) <= b.limit {
		return true
	}
	b.held.Add(-n)
	return false
}

// Give takes n bytes back.
func (b *Budget) Give(n int64) {
	if b != nil {
		b.held.Add(-n)
	}
}

// Held returns how many bytes are counted at present.
func (b *Budget) Held() int64 {
	if b == nil {
		return 0
	}
	return b.held.Load()
}

// excess is what older groups should give back.
func (b *Budget) excess() int64 {
	if b == nil {
		return 0
	}
	return b.held.Load() - b.limit/4*3
}

// spent reports that there is no room left even for the latest groups.
func (b *Budget) spent() bool { return b != nil && b.held.Load() > b.limit }

// due reports, once for each sixteenth that is written while the budget is short, that all
// tracks should give back what they can.
func (b *Budget) due(n int64) bool {
	over := b.over.Add(n)
	return over >= b.limit/16 && b.over.CompareAndSwap(over, 0)
}

// charge counts what the track holds more, or less, everywhere.
func (t *track) charge(n int64) {
	t.held.Add(n)
	t.origin.held.Add(n)
	if t.feed != nil {
		t.feed.budget.Give(-n)
	}
}

// excess is how much the track holds too much for its own budget, or for one that it has
// together with others.
func (t *track) excess() int64 {
	over := t.origin.held.Load() - t.origin.budget
	if !t.lone { // of a track's own budget its latest group is no part
		over = max(over, t.held.Load()-t.origin.trackBudget)
	}
	if t.feed != nil {
		over = max(over, t.feed.budget.excess())
	}
	return over
}

// relieve evicts what is too old or too much.
func (t *track) relieve() {
	t.mu.Lock()
	var buf [4]*group
	evicted := t.evict(buf[:0])
	var asleep *sleepers
	if len(evicted) > 0 || t.watchers.Load() > 0 {
		asleep = t.bell.take()
	}
	t.mu.Unlock()
	t.bell.ring(asleep)
	discard(evicted)
}

// sweep lets all tracks of the feed give back what they can, also those that are not
// written at present.
func (f *Feed) sweep() {
	f.mu.Lock()
	var running []*track
	for h := range f.routes {
		for _, s := range h.tracks {
			if s.track != nil {
				running = append(running, s.track)
			}
		}
	}
	f.mu.Unlock()
	for _, t := range running {
		if f.budget.excess() <= 0 {
			return
		}
		t.relieve()
	}
}

// expel cuts a group that its supplier's budget has no room for, and forgets it: readers
// get what they have of it, then StreamEvicted.
func (t *track) expel(g *group) error {
	err := streamError(moqerr.StreamEvicted)
	t.mu.Lock()
	t.cache.remove(g)
	t.never.add(g.sequence, g.sequence)
	asleep := t.bell.take()
	t.mu.Unlock()
	g.end(err)
	g.drop()
	t.bell.ring(asleep)
	return err
}
