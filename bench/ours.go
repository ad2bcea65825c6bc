package main

import (
	"context"
	"fmt"
	"io"

	"github.com/remoq/moq/pubsub"
)

// trackSender is our publisher: a track, written as a program writes it.
type trackSender struct {
	load
	track   *pubsub.TrackProducer
	group   *pubsub.GroupProducer
	payload []byte
	owned   []byte // with WriteOwned: what is left of the group's memory
	own     bool
}

func (s *trackSender) begin(sequence uint64) (err error) {
	if s.frames == 1 {
		return nil
	}
	if s.group, err = s.track.AppendGroup(); err != nil {
		return err
	}
	if got := s.group.Sequence(); got != sequence {
		return fmt.Errorf("group %d was made instead of %d", got, sequence)
	}
	if s.own {
		s.owned = make([]byte, s.frames*s.size)
	}
	return nil
}

func (s *trackSender) frame(n uint64) error {
	f := pubsub.Frame{Timestamp: s.at(n), Payload: s.payload}
	if s.own {
		f.Payload, s.owned = s.owned[:s.size:s.size], s.owned[s.size:]
	}
	number(f.Payload, n)
	switch {
	case s.frames == 1:
		return s.track.WriteFrame(f)
	case s.own:
		return s.group.WriteOwned(f)
	default:
		return s.group.WriteFrame(f)
	}
}

func (s *trackSender) end() error {
	if s.frames == 1 {
		return nil
	}
	return s.group.Close()
}

// trackReceiver is our subscriber: it reads the groups in order.
type trackReceiver struct {
	load
	track  *pubsub.TrackConsumer
	append bool   // AppendFrame instead of NextFrame
	buf    []byte // empty, with room for a payload
}

func (r *trackReceiver) run(ctx context.Context, seen *tally) error {
	for {
		group, err := r.track.NextGroup(ctx)
		if err != nil {
			return err
		}
		if gap := group.Gap(); gap != nil {
			return fmt.Errorf("groups %d to %d were lost", gap.First, gap.Last)
		}
		if err := r.drain(ctx, group, seen); err != nil {
			return fmt.Errorf("group %d: %w", group.Sequence(), err)
		}
		seen.group(group.Sequence())
	}
}

func (r *trackReceiver) drain(ctx context.Context, group *pubsub.GroupConsumer, seen *tally) error {
	n := group.Sequence() * uint64(r.frames)
	for i := 0; ; i++ {
		var f pubsub.Frame
		var err error
		if r.append {
			f, err = group.AppendFrame(ctx, r.buf)
		} else {
			f, err = group.NextFrame(ctx)
		}
		if err == io.EOF && i == r.frames {
			return nil
		}
		if err == io.EOF {
			return io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
		if err := r.check(f.Payload, n+uint64(i)); err != nil {
			return err
		}
		seen.frame()
	}
}
