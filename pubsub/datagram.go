package pubsub

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"

	"github.com/remoq/moq/moqerr"
)

const (
	// keptDatagrams is how many datagrams of a track wait for slow readers
	// (moq-lite.md §3.8).
	keptDatagrams = 64
	// MaxDatagram is the largest payload of a datagram that is made here.
	MaxDatagram = 1200
	// maxForeignDatagram is the largest that a peer may bring.
	maxForeignDatagram = 1<<16 - 1
)

// Datagram is a frame that was sent without any promise to arrive (moq-lite.md §4.10). Its
// payload is shared with other readers: it is read-only, and stays valid.
type Datagram struct {
	Sequence uint64
	Frame
	// Missed is how many datagrams came before this one and were dropped here, since the
	// reader was slow. What was lost on the way is not in it.
	Missed uint64
}

// RawDatagram is a Datagram with its time in ticks, for whoever forwards it.
type RawDatagram struct {
	Sequence uint64
	RawFrame
	Missed uint64
}

// datagrams is what a track keeps of its datagrams, guarded by track.mu.
type datagrams struct {
	ring  [keptDatagrams]RawDatagram
	count uint64 // how many came; the next one's place is count modulo the ring
	bytes int64  // of payload in the ring

	// What came lately: bit i of seen is sequence top-1-i. An older one is dropped, so that
	// none is delivered twice.
	top  uint64
	seen uint64
}

// admit notes a sequence, or says why its datagram is not to be delivered.
func (d *datagrams) admit(sequence uint64) error {
	if sequence >= d.top {
		d.seen = d.seen<<(sequence+1-d.top) | 1 // a shift by 64 or more leaves nothing
		d.top = sequence + 1
		return nil
	}
	back := d.top - 1 - sequence
	switch {
	case back >= 64:
		return moqerr.ErrTooOld
	case d.seen>>back&1 != 0:
		return moqerr.ErrDuplicate
	}
	d.seen |= 1 << back
	return nil
}

// keep puts a datagram into the ring, and returns by how much that grew.
func (d *datagrams) keep(sequence uint64, f RawFrame) (grown int64) {
	at := &d.ring[d.count%keptDatagrams]
	grown = int64(len(f.Payload) - len(at.Payload))
	*at = RawDatagram{Sequence: sequence, RawFrame: f}
	d.count++
	d.bytes += grown
	return grown
}

// WriteDatagram sends one frame as a datagram, without any promise to arrive, and returns
// its sequence: the one after the highest so far, which no group will have. The payload is
// copied; over 1,200 bytes it is refused with a *moqerr.StreamError (StreamFrameTooLarge).
// One that does not fit a packet of some path, together with a head of at most 24 bytes, is
// lost on that path. A reader that is slow finds the last 64.
func (p *TrackProducer) WriteDatagram(f Frame) (sequence uint64, err error) {
	raw, err := f.raw(p.t.info.Timescale)
	if err != nil {
		return 0, err
	}
	if len(raw.Payload) > MaxDatagram {
		return 0, streamError(moqerr.StreamFrameTooLarge)
	}
	raw.Payload = slices.Clone(raw.Payload)
	return p.t.addDatagram(nil, raw)
}

// PutDatagram takes in a datagram of a peer's, whose payload belongs to the library from
// here on. It fails with [moqerr.ErrDuplicate] if it is here already, as a datagram or as
// a group, with [moqerr.ErrTooOld] if it comes too late to tell, and with a
// *moqerr.StreamError (StreamEvicted) if its supplier's budget is used up.
func (p *TrackProducer) PutDatagram(sequence uint64, f RawFrame) error {
	if len(f.Payload) > maxForeignDatagram {
		return streamError(moqerr.StreamFrameTooLarge)
	}
	_, err := p.t.addDatagram(&sequence, f)
	return err
}

