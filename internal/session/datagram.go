package session

import (
	"context"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// receiveDatagrams drains the peer's datagrams (§4.10) until the connection ends.
func (s *Session) receiveDatagrams() {
	for {
		b, err := s.conn.ReceiveDatagram(s.ctx)
		if err != nil {
			return // whoever reads streams says why
		}
		s.takeDatagram(b)
	}
}

// takeDatagram puts one datagram into the track that it is for. One that is malformed, that
// nobody asked for, or that comes before TRACK_INFO, is lost, as datagrams may be: peers
// also send such ones to see whether we are alive.
func (s *Session) takeDatagram(b []byte) {
	m, err := wire.ParseDatagram(b)
	if err != nil {
		return
	}
	sub := s.subscription(m.Subscribe)
	if sub == nil {
		return
	}
	select {
	case <-sub.ready:
	default:
		return
	}
	if err := sub.producer.PutDatagram(m.Sequence, pubsub.RawFrame{Ticks: m.Ticks, Payload: m.Payload}); err != nil {
		s.log.Debug("datagram left out", "sequence", m.Sequence, "err", err)
	}
}

// sendDatagrams forwards the track's datagrams. It is no part of publish: a group that waits
// for stream credit must not hold them up.
func (p *publication) sendDatagrams(ctx context.Context) {
	var b []byte
	for {
		d, err := p.track.NextDatagram(ctx)
		if err != nil {
			return
		}
		m := wire.Datagram{Subscribe: p.id, Sequence: d.Sequence, Ticks: d.Ticks, Payload: d.Payload}
		b = m.Append(b[:0], p.s.cfg.Version)
		if p.s.conn.SendDatagram(b) != nil {
			return // the peer takes none, or the connection is dead
		}
	}
}
