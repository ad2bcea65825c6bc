package pubsub

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/remoq/moq/moqerr"
)

// blockStarts are the indexes of the frames that begin a block of a group's index. The
// blocks grow fourfold; the first is part of the group.
var blockStarts = [...]int{0, 2, 32, 160, 672, 2720, maxGroupFrames}

const groupBlocks = len(blockStarts) - 1

// group is what producer and consumers of one group share.
//
// Frames are published by count: an entry is written before count is raised and never
// changes, so that readers need no lock for what is there.
type group struct {
	track    *track
	sequence uint64
	base     int       // index of the first frame that is kept here; the head is elsewhere
	seen     time.Time // when it came to be

	arrival uint64 // place in the order of arrival; guarded by track.mu

	count  atomic.Int64  // index behind the last frame
	newest atomic.Uint64 // greatest timestamp in ticks; means nothing while empty

	first  [2]RawFrame
	blocks [groupBlocks][]RawFrame

	mu sync.Mutex
	// Guarded by mu.
	arena   arena
	bytes   int   // of payload
	held    int64 // counted against the origin's budget
	dropped bool  // not counted any more
	orphan  bool  // its track is forgotten: it counts until it is done
	done    bool
	err     error // why it ended before its end; nil if it is complete
	bell    bell
}

const groupSize = int64(unsafe.Sizeof(group{}))

func newGroup(t *track) *group {
	g := &group{track: t, seen: time.Now(), held: groupSize}
	g.blocks[0] = g.first[:]
	return g
}

// ready is the index behind the last frame that can be read.
func (g *group) ready() int { return int(g.count.Load()) }

// empty reports whether no frame is here.
func (g *group) empty() bool { return g.ready() == g.base }

// frame returns frame i, which must be below ready and not below base.
func (g *group) frame(i int) *RawFrame {
	i -= g.base
	b := 0
	for i >= blockStarts[b+1] {
		b++
	}
	return &g.blocks[b][i-blockStarts[b]]
}

// start returns the first timestamp in ticks, if there is one.
func (g *group) start() (uint64, bool) {
	if g.empty() {
		return 0, false
	}
	return g.first[0].Ticks, true
}

// copied, in place of the memory that a payload keeps, says that it has to be copied.
const copied = -1

// put appends a frame, which keeps so many bytes more than the frames before it. The caller
// holds mu, or is alone with the group. It returns how much more the group holds now.
func (g *group) put(f RawFrame, keeps int) (grown int64, err error) {
	n := g.ready() - g.base
	if g.base+n >= maxGroupFrames || len(f.Payload) > maxGroupBytes-g.bytes {
		return 0, streamError(moqerr.StreamGroupTooLarge)
	}
	b := 0
	for n >= blockStarts[b+1] {
		b++
	}
	if g.blocks[b] == nil {
		size := blockStarts[b+1] - blockStarts[b]
		g.blocks[b] = make([]RawFrame, size)
		grown = int64(size) * int64(unsafe.Sizeof(f))
	}
	if keeps == copied {
		f.Payload, keeps = g.arena.copy(f.Payload)
	}
	grown += int64(keeps)
	g.blocks[b][n-blockStarts[b]] = f
	g.bytes += len(f.Payload)
	g.held += grown
	if n == 0 || f.Ticks > g.newest.Load() {
		g.newest.Store(f.Ticks)
	}
	g.count.Store(int64(g.base + n + 1))
	return grown, nil
}

// write is put that wakes readers.
func (g *group) write(f RawFrame, keeps int) error {
	if err := f.check(); err != nil {
		return err
	}
	g.mu.Lock()
	if g.done {
		err := g.refusal()
		g.mu.Unlock()
		return err
	}
	grown, err := g.put(f, keeps)
	if err != nil {
		g.mu.Unlock()
		return err
	}
	if g.dropped {
		grown = 0
	}
	asleep := g.bell.take()
	first := g.ready() == g.base+1
	g.mu.Unlock()
	g.bell.ring(asleep)
	return g.track.wrote(g, grown, first)
}

// refusal is what a writer gets once the group has ended. The caller holds mu.
func (g *group) refusal() error {
	if g.err == errEvicted {
		return moqerr.ErrTooOld
	}
	return moqerr.ErrClosed
}

// errEvicted ends an unfinished group that became too old to be kept.
var errEvicted error = streamError(moqerr.StreamOld)

// end finishes the group, with err if it is not complete. The first end counts.
func (g *group) end(err error) {
	g.mu.Lock()
	if g.done {
		g.mu.Unlock()
		return
	}
	g.done, g.err = true, err
	orphan := g.orphan
	asleep := g.bell.take()
	g.mu.Unlock()
	g.bell.ring(asleep)
	if orphan {
		g.drop()
		g.track.unkeep()
	}
}

// orphaned takes the group out of the budget once it is done: its track is forgotten, but an
// open group may still grow.
func (g *group) orphaned() {
	g.mu.Lock()
	g.orphan = true
	done := g.done
	g.mu.Unlock()
	if done {
		g.drop()
	}
}

// drop takes the group out of the budget for good.
func (g *group) drop() {
	g.mu.Lock()
	held := g.held
	if g.dropped {
		held = 0
	}
	g.dropped = true
	g.mu.Unlock()
	g.track.charge(-held)
}

// outcome tells how far the group has come: frames that are here, whether more may
// come, and the error that cut it.
func (g *group) outcome() (frames int, done bool, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.ready(), g.done, g.err
}

// addTicks adds without wrapping around.
func addTicks(a, b uint64) uint64 {
	if a > math.MaxUint64-b {
		return math.MaxUint64
	}
	return a + b
}
