package pubsub

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remoq/moq/moqerr"
)

// Defaults of a TrackInfo.
const (
	DefaultPriority  = 127
	DefaultMaxAge    = 5 * time.Second
	DefaultTimescale = 1_000_000
)

// TrackInfo is what a publisher says of a track (moq-lite.md §4.4).
type TrackInfo struct {
	// Priority, higher first. Zero: 127 for a track that is made here; what a peer said
	// stays ([Request.Accept]).
	Priority uint8
	// MaxAge is how long older groups are kept, by presentation time. Zero: 5 s.
	// Negative: only the latest group; [TrackConsumer.Info] then says 0.
	MaxAge time.Duration
	// Timescale is how many ticks a second timestamps have, at most 2^62-1. Zero:
	// 1,000,000.
	Timescale uint64
}

func (i TrackInfo) filled() (TrackInfo, error) {
	if i.Priority == 0 {
		i.Priority = DefaultPriority
	}
	switch {
	case i.MaxAge == 0:
		i.MaxAge = DefaultMaxAge
	case i.MaxAge < 0:
		i.MaxAge = 0
	}
	if i.Timescale == 0 {
		i.Timescale = DefaultTimescale
	}
	if i.Timescale > maxVarint {
		return i, &moqerr.ConfigError{Field: "TrackInfo.Timescale", Err: errors.New("over 2^62-1")}
	}
	return i, nil
}

// home is where a track can be found by name: a local broadcast or an attached route.
type home interface {
	// ended is called once, without locks, when the track takes no more groups.
	ended(t *track, err error)
	// wrote is called once, without locks, at the track's first group.
	wrote(t *track)
}

// track is what the producer and the consumers of a track share.
type track struct {
	origin *Origin
	home   home
	name   string
	info   TrackInfo
	maxAge uint64 // info.MaxAge in ticks
	made   time.Time
	lone   bool // it is there for one group that was fetched

	feed *Feed        // nil: made here
	held atomic.Int64 // bytes of its groups

	// watchers counts readers that wait for timestamps to move on.
	watchers atomic.Int32

	mu sync.Mutex
	// Guarded by mu.
	cache   cache
	used    bool   // there has been a group
	written bool   // or a datagram
	first   uint64 // the first group that ever came; if used
	next    uint64 // above every sequence ever used
	begin   uint64 // nothing below exists, or will come
	started bool   // begin is what the peer's START said
	final   uint64 // the first sequence that will never exist; if bounded
	bounded bool
	never   spans  // sequences that will never come
	drops   []span // of these the latest news, in their order
	dropped uint64 // how much news there was
	carried spans  // sequences that came as datagrams, not groups; also below what is kept
	ended   bool   // no more groups
	hidden  bool   // nobody new can find it
	gone    bool   // released: a new reader needs a new track
	err     error  // why it ended before its end
	readers []*TrackConsumer
	demand  demandCell
	bell    bell

	datagrams *datagrams // nil: there was none
	listeners bell       // readers that wait for one
}

// newTrack returns a track whose numbering begins at begin.
func newTrack(o *Origin, h home, name string, info TrackInfo, begin uint64) *track {
	return &track{
		origin: o, home: h, name: name, info: info, made: time.Now(),
		maxAge: toTicks(info.MaxAge, info.Timescale), next: begin, begin: begin,
	}
}

// add takes g in as group seq, or above all others if seq is nil.
func (t *track) add(g *group, seq *uint64) error {
	t.mu.Lock()
	if err := t.place(g, seq); err != nil {
		t.mu.Unlock()
		return err
	}
	if !t.used {
		t.used, t.first = true, g.sequence
	}
	first := t.begins()
	t.next = max(t.next, g.sequence+1)
	t.cache.insert(g)
	t.charge(g.held)
	var buf [4]*group
	evicted := t.evict(buf[:0], math.MaxInt64)
	asleep := t.bell.take()
	t.mu.Unlock()
	t.bell.ring(asleep)
	discard(evicted)
	t.press(g.held)
	if first {
		t.home.wrote(t)
	}
	return nil
}

// begins reports whether this is the first that is written to the track. The caller holds mu.
func (t *track) begins() bool {
	if t.written {
		return false
	}
	t.written = true
	if !t.lone { // nobody would forget it
		t.origin.keep(t, true)
	}
	return true
}

// madeHere reports whether the numbering of the track is the origin's.
func (t *track) madeHere() bool {
	a, elsewhere := t.home.(*attached)
	return !t.lone && (!elsewhere || a.requests.route.served)
}

