package session

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestReaderSeesWhyTheSessionEnded: not what was wrong with one message.
func TestReaderSeesWhyTheSessionEnded(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		bad, _ := b.against(Config{Subscribe: o})
		bad.announce(peerHop, "x")
		br, err := o.Broadcast(t.Context(), "x")
		require.NoError(t, err)
		got := make(chan error, 1)
		go func() { _, err := br.Subscribe(t.Context(), "t", pubsub.SubscribeOptions{}); got <- err }()
		tr, _ := bad.answer(wire.StreamTrack)
		_, err = tr.Write([]byte{1, 9})
		require.NoError(t, err)
		err = <-got
		var ended *moqerr.SessionError
		require.Truef(t, errors.As(err, &ended), "%T %v", err, err)
	})
}

// TestPendingSubscribeSeesTheClose: not that the route is gone.
func TestPendingSubscribeSeesTheClose(t *testing.T) {
	unroutable := 0
	for range 20 {
		inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
			o := pubsub.NewOrigin()
			bad, _ := b.against(Config{Subscribe: o})
			bad.announce(peerHop, "x")
			br, err := o.Broadcast(t.Context(), "x")
			require.NoError(t, err)
			got := make(chan error, 1)
			go func() { _, err := br.Subscribe(t.Context(), "t", pubsub.SubscribeOptions{}); got <- err }()
			bad.answer(wire.StreamTrack)
			_ = bad.conn.Close(moqerr.SessionUnauthorized, "expired")
			err = <-got
			var ended *moqerr.SessionError
			if !errors.As(err, &ended) {
				unroutable++
				t.Log(err)
			}
		})
	}
	require.Zero(t, unroutable)
}

// TestCutGroupHasAStreamError: of the kind that users can match.
func TestCutGroupHasAStreamError(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		p, _ := b.against(Config{Subscribe: o})
		p.announce(peerHop, "x")
		br, err := o.Broadcast(t.Context(), "x")
		require.NoError(t, err)
		go func() {
			tr, _ := p.answer(wire.StreamTrack)
			_, _ = tr.Write(wire.TrackInfo{Priority: 1, MaxAge: time.Second, Timescale: 1000}.Append(nil, p.v))
			_ = tr.Close()
			p.answer(wire.StreamSubscribe)
			g := wire.Group{Sequence: 3}.Append(nil, p.v)
			p.uni(uint64(wire.UniGroup), append(g, 0, 5, 'a'))
		}()
		c, err := br.Subscribe(t.Context(), "t", pubsub.SubscribeOptions{})
		require.NoError(t, err)
		g, err := c.NextGroup(t.Context())
		require.NoError(t, err)
		_, err = g.NextFrame(t.Context())
		var reset *moqerr.StreamError
		require.Truef(t, errors.As(err, &reset), "%T %v", err, err)
	})
}

// TestCloseSendsWhatIsThere: also the frames of a group that is still open.
func TestCloseSendsWhatIsThere(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o, mine := pubsub.NewOrigin(), pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		dialed, _ := b.sessions(Config{Publish: o}, Config{Subscribe: mine})
		c := subscribeTo(t, mine, "x", "t", pubsub.SubscribeOptions{})
		g, err := tr.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("a")}))
		time.Sleep(time.Second)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("b")}))
		go dialed.Close()
		got, err := c.NextGroup(t.Context())
		require.NoError(t, err)
		f, err := got.NextFrame(t.Context())
		require.NoError(t, err)
		require.Equal(t, "a", string(f.Payload))
		f, err = got.NextFrame(t.Context())
		require.NoError(t, err)
		require.Equal(t, "b", string(f.Payload))
	})
}

// TestBothClose: each answers the other's barrier.
func TestBothClose(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o, mine := pubsub.NewOrigin(), pubsub.NewOrigin()
		a, c := b.sessions(Config{Publish: o}, Config{Subscribe: mine})
		began := time.Now()
		go a.Close()
		c.Close()
		require.Less(t, time.Since(began), 500*time.Millisecond)
	})
}

// TestFollowerPolledInShort: calls that are shorter than a round trip get there too.
func TestFollowerPolledInShort(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		o, mine := pubsub.NewOrigin(), pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		writeGroup(t, tr, 1)
		b.sessions(Config{Publish: o}, Config{Subscribe: mine})
		f := mine.Follow("x", "t", pubsub.FollowOptions{})
		defer f.Close()
		for range 200 {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
			_, err := f.NextGroup(ctx)
			cancel()
			if err == nil {
				return
			}
		}
		t.Fatal("200 calls and no group")
	})
}

// hasty is a connection whose peer has read each unidirectional stream, and said that it
// wants no more, before we finish it.
type hasty struct{ transport.Conn }

func (c hasty) OpenUniStream(ctx context.Context) (transport.SendStream, error) {
	s, err := c.Conn.OpenUniStream(ctx)
	return hastyStream{s}, err
}

type hastyStream struct{ transport.SendStream }

func (s hastyStream) Close() error {
	_ = s.SendStream.Close()
	return &moqerr.StreamError{Code: moqerr.StreamCancelled, Remote: true}
}

// TestPeerThatStopsOurSetup: a peer may stop the stream as soon as it has read SETUP.
func TestPeerThatStopsOurSetup(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		near, far := b.conns()
		go func() {
			s, err := Start(t.Context(), far, Config{Version: b.version, Admit: func(wire.Setup) (string, error) { return "", nil }})
			if err == nil {
				<-s.Done()
			}
		}()
		s, err := Start(t.Context(), hasty{near}, Config{Version: b.version})
		require.NoError(t, err)
		require.NoError(t, s.Close())
	})
}
