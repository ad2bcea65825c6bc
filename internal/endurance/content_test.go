package endurance

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remoq/moq/pubsub"
)

// script says what a track consists of: how many frames each group has, and what is in
// each. Writer and readers know it, and nothing else of each other.
type script struct {
	track string
	last  uint64 // the last group
	rest  int    // the frames of it
	salt  uint64

	each, bytes int // frames a group and bytes a frame, if they are all the same; 0: random
}

// newScript makes a track of so many frames.
func newScript(track string, frames int, salt uint64) *script {
	s := &script{track: track, last: 1<<64 - 1, salt: salt}
	for g := uint64(0); ; g++ {
		n := s.frames(g)
		if frames <= n {
			s.last, s.rest = g, frames
			return s
		}
		frames -= n
	}
}

// frames returns how many frames a group has.
func (s *script) frames(group uint64) int {
	switch n := int(mix(s.salt, group) % 100); {
	case group > s.last:
		return 0
	case group == s.last:
		return s.rest
	case s.each > 0:
		return s.each
	case n == 0:
		return 400
	default:
		return n
	}
}

// size returns how many bytes a frame has, which is at least what number and hash take.
func (s *script) size(group uint64, frame int) int {
	if s.bytes > 0 {
		return s.bytes
	}
	n := mix(s.salt+1, group<<16+uint64(frame))
	if n%200 == 0 {
		return 2000 + int(n>>32)%10_000
	}
	return 24 + int(n>>32)%150
}

// noise is what frames are filled with.
var noise = func() []byte {
	b := make([]byte, 64<<10)
	random := rand.New(rand.NewPCG(1, 2))
	for i := 0; i < len(b); i += 8 {
		binary.BigEndian.PutUint64(b[i:], random.Uint64())
	}
	return b
}()

var seed = maphash.MakeSeed()

// sum is the hash of a frame's payload, the hash itself left out, as it is in that track.
func (s *script) sum(b []byte) uint64 {
	return maphash.Bytes(seed, b) ^ s.salt
}

// payload appends what a frame holds: its group, its index, noise, and the hash of these.
func (s *script) payload(dst []byte, group uint64, frame int) []byte {
	size := s.size(group, frame) - 8
	dst = binary.BigEndian.AppendUint64(dst, group)
	dst = binary.BigEndian.AppendUint64(dst, uint64(frame))
	from := int(mix(group, uint64(frame)) % (32 << 10))
	dst = append(dst, noise[from:from+size-16]...)
	return binary.BigEndian.AppendUint64(dst, s.sum(dst))
}

// check compares a payload with what that frame should hold.
func (s *script) check(b []byte, group uint64, frame int) error {
	if len(b) < 24 {
		return fmt.Errorf("%d bytes", len(b))
	}
	body, hash := b[:len(b)-8], binary.BigEndian.Uint64(b[len(b)-8:])
	g, f := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	switch {
	case s.sum(body) != hash:
		return fmt.Errorf("corrupt, numbered group %d frame %d", g, f)
	case g != group || f != uint64(frame):
		return fmt.Errorf("is group %d frame %d", g, f)
	case len(b) != s.size(group, frame):
		return fmt.Errorf("%d bytes, not %d", len(b), s.size(group, frame))
	}
	return nil
}

func mix(a, b uint64) uint64 {
	x := (a*0x9e3779b97f4a7c15 ^ b) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>29) * 0x94d049bb133111eb
	return x ^ x>>32
}

// calendar tells when the newest groups of a track began, in presentation time.
type calendar struct {
	mu     sync.Mutex
	starts [1 << 13]time.Duration
	groups uint64        // that have begun
	newest time.Duration // frame
}

func (c *calendar) note(group uint64, first bool, at time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first {
		c.starts[group%uint64(len(c.starts))] = at
		c.groups = group + 1
	}
	c.newest = at
}

// age returns how old a group is at a time: how long before it its successor begins. The
// latest one has no age.
func (c *calendar) age(group uint64, now time.Duration) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if group+1 >= c.groups {
		return 0
	}
	if c.groups-group >= uint64(len(c.starts)) {
		return 1<<63 - 1
	}
	return now - c.starts[(group+1)%uint64(len(c.starts))]
}

// latest returns the presentation time of the newest frame.
func (c *calendar) latest() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.newest
}

// writer performs a script.
type writer struct {
	*script
	calendar
	track *pubsub.TrackProducer
	begun time.Time
	wrote atomic.Int64 // frames

	next  uint64                // group
	group *pubsub.GroupProducer // that is being written; nil: none
	frame int                   // the next of it
	open  *pubsub.GroupProducer // the one before, of which only the end is missing; nil: none
	buf   []byte
}

// write writes the next frame. A group in four stays open until the next one ends.
func (w *writer) write() error {
	if w.group == nil {
		g, err := w.track.AppendGroup()
		if err != nil {
			return err
		}
		w.group, w.frame, w.next = g, 0, g.Sequence()+1
	}
	seq, now := w.group.Sequence(), time.Since(w.begun)
	w.note(seq, w.frame == 0, now)
	w.buf = w.payload(w.buf[:0], seq, w.frame)
	if err := w.group.WriteFrame(pubsub.Frame{Timestamp: now, Payload: w.buf}); err != nil {
		return fmt.Errorf("group %d frame %d: %w", seq, w.frame, err)
	}
	w.wrote.Add(1)
	if w.frame++; w.frame < w.frames(seq) {
		return nil
	}
	w.tidy()
	if mix(w.salt+2, seq)%4 == 0 && seq < w.last {
		w.open = w.group
	} else if err := w.group.Close(); err != nil {
		return err
	}
	w.group = nil
	return nil
}

// ended reports whether all is written.
func (w *writer) ended() bool { return w.group == nil && w.next > w.last }

// tidy ends the group before the one at hand.
func (w *writer) tidy() {
	if w.open != nil {
		_ = w.open.Close() // it may have been evicted
		w.open = nil
	}
}

// finish writes what is left of the groups at hand.
func (w *writer) finish() error {
	for w.group != nil {
		if err := w.write(); err != nil {
			return err
		}
	}
	w.tidy()
	return nil
}

// finishTrack writes what is left of the track.
func (w *writer) finishTrack() error {
	for !w.ended() {
		if err := w.write(); err != nil {
			return err
		}
	}
	w.tidy()
	return w.track.Close()
}
