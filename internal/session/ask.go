package session

import (
	"context"
	"time"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// trackPatience bounds how long the peer may take to answer TRACK for a fetch. What is
// subscribed to has the patience of its request.
const trackPatience = 30 * time.Second

// ask opens a request with its first message, before ctx ends. The caller ends the request.
func (s *Session) ask(ctx context.Context, typ wire.StreamType, body func([]byte, wire.Version) []byte) (transport.Stream, error) {
	stream, err := s.conn.OpenStream(ctx)
	if err != nil {
		return nil, err
	}
	stream.SetPriority(urgencyControl, false)
	defer context.AfterFunc(ctx, func() { s.refuse(stream, context.Cause(ctx)) })() // the write may be blocked
	if _, err := stream.Write(body(wire.AppendVarint(nil, uint64(typ)), s.cfg.Version)); err != nil {
		s.refuse(stream, context.Canceled)
		return nil, err
	}
	return stream, nil
}

// askTrack asks for a track's properties.
func (s *Session) askTrack(ctx context.Context, path, name string) (transport.Stream, error) {
	return s.ask(ctx, wire.StreamTrack, wire.Track{Broadcast: path, Name: name}.Append)
}

// trackInfo asks for a track's properties, and waits for them.
func (s *Session) trackInfo(ctx context.Context, path, name string) (pubsub.TrackInfo, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, trackPatience, &moqerr.StreamError{Code: moqerr.StreamControlTimeout})
	defer cancel()
	stream, err := s.askTrack(ctx, path, name)
	if err != nil {
		return pubsub.TrackInfo{}, err
	}
	return s.awaitInfo(ctx, stream)
}

// awaitInfo waits for the answer to TRACK until ctx ends, and ends the request.
func (s *Session) awaitInfo(ctx context.Context, stream transport.Stream) (pubsub.TrackInfo, error) {
	defer context.AfterFunc(ctx, func() { s.refuse(stream, context.Cause(ctx)) })()
	info, err := s.readInfo(stream)
	switch {
	case err == nil:
		finish(stream)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	default:
		s.refuse(stream, context.Canceled)
	}
	return info, err
}

func (s *Session) readInfo(stream transport.Stream) (pubsub.TrackInfo, error) {
	body, err := wire.NewReader(stream).Message()
	if err != nil {
		return pubsub.TrackInfo{}, s.check(truncated(err))
	}
	m, err := wire.ParseTrackInfo(body, s.cfg.Version)
	if err != nil {
		return pubsub.TrackInfo{}, s.check(err)
	}
	info := pubsub.TrackInfo{Priority: m.Priority, MaxAge: m.MaxAge, Timescale: m.Timescale}
	if m.MaxAge == 0 {
		info.MaxAge = pubsub.LiveOnly
	}
	return info, nil
}
