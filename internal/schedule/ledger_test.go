package schedule_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// books are what was published: the times of the frames of each group, under each identity of the
// publisher.
type books struct {
	seed uint64

	mu        sync.Mutex
	life      int // which publisher it is
	published map[int]map[uint64][]time.Duration
	healed    time.Time // zero: not yet
	last      position
}

// position is a frame.
type position struct {
	life  int
	group uint64
	index int
}

func (p position) String() string { return fmt.Sprintf("%d/%d/%d", p.life, p.group, p.index) }

func newBooks(seed uint64) *books {
	return &books{seed: seed, published: map[int]map[uint64][]time.Duration{}}
}

// begin notes that there is another publisher.
func (b *books) begin() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.life++
	b.published[b.life] = map[uint64][]time.Duration{}
}

// write notes a frame, which is about to be published, and returns its payload.
func (b *books) write(group uint64, at time.Duration) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	groups := b.published[b.life]
	b.last = position{b.life, group, len(groups[group])}
	groups[group] = append(groups[group], at)
	return b.payload(b.last)
}

// newest returns the frame that was published last.
func (b *books) newest() position {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.last
}

// payload is what a frame holds: its position, noise that belongs to it, and a sum. Most are
// small, one in ten takes several packets.
func (b *books) payload(p position) []byte {
	noise := rand.New(rand.NewPCG(b.seed, uint64(p.life)<<48^p.group<<16^uint64(p.index)))
	size := 50 + noise.IntN(150)
	if noise.IntN(10) == 0 {
		size = 3000
	}
	data := make([]byte, 24, size+8)
	binary.BigEndian.PutUint64(data, uint64(p.life))
	binary.BigEndian.PutUint64(data[8:], p.group)
	binary.BigEndian.PutUint64(data[16:], uint64(p.index))
	for len(data) < size {
		data = append(data, byte(noise.Uint32()))
	}
	sum := fnv.New64a()
	_, _ = sum.Write(data)
	return sum.Sum(data)
}

// account is what one Follower delivered. It may be written from several goroutines.
type account struct {
	books    *books
	lossless bool // nothing may be lost
	caught   chan struct{}
	skip     func(position) bool // frames that are to be overlooked; nil: none

	mu      sync.Mutex
	series  []*series // of groups; another one begins with each restart
	frames  int
	gaps    int
	wrong   []string
	seenNew bool
}

// series is what came under one numbering.
type series struct {
	life   int // 0: not known yet
	first  uint64
	top    uint64 // above the group that was delivered last
	pages  map[uint64]*page
	gaps   []pubsub.Gap
	broken *pubsub.Gap // where it ends, if another one follows
}

// page is what came of a group.
type page struct {
	sequence uint64
	frames   int
	over     bool
	lost     *moqerr.GapError
}

// String tells how far it is, of how much.
func (a *account) String() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.books.mu.Lock()
	defer a.books.mu.Unlock()
	last := position{}
	if n := len(a.series); n > 0 {
		s := a.series[n-1]
		if p := s.pages[s.top-1]; p != nil {
			last = position{s.life, p.sequence, p.frames}
		}
	}
	return fmt.Sprintf("at %v of %v", last, a.books.last)
}

func (a *account) blame(format string, args ...any) {
	if len(a.wrong) < 10 {
		a.wrong = append(a.wrong, fmt.Sprintf(format, args...))
	}
}

// group takes in a group that was delivered, and what was said of those before it.
func (a *account) group(sequence uint64, gaps []pubsub.Gap) (*series, *page) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, gap := range gaps {
		a.gaps++
		switch {
		case len(a.series) == 0: // it had begun, and was too slow
			s := newSeries(gap.First)
			s.gaps = []pubsub.Gap{gap}
			a.series = append(a.series, s)
		case gap.Restarted:
			a.series[len(a.series)-1].broken = &gap
			a.series = append(a.series, newSeries(sequence))
		default:
			s := a.series[len(a.series)-1]
			s.gaps = append(s.gaps, gap)
		}
	}
	if len(a.series) == 0 {
		a.series = append(a.series, newSeries(sequence))
	}
	s := a.series[len(a.series)-1]
	if sequence < s.top {
		a.blame("group %d came after group %d", sequence, s.top-1)
	}
	if s.pages[sequence] != nil {
		a.blame("group %d came twice", sequence)
	}
	s.top = max(s.top, sequence+1)
	p := &page{sequence: sequence}
	s.pages[sequence] = p
	return s, p
}

