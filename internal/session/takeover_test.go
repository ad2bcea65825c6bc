package session

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestAnotherWayIsNoRetraction: a relay that has another way to the same publisher, or another
// session of it, says so by an update. What was asked for and is not answered yet goes on;
// with another publisher it does not.
func TestAnotherWayIsNoRetraction(t *testing.T) {
	for name, c := range map[string]struct {
		hops []uint64
		err  error
	}{
		"the same publisher":    {[]uint64{4, 9}, nil},
		"another, the same way": {[]uint64{5}, &moqerr.StreamError{Code: moqerr.StreamUnroutable}},
	} {
		t.Run(name, func(t *testing.T) {
			onVersions(t, func(t *testing.T, b *bed) {
				seen := pubsub.NewOrigin()
				p, _ := b.against(Config{Subscribe: seen})
				announce, _ := p.answer(wire.StreamAnnounce)
				bytes := wire.AnnounceOK{Hop: peerHop, Active: 1}.Append(nil, b.version)
				_, err := announce.Write(wire.Announce{Suffix: "x", Hops: []uint64{4}}.Append(bytes, b.version))
				require.NoError(t, err)
				there, err := seen.Broadcast(t.Context(), "x")
				require.NoError(t, err)
				answered := make(chan error, 1)
				go func() {
					_, err := there.TrackInfo(t.Context(), "t")
					answered <- err
				}()
				track, _ := p.answer(wire.StreamTrack)
				update := wire.Announce{Kind: wire.AnnounceUpdate, Suffix: "x", Hops: c.hops}
				_, err = announce.Write(update.Append(nil, b.version))
				require.NoError(t, err)
				time.Sleep(time.Second)
				now, err := seen.Lookup("x", 0)
				require.NoError(t, err)
				require.Equal(t, c.hops[0], now.Source())
				_, err = track.Write(wire.TrackInfo{Timescale: 1000}.Append(nil, b.version))
				if c.err == nil {
					require.NoError(t, err)
				}
				require.ErrorIs(t, <-answered, c.err)
			})
		})
	}
}

// TestLateSubscriptionIsClosed: one that was opened when its track was known already is given
// back like any other when its reader leaves.
func TestLateSubscriptionIsClosed(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		seen := pubsub.NewOrigin()
		p, _ := b.against(Config{Subscribe: seen})
		announce, _ := p.answer(wire.StreamAnnounce)
		bytes := wire.AnnounceOK{Hop: peerHop, Active: 1}.Append(nil, b.version)
		_, err := announce.Write(wire.Announce{Suffix: "x", Hops: []uint64{4}}.Append(bytes, b.version))
		require.NoError(t, err)
		there, err := seen.Broadcast(t.Context(), "x")
		require.NoError(t, err)
		known := make(chan error, 1)
		go func() {
			_, err := there.TrackInfo(t.Context(), "t")
			known <- err
		}()
		track, _ := p.answer(wire.StreamTrack)
		_, err = track.Write(wire.TrackInfo{Timescale: 1000}.Append(nil, b.version))
		require.NoError(t, err)
		require.NoError(t, track.Close())
		require.NoError(t, <-known)

		reader, err := there.Subscribe(t.Context(), "t", pubsub.SubscribeOptions{})
		require.NoError(t, err)
		subscribe, _ := p.answer(wire.StreamSubscribe)
		require.NoError(t, reader.Close())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			awaitEnd(subscribe)
		}()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("the subscription goes on")
		}
	})
}
