package session

import (
	"context"
	"time"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
)

// drainTime bounds how long Close lets finished groups leave.
const drainTime = time.Second

// Close ends the session in good order: what was written and finished still reaches
// the peer, for at most a second and as far as the path allows, then the session is
// closed with code 0. It waits for everything that the session started. Err is nil
// afterwards. Closing again, or after the end, only waits.
func (s *Session) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	idle := s.publishing == 0
	s.mu.Unlock()
	if first {
		if idle {
			close(s.published)
		}
		ctx, cancel := context.WithTimeout(s.ctx, drainTime)
		s.flush(ctx)
		cancel()
		s.fail(moqerr.ErrClosed)
	}
	<-s.done
	return nil
}

// flush stops waiting for new frames, waits until the writers have written what is
// there, and then until the peer must have it.
func (s *Session) flush(ctx context.Context) {
	s.drain()
	select {
	case <-s.published:
	case <-ctx.Done():
		return
	}
	// A lost packet is known to be lost a little more than a round trip after it was
	// sent: only two rounds without a loss tell that everything has arrived.
	for clean := 0; clean < 2; clean++ {
		lost := s.conn.Stats().PacketsLost
		if !s.barrier(ctx) {
			return
		}
		if s.conn.Stats().PacketsLost != lost {
			clean = -1
		}
	}
}

// barrier asks for a track that cannot exist, behind everything else that is to be
// sent: the refusal tells that the peer has read so far. QUIC itself does not tell
// what was acknowledged.
func (s *Session) barrier(ctx context.Context) bool {
	stream, err := s.conn.OpenStream(ctx)
	if err != nil {
		return false
	}
	defer s.refuse(stream, context.Canceled)
	defer context.AfterFunc(ctx, func() { s.refuse(stream, context.Canceled) })()
	stream.SetPriority(urgencyLast, false)
	b := wire.AppendVarint(nil, uint64(wire.StreamTrack))
	if _, err := stream.Write(wire.Track{}.Append(b, s.cfg.Version)); err != nil {
		return false
	}
	awaitEnd(stream) // a reset, whatever its code
	return ctx.Err() == nil
}
