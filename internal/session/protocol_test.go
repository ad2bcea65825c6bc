package session

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

func quicKeepAlive() *quic.Config {
	return &quic.Config{MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 3 * time.Second, MaxIncomingStreams: 100, MaxIncomingUniStreams: 100}
}

func readReply(t *testing.T, r *wire.Reader, v wire.Version) wire.SubscribeReply {
	t.Helper()
	m, err := wire.ReadSubscribeReply(r, v)
	require.NoError(t, err)
	return m
}

// TestStartBeforeGroupsAndEndBeforeFin pins what peers of this generation demand of a
// publisher.
func TestStartBeforeGroupsAndEndBeforeFin(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		bc, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		for range 3 {
			writeGroup(t, track, 2)
		}
		p, _ := b.against(Config{Publish: origin})
		_, r := p.subscribe(wire.Subscribe{ID: 5, Broadcast: "a", Track: "t"})
		require.Equal(t, wire.SubscribeReply{Kind: wire.ReplyStart, Group: 2}, readReply(t, r, b.version))
		m, frames, _ := p.group()
		require.Equal(t, wire.Group{Subscribe: 5, Sequence: 2}, m)
		got, err := payloads(frames)
		require.NoError(t, err)
		require.Equal(t, want(2, 2), got)

		writeGroup(t, track, 1)
		m, frames, _ = p.group()
		require.Equal(t, uint64(3), m.Sequence)
		got, err = payloads(frames)
		require.NoError(t, err)
		require.Equal(t, want(3, 1), got)
		require.NoError(t, bc.Close())
		require.Equal(t, wire.SubscribeReply{Kind: wire.ReplyEnd, Group: 4}, readReply(t, r, b.version))
		_, err = wire.ReadSubscribeReply(r, b.version)
		require.Equal(t, io.EOF, err)
	})
}

func TestEndOfATrackWithoutGroups(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		bc, _ := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: origin})
		_, r := p.subscribe(wire.Subscribe{Broadcast: "a", Track: "t"})
		<-time.After(time.Second)
		require.NoError(t, bc.Close())
		require.Equal(t, wire.ReplyEnd, readReply(t, r, b.version).Kind)
		_, err := wire.ReadSubscribeReply(r, b.version)
		require.Equal(t, io.EOF, err)
	})
}

// TestLateJoinWithinMaxAge asks as a subscriber does that wants some history: the
// floor is found by Max Age on lite-06, and named on lite-05.
func TestLateJoinWithinMaxAge(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{MaxAge: time.Minute})
		for range 10 {
			writeGroup(t, track, 2) // a second apart
		}
		p, _ := b.against(Config{Publish: origin})
		params := wire.SubscribeParams{MaxAge: 3500 * time.Millisecond}
		if !b.version.StartFloor() {
			params.Start, params.HasStart = 1, true
		}
		_, r := p.subscribe(wire.Subscribe{Broadcast: "a", Track: "t", SubscribeParams: params})
		start := readReply(t, r, b.version)
		got := map[uint64]bool{}
		for range 5 {
			m, frames, _ := p.group()
			_, err := payloads(frames)
			require.NoError(t, err)
			got[m.Sequence] = true
		}
		// Group 5 ends where 6 begins, 3.001 s before the newest frame; 4 is too old.
		require.Equal(t, map[uint64]bool{5: true, 6: true, 7: true, 8: true, 9: true}, got)
		require.LessOrEqual(t, start.Group, uint64(5))
	})
}

func TestFrameBounds(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{MaxAge: time.Minute})
		for range 3 {
			writeGroup(t, track, 5)
		}
		p, _ := b.against(Config{Publish: origin})
		p.subscribe(wire.Subscribe{Broadcast: "a", Track: "t", SubscribeParams: wire.SubscribeParams{
			MaxAge: time.Minute, Start: 1, HasStart: true, FrameStart: 3,
			End: 2, HasEnd: true, FrameEnd: 1, HasFrameEnd: true,
		}})
		got := map[wire.Group][]string{}
		for range 2 {
			m, frames, _ := p.group()
			all, err := payloads(frames)
			require.NoError(t, err)
			got[m] = all
		}
		require.Equal(t, map[wire.Group][]string{
			{Sequence: 1, FrameStart: 3}: {"1/3", "1/4"},
			{Sequence: 2}:                {"2/0", "2/1"},
		}, got)
	})
}