// place checks a new group and numbers it. The caller holds mu.
func (t *track) place(g *group, seq *uint64) error {
	if t.ended {
		return moqerr.ErrClosed
	}
	g.sequence = t.next
	if seq != nil {
		g.sequence = *seq
	}
	switch s := g.sequence; {
	case s > maxSequence:
		return &moqerr.ConfigError{Field: "sequence", Err: errors.New("over 2^62-2")}
	case t.cache.has(s) || t.carried.past(s) != s:
		return moqerr.ErrDuplicate
	case s < t.cache.floor || s < t.begin:
		return moqerr.ErrTooOld
	case t.bounded && s >= t.final:
		return fmt.Errorf("moq: group %d at or above the track's end %d: %w", s, t.final, streamError(moqerr.StreamMalformed))
	}
	return nil
}

// wrote is called after each frame, without locks. The error is that there is no room for
// the group.
func (t *track) wrote(g *group, grown int64, first bool) error {
	if grown != 0 {
		t.charge(grown)
	}
	if !first && t.excess() <= 0 && t.watchers.Load() == 0 {
		return nil
	}
	t.relieve(math.MaxInt64)
	t.press(grown)
	if t.feed != nil && t.feed.budget.spent() && !t.feed.strip() {
		return t.expel(g)
	}
	return nil
}

// evict takes out groups from the oldest on: those that are too old, too many, or too
// much for a budget, or for limit. The latest always stays. The caller holds mu, and
// discards the result without it.
func (t *track) evict(out []*group, limit int64) []*group {
	over := max(t.excess(), t.held.Load()-limit)
	for len(t.cache.groups) > t.spared() {
		if over <= 0 && len(t.cache.groups) <= maxGroups && !t.cache.tooOld(1, t.maxAge) {
			break
		}
		g := t.cache.pop()
		over -= g.footprint()
		out = append(out, g)
	}
	t.never.cut(t.cache.floor)
	return out
}

// spared is how many groups a budget leaves: a group that was fetched is not worth more than
// the budget, as the latest one of a track is.
func (t *track) spared() int {
	if t.lone {
		return 0
	}
	return 1
}

// footprint is what evicting the group gives back.
func (g *group) footprint() int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.dropped {
		return 0
	}
	return g.held
}

// discard ends evicted groups and gives their memory back to the budget.
func discard(evicted []*group) {
	for _, g := range evicted {
		g.end(errEvicted)
		g.drop()
	}
}

// finish ends the track: no more groups. With an error it also cuts the unfinished ones.
// It reports whether this was the first end.
func (t *track) finish(err error) bool {
	t.mu.Lock()
	if t.ended {
		t.mu.Unlock()
		return false
	}
	t.finishLocked(err)
	return true
}

// release ends the track if nobody reads it.
func (t *track) release() bool {
	t.mu.Lock()
	if t.ended || len(t.readers) > 0 {
		t.mu.Unlock()
		return false
	}
	t.gone = true
	t.finishLocked(streamError(moqerr.StreamCancelled))
	return true
}

// finishLocked is called with mu held, and lets it go.
func (t *track) finishLocked(err error) {
	t.ended, t.err = true, err
	if err == nil && !t.bounded {
		t.bounded, t.final = true, t.next
	}
	if t.madeHere() { // before anybody sees the end, and makes another
		t.origin.raise(t.next)
	}
	groups := t.cache.groups
	if err != nil {
		groups = append([]*group(nil), groups...)
	}
	asleep, listening := t.bell.take(), t.listeners.take()
	t.mu.Unlock()
	if err != nil {
		for _, g := range groups {
			g.end(err)
		}
	}
	t.bell.ring(asleep)
	t.listeners.ring(listening)
	t.home.ended(t, err)
}

// forget gives back the budget of all groups, once nobody new can find the track; of open
// ones when they are done.
func (t *track) forget() {
	t.mu.Lock()
	groups := append([]*group(nil), t.cache.groups...)
	var kept int64
	if t.datagrams != nil {
		kept, t.datagrams.bytes = t.datagrams.bytes, 0
	}
	t.hidden = true
	t.empty()
	t.mu.Unlock()
	t.charge(-kept)
	for _, g := range groups {
		g.orphaned()
	}
	t.unkeep()
}

// empty lets go of the groups that are over, once nobody can come to them by the track: whoever
// has one of them would keep them all. Open ones are still evicted for a budget. The caller holds
// mu.
func (t *track) empty() {
	if !t.hidden || !t.ended || len(t.readers) > 0 {
		return
	}
	over := func(g *group) bool {
		_, done, _ := g.outcome()
		return done
	}
	t.cache.groups = slices.DeleteFunc(t.cache.groups, over)
	t.cache.arrivals = slices.DeleteFunc(t.cache.arrivals, over)
}

// unkeep notes that a forgotten track keeps nothing any more, if that is so.
func (t *track) unkeep() {
	if t.held.Load() <= 0 { // a write that is not charged yet makes it negative
		t.origin.keep(t, false)
	}
}
