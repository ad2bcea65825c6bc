package session

import (
	"context"
	"errors"
	"time"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
)

// probeSize is the size of a liveness probe. QUIC counts a datagram of any size as
// something to acknowledge, but a small one shares its packet with others.
const probeSize = 200

// probe is a datagram of a subscription that nobody has: the peer drops it, and its
// transport acknowledges it. QUIC libraries offer no PING to ask for.
var probe = append(wire.AppendVarint(nil, wire.MaxVarint), make([]byte, probeSize)...)

// unknownStream is the type of a stream that every peer resets (§3.4).
const unknownStream = 0x3ffe

// Watch begins to judge the silence of the peer's, until the session's end. keepAlive is
// the longest silence of an idle session, wall the clock on the wall. It is called once,
// and only on a session that was dialed.
func (s *Session) Watch(keepAlive time.Duration, wall func() time.Time) *transport.Pulse {
	return s.conn.(transport.Watched).Watch(transport.PulseConfig{Probe: s.sendProbe, KeepAlive: keepAlive, Wall: wall})
}

// sendProbe sends what the peer must answer, and does not wait for it.
func (s *Session) sendProbe() {
	if err := s.conn.SendDatagram(probe); errors.Is(err, transport.ErrNoDatagrams) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.over {
			s.work.Go(s.probeByStream)
		}
	}
}

// probeByStream is for peers without datagrams: their reset is the answer.
func (s *Session) probeByStream() {
	ctx, cancel := context.WithTimeout(s.ctx, probePatience)
	defer cancel()
	stream, err := s.conn.OpenStream(ctx)
	if err != nil {
		return
	}
	defer s.refuse(stream, &moqerr.StreamError{Code: moqerr.StreamCancelled})
	defer context.AfterFunc(ctx, func() { s.refuse(stream, context.Canceled) })()
	if _, err := stream.Write(wire.AppendVarint(nil, unknownStream)); err == nil {
		awaitEnd(stream)
	}
}

// probePatience bounds how long a probe holds its stream.
const probePatience = 5 * time.Second
