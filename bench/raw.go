package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/remoq/moq/internal/wire"
)

// rawSender is arm R's publisher: quic-go and a buffer. It puts the same bytes on the
// same streams as a session does.
type rawSender struct {
	load
	conn      *quic.Conn
	subscribe uint64 // the id that the groups carry
	gather    int    // bytes to gather for one write; 0: a write for each frame

	ctx     context.Context // the arm's
	stream  *quic.SendStream
	buf     []byte
	payload []byte
	last    uint64 // ticks of the frame before
}

func (s *rawSender) begin(sequence uint64) error {
	var err error
	if s.stream, err = s.conn.OpenUniStreamSync(s.ctx); err != nil {
		return err
	}
	s.last = 0
	s.buf = wire.AppendVarint(s.buf[:0], uint64(wire.UniGroup))
	s.buf = wire.Group{Subscribe: s.subscribe, Sequence: sequence}.Append(s.buf, version)
	return nil
}

func (s *rawSender) frame(n uint64) error {
	number(s.payload, n)
	ticks := uint64(s.at(n).Microseconds())
	s.buf = wire.AppendFrameHeader(s.buf, int64(ticks-s.last), len(s.payload))
	s.last = ticks
	s.buf = append(s.buf, s.payload...)
	if len(s.buf) < s.gather {
		return nil
	}
	return s.flush()
}

func (s *rawSender) flush() error {
	_, err := s.stream.Write(s.buf)
	s.buf = s.buf[:0]
	return err
}

func (s *rawSender) end() error {
	if len(s.buf) > 0 {
		if err := s.flush(); err != nil {
			return err
		}
	}
	return s.stream.Close()
}

// rawReceiver is arm R's subscriber. Each stream is drained on a goroutine of its own,
// as every receiver of MoQ must: one that is not drained holds up the connection.
type rawReceiver struct {
	load
	conn *quic.Conn
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 64<<10) }}

func (r *rawReceiver) run(ctx context.Context, seen *tally) error {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		stream, err := r.conn.AcceptUniStream(ctx)
		if err != nil {
			return err
		}
		work.Go(func() {
			br := readers.Get().(*bufio.Reader)
			br.Reset(stream)
			if err := r.drain(br, seen); err != nil {
				seen.fail(err)
			}
			br.Reset(nil)
			readers.Put(br)
		})
	}
}

// drain reads one stream to its end. Streams that are no group are a session's own.
func (r *rawReceiver) drain(br *bufio.Reader, seen *tally) error {
	typ, err := quicvarint.Read(br)
	if err != nil {
		return err
	}
	if typ != uint64(wire.UniGroup) {
		_, err := br.WriteTo(io.Discard)
		return err
	}
	header, err := quicvarint.Read(br)
	if err != nil {
		return err
	}
	if _, err := br.Discard(int(header)); err != nil {
		return err
	}
	var first uint64
	for i := range r.frames {
		n, err := r.frame(br, first+uint64(i), i == 0)
		if err != nil {
			return err
		}
		if i == 0 {
			first = n
		}
		seen.frame()
	}
	if _, err := br.ReadByte(); err != io.EOF {
		return fmt.Errorf("behind the last frame: %w", err)
	}
	seen.group(first / uint64(r.frames))
	return nil
}

// frame reads one frame and returns its number, which must be want unless it is the
// first one of its group.
func (r *rawReceiver) frame(br *bufio.Reader, want uint64, first bool) (uint64, error) {
	if _, err := quicvarint.Read(br); err != nil { // the timestamp
		return 0, err
	}
	size, err := quicvarint.Read(br)
	if err != nil {
		return 0, err
	}
	if size != uint64(r.size) {
		return 0, fmt.Errorf("a frame has %d bytes instead of %d", size, r.size)
	}
	payload, err := br.Peek(r.size)
	if err != nil {
		return 0, err
	}
	if first {
		want = frameNumber(payload) / uint64(r.frames) * uint64(r.frames)
	}
	if err := r.check(payload, want); err != nil {
		return 0, err
	}
	_, err = br.Discard(r.size)
	return want, err
}
