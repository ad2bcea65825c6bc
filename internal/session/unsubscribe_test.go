package session

import (
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestStopSendingUnsubscribes: FIN, reset and STOP_SENDING mean the same.
func TestStopSendingUnsubscribes(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: o})
		s, _ := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		time.Sleep(time.Second)
		writeGroup(t, tr, 1)
		p.group()
		s.Stop(moqerr.StreamCancelled)
		time.Sleep(time.Second)
		require.Zero(t, tr.Demand().Readers)
	})
}

// TestUnsubscribeAfterClose: a group that is still open is cut, although its track was closed.
func TestUnsubscribeAfterClose(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: o})
		s, _ := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		time.Sleep(time.Second)
		g, err := tr.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("x")}))
		require.NoError(t, tr.Close())
		_, r, _ := p.group()
		time.Sleep(time.Second)
		require.NoError(t, s.Close())
		done := make(chan error, 1)
		go func() { _, err := payloads(r); done <- err }()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Fatal("the group goes on")
		}
	})
}

// TestUnsubscribeWhileWaiting: the peer leaves before anybody has answered.
func TestUnsubscribeWhileWaiting(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		h, err := o.Attach(pubsub.Route{Prefix: "x", Hops: []uint64{9}})
		require.NoError(t, err)
		p, _ := b.against(Config{Publish: o})
		s, _ := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		q, err := h.Next(t.Context())
		require.NoError(t, err)
		_, err = s.Write(wire.SubscribeUpdate{}.Append(nil, p.v))
		require.NoError(t, err)
		require.NoError(t, s.Close())
		select {
		case <-q.Done():
		case <-time.After(10 * time.Second):
			t.Fatal("nobody wants it, and the request stands")
		}
	})
}

// TestPauseHoldsBackOnlyWhatIsAbove: a lower group that comes later still goes.
func TestPauseHoldsBackOnlyWhatIsAbove(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: o})
		p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{
			MaxAge: time.Minute, Start: 4, HasStart: true, End: 5, HasEnd: true,
		}})
		time.Sleep(time.Second)
		for _, n := range []uint64{4, 6, 5} {
			g, err := tr.CreateGroup(n)
			require.NoError(t, err)
			require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("x")}))
			require.NoError(t, g.Close())
		}
		for _, want := range []uint64{4, 5} {
			got := make(chan uint64, 1)
			go func() { m, _, _ := p.group(); got <- m.Sequence }()
			select {
			case n := <-got:
				require.Equal(t, want, n)
			case <-time.After(10 * time.Second):
				t.Fatalf("group %d never came", want)
			}
		}
	})
}

// TestManyEmptyFramesDoNotBlock: a group of no payload can be longer than a packet.
func TestManyEmptyFramesDoNotBlock(t *testing.T) {
	conf := &quic.Config{MaxIncomingStreams: 100, MaxIncomingUniStreams: 100, InitialStreamReceiveWindow: 2000, MaxStreamReceiveWindow: 2000}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: o})
		g, err := tr.AppendGroup()
		require.NoError(t, err)
		for range 4000 {
			require.NoError(t, g.WriteFrame(pubsub.Frame{}))
		}
		require.NoError(t, g.Close())
		p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		time.Sleep(time.Second)
		writeGroup(t, tr, 1)
		p.group() // not read
		got := make(chan uint64, 1)
		go func() { m, _, _ := p.group(); got <- m.Sequence }()
		select {
		case <-got:
		case <-time.After(20 * time.Second):
			t.Fatal("group 1 never came")
		}
	})
}

// TestLowerGroupAfterStart: START promises no more than is known.
func TestLowerGroupAfterStart(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o, mine := pubsub.NewOrigin(), pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		b.sessions(Config{Publish: o}, Config{Subscribe: mine})
		start := uint64(5)
		c := subscribeTo(t, mine, "x", "t", pubsub.SubscribeOptions{Start: &start})
		time.Sleep(time.Second)
		for _, n := range []uint64{6, 5} {
			g, err := tr.CreateGroup(n)
			require.NoError(t, err)
			require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("x")}))
			require.NoError(t, g.Close())
			time.Sleep(10 * time.Millisecond)
		}
		g, err := c.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(5), g.Sequence(), "gap %v", g.Gap())
	})
}