// addDatagram takes in a datagram with that sequence, or above all others if seq is nil.
func (t *track) addDatagram(seq *uint64, f RawFrame) (sequence uint64, err error) {
	if err := f.check(); err != nil {
		return 0, err
	}
	t.mu.Lock()
	sequence, err = t.placeDatagram(seq)
	if err != nil {
		t.mu.Unlock()
		return 0, err
	}
	t.charge(t.datagrams.keep(sequence, f))
	first := t.begins()
	t.next = max(t.next, sequence+1)
	t.carried.add(sequence, sequence)
	asleep := t.listeners.take()
	var waiting *sleepers
	if n := len(t.cache.groups); t.bounded || n > 0 && t.cache.groups[n-1].sequence > sequence {
		waiting = t.bell.take() // whoever waits for it as a missing group
	}
	t.mu.Unlock()
	t.listeners.ring(asleep)
	t.bell.ring(waiting)
	if first {
		t.home.wrote(t)
	}
	return sequence, nil
}

// placeDatagram numbers a new datagram and checks it. The caller holds mu.
func (t *track) placeDatagram(seq *uint64) (sequence uint64, err error) {
	if sequence = t.next; seq != nil {
		sequence = *seq
	}
	switch {
	case t.ended:
		return 0, moqerr.ErrClosed
	case sequence > maxSequence:
		return 0, &moqerr.ConfigError{Field: "sequence", Err: errors.New("over 2^62-2")}
	case t.cache.has(sequence):
		return 0, moqerr.ErrDuplicate
	case t.bounded && sequence >= t.final:
		return 0, streamError(moqerr.StreamMalformed)
	case t.feed != nil && t.feed.budget.spent():
		return 0, streamError(moqerr.StreamEvicted)
	}
	if t.datagrams == nil {
		t.datagrams = new(datagrams)
	}
	return sequence, t.datagrams.admit(sequence)
}

// datagrams returns the sequences that are known to have come as datagrams.
func (c *TrackConsumer) datagrams() spans {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return slices.Clone(c.t.carried)
}

// Datagrams iterates over the track's datagrams from now on, as they come. It may run
// beside a reading of groups, on another goroutine. It ends as reading groups does.
func (c *TrackConsumer) Datagrams(ctx context.Context) iter.Seq2[Datagram, error] {
	return func(yield func(Datagram, error) bool) {
		for {
			raw, err := c.NextDatagram(ctx)
			if err == io.EOF {
				return
			}
			var d Datagram
			if err == nil {
				at := toDuration(raw.Ticks, c.t.info.Timescale)
				d = Datagram{Sequence: raw.Sequence, Frame: Frame{Timestamp: at, Payload: raw.Payload}, Missed: raw.Missed}
			}
			if !yield(d, err) || err != nil {
				return
			}
		}
	}
}

// NextDatagram waits for the next datagram between Start and End, if these are given. One
// goroutine calls it at a time, and not beside Datagrams.
func (c *TrackConsumer) NextDatagram(ctx context.Context) (RawDatagram, error) {
	t := c.t
	for {
		t.mu.Lock()
		d, ok := c.takeDatagram()
		var err error
		switch {
		case c.closed:
			err = moqerr.ErrClosed
		case ok:
		case t.ended && t.err != nil:
			err = t.err
		case t.ended:
			err = io.EOF
		default:
			if err = ctx.Err(); err == nil {
				t.listeners.add(&c.listener)
			}
		}
		t.mu.Unlock()
		if err != nil {
			return RawDatagram{}, err
		}
		if ok {
			return d, nil
		}
		if c.listener.wait(ctx, nil) != nil {
			t.mu.Lock()
			t.listeners.remove(&c.listener)
			t.mu.Unlock()
		}
	}
}

// takeDatagram returns the next one that is here. The caller holds the track's lock.
func (c *TrackConsumer) takeDatagram() (RawDatagram, bool) {
	d := c.t.datagrams
	if d == nil {
		return RawDatagram{}, false
	}
	if behind := d.count - c.heard; behind > keptDatagrams {
		c.unheard += behind - keptDatagrams
		c.heard = d.count - keptDatagrams
	}
	for c.heard < d.count {
		out := d.ring[c.heard%keptDatagrams]
		c.heard++
		if c.opts.Start != nil && out.Sequence < c.low || c.opts.End != nil && out.Sequence > *c.opts.End {
			continue
		}
		out.Missed, c.unheard = c.unheard, 0
		return out, true
	}
	return RawDatagram{}, false
}
