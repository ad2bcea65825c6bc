package pubsub

import (
	"io"

	"github.com/remoq/moq/moqerr"
)

// GroupProducer writes one group. Its methods may be called concurrently; none of them
// blocks. A group holds at most 8,192 frames and 32 MiB; a frame beyond that is refused
// with a *moqerr.StreamError and leaves the group as it was.
//
// After Close or Abort, and after the track failed, writes return [moqerr.ErrClosed].
// If the group became too old to be kept they return [moqerr.ErrTooOld].
type GroupProducer struct{ g *group }

// Sequence returns the group's number within its track.
func (p *GroupProducer) Sequence() uint64 { return p.g.sequence }

// WriteFrame appends a frame. The payload is copied, like in io.Writer.
func (p *GroupProducer) WriteFrame(f Frame) error {
	raw, err := f.raw(p.g.track.info.Timescale)
	if err != nil {
		return err
	}
	return p.g.write(raw, copied)
}

// WriteOwned appends a frame whose payload belongs to the library from here on: it is
// not copied, and must not be changed any more.
func (p *GroupProducer) WriteOwned(f Frame) error {
	raw, err := f.raw(p.g.track.info.Timescale)
	if err != nil {
		return err
	}
	return p.g.write(raw, len(raw.Payload))
}

// WriteRaw is WriteOwned with the time in ticks.
func (p *GroupProducer) WriteRaw(f RawFrame) error { return p.g.write(f, len(f.Payload)) }

// WritePart is WriteRaw of a payload that is a piece of a larger memory, as those are that
// are read from a stream. keeps is how many bytes it keeps from being freed that the group did
// not keep before: that counts against the budgets instead of its length.
func (p *GroupProducer) WritePart(f RawFrame, keeps int) error { return p.g.write(f, max(keeps, 0)) }

// Close ends the group: readers get io.EOF behind its last frame. It may be repeated.
func (p *GroupProducer) Close() error {
	p.g.end(nil)
	return nil
}

// Abort ends the group before its end. Readers get what was written, then a
// *moqerr.StreamError with code.
func (p *GroupProducer) Abort(code moqerr.StreamCode) { p.g.end(streamError(code)) }

// Fail is Abort with any error. A nil error stands for an internal one.
func (p *GroupProducer) Fail(err error) { p.g.end(failure(err)) }

// failure makes sure that a failed thing has an error that no reader takes for an end.
func failure(err error) error {
	if err == nil || err == io.EOF {
		return streamError(moqerr.StreamInternal)
	}
	return err
}