// TestFinishedTrackMakesWay: for one of the same name, as soon as nobody reads it.
func TestFinishedTrackMakesWay(t *testing.T) {
	inBubble(t, wire.Lite06, &quic.Config{MaxIncomingStreams: 100, MaxIncomingUniStreams: 100, KeepAlivePeriod: 3 * time.Second}, func(t *testing.T, b *bed) {
		o, mine := pubsub.NewOrigin(), pubsub.NewOrigin()
		br, tr := announced(t, o, "x", "t", pubsub.TrackInfo{MaxAge: time.Hour})
		b.sessions(Config{Subscribe: mine}, Config{Publish: o})
		writeGroup(t, tr, 1)
		c := subscribeTo(t, mine, "x", "t", pubsub.SubscribeOptions{})
		readGroup(t, c)
		require.NoError(t, tr.Close())
		_, err := c.NextGroup(t.Context())
		require.Equal(t, io.EOF, err)
		require.NoError(t, c.Close())
		tr, err = br.CreateTrack("t", pubsub.TrackInfo{})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		c = subscribeTo(t, mine, "x", "t", pubsub.SubscribeOptions{})
		writeGroup(t, tr, 1)
		g, err := c.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(1), g.Sequence())
	})
}

// TestLeavingReaderCancelsGroups: who unsubscribes tells the sender of an open group that it was
// cancelled, not that we have an internal error.
func TestLeavingReaderCancelsGroups(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		seen := pubsub.NewOrigin()
		p, _ := b.against(Config{Subscribe: seen})
		announce, _ := p.answer(wire.StreamAnnounce)
		bytes := wire.AnnounceOK{Hop: peerHop, Active: 1}.Append(nil, b.version)
		_, err := announce.Write(wire.Announce{Suffix: "x", Hops: []uint64{4}}.Append(bytes, b.version))
		require.NoError(t, err)
		there, err := seen.Broadcast(t.Context(), "x")
		require.NoError(t, err)
		got := make(chan *pubsub.TrackConsumer, 1)
		go func() {
			c, err := there.Subscribe(t.Context(), "t", pubsub.SubscribeOptions{})
			if err == nil {
				got <- c
			}
		}()
		track, _ := p.answer(wire.StreamTrack)
		_, err = track.Write(wire.TrackInfo{Timescale: 1000, MaxAge: time.Second}.Append(nil, b.version))
		require.NoError(t, err)
		require.NoError(t, track.Close())
		_, body := p.answer(wire.StreamSubscribe)
		m, err := wire.ParseSubscribe(body, b.version)
		require.NoError(t, err)
		c := <-got
		s, err := p.conn.OpenUniStream(t.Context())
		require.NoError(t, err)
		h := wire.Group{Subscribe: m.ID, Sequence: 3}.Append(wire.AppendVarint(nil, uint64(wire.UniGroup)), b.version)
		_, err = s.Write(append(wire.AppendFrameHeader(h, 0, 1), 'a'))
		require.NoError(t, err)
		g, err := c.NextGroup(t.Context())
		require.NoError(t, err)
		_, err = g.NextFrame(t.Context())
		require.NoError(t, err)
		require.NoError(t, g.Close())
		require.NoError(t, c.Close())
		time.Sleep(time.Second)
		for range 3 {
			if _, err = s.Write(append(wire.AppendFrameHeader(nil, 0, 1), 'b')); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		var stopped *moqerr.StreamError
		require.ErrorAs(t, err, &stopped)
		require.True(t, stopped.Remote)
		require.Equal(t, moqerr.StreamCancelled, stopped.Code)
	})
}

// TestLeavingAtTheEndCutsNothing: a peer may leave as soon as it knows the end of a track, as
// relays do, and has the last group whole although it was written later.
func TestLeavingAtTheEndCutsNothing(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: o})
		s, replies := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		time.Sleep(time.Second)
		g, err := tr.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("a")}))
		_, frames, _ := p.group()
		require.NoError(t, tr.Close())
		said := make(chan error, 1)
		go func() {
			for {
				m, err := wire.ReadSubscribeReply(replies, p.v)
				if err != nil || m.Kind == wire.ReplyEnd {
					_ = s.Close() // fails if the stream is reset, and then there was no END
					said <- err
					return
				}
			}
		}()
		time.Sleep(time.Second)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("b")}))
		require.NoError(t, g.Close())
		got, err := payloads(frames)
		require.NoError(t, err, "the group is cut")
		require.Equal(t, []string{"a", "b"}, got)
		require.NoError(t, <-said)
	})
}