func newSeries(first uint64) *series { return &series{first: first, pages: map[uint64]*page{}} }

// frame takes in the next frame of a group.
func (a *account) frame(s *series, p *page, f pubsub.Frame) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.frames++
	if len(f.Payload) < 24 {
		a.blame("a frame of %d bytes", len(f.Payload))
		return
	}
	said := position{int(binary.BigEndian.Uint64(f.Payload)), binary.BigEndian.Uint64(f.Payload[8:]), int(binary.BigEndian.Uint64(f.Payload[16:]))}
	if s.life == 0 {
		s.life = said.life
	}
	if a.skip != nil && a.skip(said) {
		return
	}
	want := position{s.life, p.sequence, p.frames}
	p.frames++
	switch at, ok := a.books.at(want); {
	case said != want:
		a.blame("frame %v instead of %v", said, want)
	case !ok:
		a.blame("frame %v was never published", want)
	case !bytes.Equal(f.Payload, a.books.payload(want)):
		a.blame("frame %v is broken", want)
	case f.Timestamp != at:
		a.blame("frame %v is of %v instead of %v", want, f.Timestamp, at)
	case a.books.isNew(at) && !a.seenNew && a.caught != nil:
		a.seenNew = true
		a.caught <- struct{}{}
	}
}

// end takes in the end of a group: nil for a proper one.
func (a *account) end(p *page, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.over = true
	var lost *moqerr.GapError
	switch {
	case err == nil:
	case errors.As(err, &lost):
		p.lost = lost
		if lost.First != p.sequence || lost.Last != p.sequence || lost.FirstFrame != p.frames {
			a.blame("group %d ended behind %d frames, and says %v", p.sequence, p.frames, lost)
		}
	default:
		a.blame("group %d ended with %v", p.sequence, err)
	}
}

// at returns the time of a frame, and whether it was published.
func (b *books) at(p position) (time.Duration, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	frames := b.published[p.life][p.group]
	if p.index >= len(frames) {
		return 0, false
	}
	return frames[p.index], true
}

// epoch is where the time of all tracks begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// isNew reports whether something was published after healing.
func (b *books) isNew(at time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.healed.IsZero() && at > b.healed.Sub(epoch)
}

// heal begins the time after healing.
func (b *books) heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.healed = time.Now()
}

// audit compares what came, and what was named as lost, with what was published. ended says
// that the reader has seen the track's end, so that everything must be there; otherwise
// only what lies below the first group that it was reading.
func (a *account) audit(ended bool) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.books.mu.Lock()
	defer a.books.mu.Unlock()
	for i, s := range a.series {
		last := i == len(a.series)-1
		if s.life == 0 {
			continue // nothing came of it
		}
		groups := a.books.published[s.life]
		end := uint64(len(groups))
		if last && !ended {
			end = s.top
			for _, p := range s.pages {
				if !p.over {
					end = min(end, p.sequence)
				}
			}
		}
		for sequence := s.first; sequence < end; sequence++ {
			a.check(s, sequence, len(groups[sequence]))
		}
		if last && ended && s.life != a.books.life {
			a.blame("the last publisher was number %d, of which nothing came", a.books.life)
		}
	}
	return a.wrong
}

// check compares what came of a group, and what was named, with how much there was.
func (a *account) check(s *series, sequence uint64, frames int) {
	came := 0
	p := s.pages[sequence]
	if p != nil {
		came = p.frames
	}
	named, from := 0, 0
	for _, gap := range s.gaps {
		if gap.First <= sequence && sequence <= gap.Last {
			named++
			from = 0
			if gap.First == sequence {
				from = gap.FirstFrame
			}
		}
	}
	broken := s.broken != nil && (sequence > s.broken.First || sequence == s.broken.First && came >= s.broken.FirstFrame)
	if a.lossless && came != frames {
		a.blame("group %d of publisher %d is lost from frame %d on, although it was kept: %v", sequence, s.life, came, s.gaps)
	}
	switch {
	case named > 1:
		a.blame("group %d of publisher %d is in %d gaps: %v", sequence, s.life, named, s.gaps)
	case named == 1 && from != came:
		a.blame("group %d of publisher %d: %d of %d frames came, and a gap begins at %d", sequence, s.life, came, frames, from)
	case named == 1 || p != nil && p.lost != nil || broken:
	case came != frames:
		a.blame("group %d of publisher %d: %d of %d frames came, and no gap says so", sequence, s.life, came, frames)
	}
}