func TestGroupEndIsAPause(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		writeGroup(t, track, 1)
		p, _ := b.against(Config{Publish: origin})
		params := wire.SubscribeParams{MaxAge: 5 * time.Second, End: 1, HasEnd: true}
		stream, r := p.subscribe(wire.Subscribe{Broadcast: "a", Track: "t", SubscribeParams: params})
		require.Equal(t, wire.ReplyStart, readReply(t, r, b.version).Kind)
		for range 2 {
			writeGroup(t, track, 1)
		}
		for i := range uint64(2) {
			m, _, _ := p.group()
			require.Equal(t, i, m.Sequence)
		}
		params.End = 2
		begin := time.Now()
		<-time.After(time.Second)
		_, err := stream.Write(wire.SubscribeUpdate{SubscribeParams: params}.Append(nil, b.version))
		require.NoError(t, err)
		m, _, _ := p.group()
		require.Equal(t, uint64(2), m.Sequence)
		require.GreaterOrEqual(t, time.Since(begin), time.Second, "held back until the cap rose")
	})
}

// TestMaxAgeResetsABlockedStaleGroup: the peer does not read a group's stream, newer
// groups make it too old, and its stream is reset with 0x34. One that is not too old
// for the peer stays.
func TestMaxAgeResetsABlockedStaleGroup(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{MaxAge: time.Minute})
		p, _ := b.against(Config{Publish: origin})
		p.subscribe(wire.Subscribe{ID: 1, Broadcast: "a", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: 2 * time.Second}})
		p.subscribe(wire.Subscribe{ID: 2, Broadcast: "a", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Minute}})
		g, err := track.AppendGroup()
		require.NoError(t, err)
		big := bytes.Repeat([]byte{1}, 3<<20) // more than a stream's window
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: big}))
		require.NoError(t, g.Close())
		streams := map[uint64]interface{ Read([]byte) (int, error) }{}
		for range 2 {
			m, _, s := p.group()
			streams[m.Subscribe] = s
		}
		for i := range 5 {
			next, err := track.AppendGroup()
			require.NoError(t, err)
			require.NoError(t, next.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i+1) * time.Second, Payload: []byte("x")}))
			require.NoError(t, next.Close())
			<-time.After(time.Second)
		}
		_, err = io.Copy(io.Discard, struct{ io.Reader }{streams[1]})
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamOld})
		n, err := io.Copy(io.Discard, struct{ io.Reader }{streams[2]})
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, int64(3<<20-4096), "but for what came with the header")
	})
}

// TestParkedReader is the deadlock of connection flow control: many groups are on
// their way and the application reads none of them. They must be drained all the same.
func TestParkedReader(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{MaxAge: time.Hour})
		_, other := announced(t, origin, "b", "t", pubsub.TrackInfo{})
		parked := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{MaxAge: time.Hour})
		reader := subscribeTo(t, seen, "b", "t", pubsub.SubscribeOptions{})
		payload := bytes.Repeat([]byte{7}, 4096)
		require.NoError(t, track.WriteFrame(pubsub.Frame{Payload: payload}))
		<-time.After(time.Second) // until the peer knows our Max Age
		for i := range 999 {
			require.NoError(t, track.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i+1) * time.Millisecond, Payload: payload}))
		}
		<-time.After(5 * time.Second)
		writeGroup(t, other, 1)
		readGroup(t, reader) // the connection is not stuck
		for i := range uint64(1000) {
			g, err := parked.NextGroup(t.Context())
			require.NoError(t, err)
			require.Equal(t, i, g.Sequence())
			f, err := g.NextFrame(t.Context())
			require.NoError(t, err)
			require.Equal(t, payload, f.Payload)
		}
	})
}

