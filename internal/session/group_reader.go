package session

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// earlyPatience bounds how long a group waits for its track's TRACK_INFO.
const earlyPatience = 5 * time.Second

var errFrameStart = errors.New("not asked for")

// readGroup drains one group stream into its track (§4.9). Whatever is wrong with it
// is this group's affair alone, except for a header that is no message.
func (s *Session) readGroup(stream transport.ReceiveStream, r *wire.Reader) {
	err := s.fillGroup(r)
	if err == nil {
		return
	}
	stream.Stop(groupCode(err))
	if !errors.Is(err, context.Canceled) && s.ctx.Err() == nil {
		s.log.Debug("group ended early", "err", err)
	}
}

func (s *Session) fillGroup(r *wire.Reader) error {
	body, err := r.Message()
	if err != nil {
		return s.check(truncated(err))
	}
	header, err := wire.ParseGroup(body, s.cfg.Version)
	if err != nil {
		return s.check(err)
	}
	sub := s.subscription(header.Subscribe)
	if sub == nil {
		return &moqerr.StreamError{Code: moqerr.StreamCancelled}
	}
	if header.FrameStart != 0 && !sub.askedFor(header.Sequence, header.FrameStart) {
		return &wire.Error{Message: "GROUP", Field: "frame start", Err: errFrameStart}
	}
	if err := sub.awaitTrack(); err != nil {
		return err
	}
	group, err := sub.producer.CreateTail(header.Sequence, int(header.FrameStart))
	if err != nil {
		return err
	}
	sub.begin(header.Sequence)
	err = (&frames{r: r}).copyTo(group)
	if err == io.EOF {
		return group.Close()
	}
	if malformed(err) || errors.Is(err, wire.ErrNoMemory) {
		err = &moqerr.StreamError{Code: groupCode(err)}
	}
	group.Fail(s.settle(err))
	return err
}

// frames turns the deltas of one stream into ticks.
type frames struct {
	r     *wire.Reader
	ticks uint64
	kept  int // of the reader's memory, as the group knows it
}

func (f *frames) next() (pubsub.RawFrame, error) {
	delta, payload, err := f.r.Frame()
	if err != nil {
		return pubsub.RawFrame{}, err
	}
	ticks, ok := wire.AddTicks(f.ticks, delta)
	if !ok {
		return pubsub.RawFrame{}, &moqerr.StreamError{Code: moqerr.StreamTimestamp}
	}
	f.ticks = ticks
	return pubsub.RawFrame{Ticks: f.ticks, Payload: payload}, nil
}

// copyTo writes every frame to group; io.EOF when the group is complete.
func (f *frames) copyTo(group *pubsub.GroupProducer) error {
	for {
		frame, err := f.next()
		if err != nil {
			return err
		}
		if err := f.write(group, frame); err != nil {
			return err
		}
	}
}

// write appends a frame to group, which counts what it keeps of the reader's memory.
func (f *frames) write(group *pubsub.GroupProducer, frame pubsub.RawFrame) error {
	more := f.r.Kept() - f.kept
	f.kept += more
	return group.WritePart(frame, more)
}

// awaitTrack waits until TRACK_INFO was read, which was asked for before the group.
// The stream is not drained meanwhile, so the wait is bounded: a peer that withholds
// the one cannot hold up the connection with the other for long.
func (sub *subscription) awaitTrack() error {
	select {
	case <-sub.ready:
		return nil
	default:
	}
	patience := time.NewTimer(earlyPatience)
	defer patience.Stop()
	select {
	case <-sub.ready:
		return nil
	case <-sub.ended:
		return &moqerr.StreamError{Code: moqerr.StreamCancelled}
	case <-patience.C:
		return &moqerr.StreamError{Code: moqerr.StreamControlTimeout}
	}
}

// groupCode is what the sender of a group is told when we stop reading it.
func groupCode(err error) moqerr.StreamCode {
	switch {
	case errors.Is(err, wire.ErrTooLarge):
		return moqerr.StreamFrameTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF):
		return moqerr.StreamWrongSize
	case malformed(err):
		return moqerr.StreamMalformed
	default:
		return streamCode(err)
	}
}
