package pubsub

import (
	"fmt"
	"slices"
	"time"

	"github.com/remoq/moq/moqerr"
)

// TrackProducer writes one track. Its methods may be called concurrently and none of
// them blocks. After Close or Abort groups cannot be made any more ([moqerr.ErrClosed]).
//
// The sequences of a track never go back within the life of its origin, also when the
// track or its broadcast is closed and made again.
type TrackProducer struct{ t *track }

// Name returns the track's name.
func (p *TrackProducer) Name() string { return p.t.name }

// Info returns the track's properties, with defaults filled in.
func (p *TrackProducer) Info() TrackInfo { return p.t.info }

// AppendGroup begins the group after the highest one so far. It does not close its
// predecessor.
func (p *TrackProducer) AppendGroup() (*GroupProducer, error) { return p.group(nil) }

// CreateGroup begins the group with that sequence, in any order. It fails with
// [moqerr.ErrDuplicate] if the group exists, and with [moqerr.ErrTooOld] if it lies below
// what the cache still keeps or where the track began.
func (p *TrackProducer) CreateGroup(sequence uint64) (*GroupProducer, error) {
	return p.group(&sequence)
}

func (p *TrackProducer) group(seq *uint64) (*GroupProducer, error) {
	g := newGroup(p.t)
	if err := p.t.add(g, seq); err != nil {
		return nil, err
	}
	return &GroupProducer{g}, nil
}

// WriteFrame writes a group of one frame. The payload is copied.
func (p *TrackProducer) WriteFrame(f Frame) error {
	raw, err := f.raw(p.t.info.Timescale)
	if err != nil {
		return err
	}
	if err := raw.check(); err != nil {
		return err
	}
	raw.Payload = slices.Clone(raw.Payload)
	g := newGroup(p.t)
	if _, err := g.put(raw, len(raw.Payload)); err != nil {
		return err
	}
	g.done = true
	return p.t.add(g, nil)
}

// WriteNow is WriteFrame stamped with the time since the track was made.
func (p *TrackProducer) WriteNow(payload []byte) error {
	return p.WriteFrame(Frame{Timestamp: time.Since(p.t.made), Payload: payload})
}

// Demand returns what the readers want at present.
func (p *TrackProducer) Demand() Demand {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	return p.t.demand.get()
}

// Close ends the track: readers get io.EOF behind its last group. Groups that are open may
// still be written; who reads through a session hears of the end when they are over. It may be
// repeated and returns nil.
func (p *TrackProducer) Close() error {
	p.t.finish(nil)
	return nil
}

// Abort ends the track before its end and cuts its open groups. Readers get what is
// there, then a *moqerr.StreamError with code.
func (p *TrackProducer) Abort(code moqerr.StreamCode) { p.t.finish(streamError(code)) }

// Fail is Abort with any error. A nil error stands for an internal one.
func (p *TrackProducer) Fail(err error) { p.t.finish(failure(err)) }

// Release ends and forgets the track if nobody reads it, and reports whether it did. It
// is for tracks that are fed from a peer: a reader that comes later makes a new
// [Request]. It cannot race with a reader that comes at the same time.
func (p *TrackProducer) Release() bool { return p.t.release() }

// StartAt says that nothing below sequence, at most 2^62-1, will come (SUBSCRIBE_START,
// moq-lite.md §4.5).
func (p *TrackProducer) StartAt(sequence uint64) {
	t := p.t
	t.mu.Lock()
	t.begin, t.started = min(sequence, maxVarint), true
	asleep := t.bell.take()
	t.mu.Unlock()
	t.bell.ring(asleep)
}

// EndAt tells the first sequence that will never exist (SUBSCRIBE_END, moq-lite.md §4.5).
// Readers get io.EOF when they have all groups below it, or those are known never to
// come. It fails with a *moqerr.StreamError (StreamMalformed) if such a group is already
// here, if another end was given before, or if it is over 2^62-1.
func (p *TrackProducer) EndAt(sequence uint64) error {
	t := p.t
	t.mu.Lock()
	if sequence > maxVarint || t.bounded && t.final != sequence || !t.bounded && t.used && sequence < t.next {
		t.mu.Unlock()
		return fmt.Errorf("moq: track cannot end at %d: %w", sequence, streamError(moqerr.StreamMalformed))
	}
	t.bounded, t.final = true, sequence
	asleep := t.bell.take()
	t.mu.Unlock()
	t.bell.ring(asleep)
	return nil
}

// Drop says that the groups from first to last, both included, will never come
// (SUBSCRIBE_DROP, moq-lite.md §4.5). Groups of the range that are here already stay.
func (p *TrackProducer) Drop(first, last uint64) {
	t := p.t
	t.mu.Lock()
	last = min(last, maxVarint)
	t.never.add(first, last)
	if t.dropped++; len(t.drops) == maxDrops {
		t.drops = slices.Delete(t.drops, 0, 1)
	}
	t.drops = append(t.drops, span{first, last})
	asleep := t.bell.take()
	t.mu.Unlock()
	t.bell.ring(asleep)
}