// TestSlowReader: one reader of two stops, and costs the other nothing. When it goes
// on it has lost the oldest groups and is told exactly which.
func TestSlowReader(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{MaxAge: 5 * time.Second})
		slow := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{})
		fast := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{})
		n := writeGroup(t, track, 2)
		sequence, _ := readGroup(t, slow)
		require.Equal(t, n, sequence)
		readGroup(t, fast)
		for range 60 {
			<-time.After(time.Second)
			n = writeGroup(t, track, 2)
			sequence, payloads := readGroup(t, fast)
			require.Equal(t, n, sequence)
			require.Equal(t, want(n, 2), payloads)
		}
		g, err := slow.NextGroup(t.Context())
		require.NoError(t, err)
		require.Greater(t, g.Sequence(), n-8)
		require.Equal(t, &moqerr.Gap{First: 1, Last: g.Sequence() - 1}, g.Gap())
	})
}

func TestUnsubscribe(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: origin})
		stream, r := p.subscribe(wire.Subscribe{Broadcast: "a", Track: "t"})
		g, err := track.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("x")}))
		_, frames, _ := p.group()
		require.Equal(t, 1, track.Demand().Readers)
		require.NoError(t, stream.Close())
		require.Equal(t, wire.ReplyStart, readReply(t, r, b.version).Kind)
		_, err = wire.ReadSubscribeReply(r, b.version)
		require.Equal(t, io.EOF, err, "a FIN is answered with a FIN")
		_, err = payloads(frames)
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamCancelled})
		require.Zero(t, track.Demand().Readers)
	})
}

func TestDemandReachesThePublisher(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		writeGroup(t, track, 1)
		require.Zero(t, track.Demand().Readers)
		first := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{Priority: 3})
		second := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{Priority: 200})
		<-time.After(time.Second)
		d := track.Demand()
		require.Equal(t, 1, d.Readers, "one subscription for all readers of an origin")
		require.Equal(t, uint8(200), d.Priority)
		require.NoError(t, second.Close())
		<-d.Changed
		require.Equal(t, uint8(3), track.Demand().Priority)
		require.NoError(t, first.Close())
		<-time.After(time.Second)
		require.Zero(t, track.Demand().Readers)
	})
}

func TestTimestampsAreForwardedAsTicks(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{Timescale: 90_000})
		reader := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{})
		g, err := track.AppendGroup()
		require.NoError(t, err)
		ticks := []uint64{3003, 0, 1 << 50, 7} // in any order
		for _, n := range ticks {
			require.NoError(t, g.WriteRaw(pubsub.RawFrame{Ticks: n, Payload: fmt.Append(nil, n)}))
		}
		require.NoError(t, g.Close())
		got, err := reader.NextGroup(t.Context())
		require.NoError(t, err)
		var all []uint64
		var dst [1]pubsub.RawFrame
		for {
			_, err := got.ReadRaw(t.Context(), dst[:])
			if err == io.EOF {
				break
			}
			require.NoError(t, err)
			all = append(all, dst[0].Ticks)
		}
		require.Equal(t, ticks, all)
	})
}

func TestNothingToAnnounce(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s := b.against(Config{})
		stream, r := p.ask(wire.StreamAnnounce, wire.AnnounceRequest{}.Append(nil, b.version))
		body, err := r.Message()
		require.NoError(t, err)
		ok, err := wire.ParseAnnounceOK(body, b.version)
		require.NoError(t, err)
		require.Zero(t, ok.Active)
		_ = stream.SetReadDeadline(time.Now().Add(time.Second))
		_, err = r.Message()
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, "the stream is left open")

		stream, r = p.ask(wire.StreamAnnounce, wire.AnnounceRequest{}.Append(nil, b.version))
		_, err = r.Message()
		require.NoError(t, err)
		require.NoError(t, stream.Close())
		_ = stream.SetReadDeadline(time.Now().Add(time.Second))
		_, err = r.Message()
		require.Equal(t, io.EOF, err, "a FIN is answered with a FIN")
		require.NoError(t, s.Err())
	})
}
