package main

import (
	"context"
	"fmt"
	"io"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// What every arm carries.
const (
	broadcastPath = "bench"
	trackName     = "frames"
	peerHop       = 77
	maxAge        = pubsub.DefaultMaxAge
)

// peer plays the other side of a session with quic-go alone, as little of it as is
// needed to send or receive one track, so that one half of ours can be measured.
type peer struct {
	conn *quic.Conn
	ctx  context.Context
}

// hello sends SETUP.
func (p *peer) hello() error {
	stream, err := p.conn.OpenUniStreamSync(p.ctx)
	if err != nil {
		return err
	}
	b := wire.AppendVarint(nil, uint64(wire.UniSetup))
	if _, err := stream.Write(wire.Setup{Hop: peerHop}.Append(b, version)); err != nil {
		return err
	}
	return stream.Close()
}

// subscribe asks the session for the track. Its replies are not read: they are few.
func (p *peer) subscribe() error {
	stream, err := p.conn.OpenStreamSync(p.ctx)
	if err != nil {
		return err
	}
	b := wire.AppendVarint(nil, uint64(wire.StreamSubscribe))
	m := wire.Subscribe{Broadcast: broadcastPath, Track: trackName}
	m.MaxAge, m.HasStart = maxAge, true
	_, err = stream.Write(m.Append(b, version))
	return err
}

// serve answers what a subscribing session asks, until the connection ends. The id of
// its subscription goes to subscribed.
func (p *peer) serve(subscribed chan<- uint64) error {
	for {
		stream, err := p.conn.AcceptStream(p.ctx)
		if err != nil {
			return err
		}
		if err := p.answer(stream, subscribed); err != nil {
			return err
		}
	}
}

func (p *peer) answer(stream *quic.Stream, subscribed chan<- uint64) error {
	r := wire.NewReader(stream)
	typ, err := r.Varint()
	if err != nil {
		return err
	}
	body, err := r.Message()
	if err != nil {
		return err
	}
	switch typ {
	case uint64(wire.StreamAnnounce):
		b := wire.AnnounceOK{Hop: peerHop, Active: 1}.Append(nil, version)
		_, err = stream.Write(wire.Announce{Suffix: broadcastPath}.Append(b, version))
		return err
	case uint64(wire.StreamTrack):
		b := wire.TrackInfo{Priority: 127, MaxAge: maxAge, Timescale: 1_000_000}.Append(nil, version)
		if _, err := stream.Write(b); err != nil {
			return err
		}
		_ = stream.Close() // fails if the session has read it all and said so
		return nil
	case uint64(wire.StreamSubscribe):
		m, err := wire.ParseSubscribe(body, version)
		if err != nil {
			return err
		}
		if _, err := stream.Write(wire.SubscribeReply{Kind: wire.ReplyStart}.Append(nil, version)); err != nil {
			return err
		}
		subscribed <- m.ID
		return nil
	default:
		return fmt.Errorf("stream of type %d: %w", typ, io.ErrUnexpectedEOF)
	}
}
