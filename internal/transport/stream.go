package transport

import (
	"context"
	"errors"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/moqerr"
)

// firstWrite is how much of a stream's first bytes is gathered with its header: what
// quic-go takes in one frame without waiting, and less than a packet.
const firstWrite = 1200

// oneFrame is the most that quic-go takes at once on a fresh stream.
const oneFrame = 1452

// quicSender and quicReceiver are the halves of *quic.Stream, and the
// unidirectional streams of quic-go.
type quicSender interface {
	WriteWithLimit(p []byte, limiter func(maxBytes int) int) (int, error)
	TryWriteAll(p []byte) error
	Close() error
	CancelWrite(code quic.StreamErrorCode)
	SetPriority(urgency int8, incremental bool)
	SetReliableBoundary()
	Context() context.Context
}

type quicReceiver interface {
	Read(p []byte) (int, error)
	CancelRead(code quic.StreamErrorCode)
	SetReadDeadline(t time.Time) error
}

type sendStream struct {
	link   *link
	quic   quicSender
	header []byte // not written yet; only Write and Close touch it
}

type receiveStream struct {
	link *link
	quic quicReceiver
}

type stream struct {
	sendStream
	receiveStream
}

var _ Stream = (*stream)(nil)

func (l *link) newStream(str *quic.Stream, header []byte) *stream {
	return &stream{
		sendStream{link: l, quic: str, header: header},
		receiveStream{link: l, quic: str},
	}
}

func (s *sendStream) Write(p []byte) (int, error) { return s.write(p, nil) }

func (s *sendStream) WriteThrough(p []byte) (int, error) { return s.write(p, unlimited) }

// unlimited limits nothing: of a write with a limit quic-go keeps no end to itself.
func unlimited(n int) int { return n }

func (s *sendStream) write(p []byte, limiter func(int) int) (int, error) {
	if len(s.header) > 0 {
		return s.writeFirst(p, limiter)
	}
	n, err := s.quic.WriteWithLimit(p, limiter)
	if err != nil {
		err = s.link.streamError(err)
	}
	return n, err
}

// writeFirst puts the header and the first bytes into one Write, so that they share a
// packet and a small message does not wait for the network.
func (s *sendStream) writeFirst(p []byte, limiter func(int) int) (int, error) {
	with := len(p)
	if len(s.header)+with > oneFrame {
		with = firstWrite
	}
	b := make([]byte, 0, len(s.header)+with)
	b = append(b, s.header...)
	b = append(b, p[:with]...)
	s.header = nil
	n, err := s.quic.WriteWithLimit(b, limiter)
	if err != nil {
		return max(0, n-(len(b)-with)), s.link.streamError(err)
	}
	// A reset delivers up to here if the peer knows how: without the header it could
	// not tell what was reset.
	s.quic.SetReliableBoundary()
	if with == len(p) {
		return with, nil
	}
	n, err = s.write(p[with:], limiter)
	return with + n, err
}

func (s *sendStream) TryWrite(p []byte) (bool, error) {
	first := len(s.header) > 0
	if first {
		b := make([]byte, 0, len(s.header)+len(p))
		p = append(append(b, s.header...), p...)
	}
	err := s.quic.TryWriteAll(p)
	if errors.Is(err, quic.ErrWouldBlock) {
		return false, nil
	}
	if err != nil {
		return false, s.link.streamError(err)
	}
	if first {
		s.header = nil
		s.quic.SetReliableBoundary()
	}
	return true, nil
}

func (s *sendStream) Close() error {
	if len(s.header) > 0 {
		if _, err := s.writeFirst(nil, nil); err != nil {
			return err
		}
	}
	if err := s.quic.Close(); err != nil {
		// quic-go's text says only that the stream was cancelled: its context knows more.
		return s.link.streamError(context.Cause(s.quic.Context()))
	}
	return nil
}

func (s *sendStream) Reset(code moqerr.StreamCode) {
	s.quic.CancelWrite(quic.StreamErrorCode(MapStreamCode(code)))
}

func (s *sendStream) SetPriority(urgency int8, incremental bool) {
	s.quic.SetPriority(min(max(urgency, 0), 7), incremental)
}

func (s *sendStream) Context() context.Context { return s.quic.Context() }

func (s *receiveStream) Read(p []byte) (int, error) {
	n, err := s.quic.Read(p)
	if err != nil {
		err = s.link.streamError(err)
	}
	return n, err
}

func (s *receiveStream) Stop(code moqerr.StreamCode) {
	s.quic.CancelRead(quic.StreamErrorCode(MapStreamCode(code)))
	// quic-go wakes no read that waits for what the peer delivers in spite of its reset, and
	// forgets the stream, so that the end of the connection does not reach it either.
	_ = s.quic.SetReadDeadline(time.Now())
}

func (s *receiveStream) SetReadDeadline(t time.Time) error { return s.quic.SetReadDeadline(t) }
