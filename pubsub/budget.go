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

	pressed atomic.Int64 // written since it was shared out, while it was all but used up
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

// relieve evicts what is too old or too much, also for a limit of its own.
func (t *track) relieve(limit int64) {
	t.mu.Lock()
	var buf [4]*group
	evicted := t.evict(buf[:0], limit)
	var asleep *sleepers
	if len(evicted) > 0 || t.watchers.Load() > 0 {
		asleep = t.bell.take()
	}
	t.mu.Unlock()
	t.bell.ring(asleep)
	discard(evicted)
}

// pool is a budget that tracks have together.
type pool struct {
	limit         int64
	held, pressed *atomic.Int64
	feed          *Feed // whose tracks; nil: the origin's
}

// press is called after the track has grown. A track that writes gives up its own groups
// first; when a pool is all but used up, those that keep more than their share have to give
// too, or else what is not written any more would hold the room for ever.
func (t *track) press(grown int64) {
	o := t.origin
	o.share(pool{o.budget, &o.held, &o.pressed, nil}, grown)
	if t.feed != nil && t.feed.budget != nil {
		b := t.feed.budget
		o.share(pool{b.limit / 4 * 3, &b.held, &b.pressed, t.feed}, grown)
	}
}

// minShare is how much is written at least between two looks at all tracks.
const minShare = 64 << 10

// share makes a sixteenth of the pool free, once for each that is written.
func (o *Origin) share(p pool, grown int64) {
	goal := p.limit - p.limit/16
	if p.held.Load() <= goal {
		return
	}
	if n := p.pressed.Add(grown); n < max(p.limit/16, minShare) || !p.pressed.CompareAndSwap(n, 0) {
		return
	}
	all := o.keepers(p.feed)
	for _, t := range all {
		if p.held.Load() <= goal {
			return
		}
		if fair := p.limit / int64(len(all)); t.held.Load() > fair {
			t.relieve(fair)
		}
	}
}

// keepers returns the tracks that were written to, and may keep something, of one feed or of
// all.
func (o *Origin) keepers(f *Feed) (all []*track) {
	o.tracksMu.Lock()
	defer o.tracksMu.Unlock()
	for t := range o.tracks {
		if f == nil || t.feed == f {
			all = append(all, t)
		}
	}
	return all
}

// keep notes that t may keep something from now on, or not any more.
func (o *Origin) keep(t *track, on bool) {
	o.tracksMu.Lock()
	defer o.tracksMu.Unlock()
	if on {
		o.tracks[t] = struct{}{}
	} else {
		delete(o.tracks, t)
	}
}

// strip evicts all groups of the feed but the latest ones, as far as need be, and reports
// whether that made room.
func (f *Feed) strip() bool {
	for _, t := range f.origin.keepers(f) {
		if !f.budget.spent() {
			break
		}
		t.relieve(0)
	}
	return !f.budget.spent()
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
