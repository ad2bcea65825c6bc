package moq

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// noSuchHost is a Resolve that knows nobody.
func noSuchHost(_ context.Context, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func TestStatsAdd(t *testing.T) {
	sum := Stats{RTT: 5, MinRTT: 3, BytesSent: 1, BytesReceived: 2, PacketsSent: 3, PacketsReceived: 4, PacketsLost: 5}
	sum.add(Stats{RTT: 7, MinRTT: 4, BytesSent: 10, BytesReceived: 20, PacketsSent: 30, PacketsReceived: 40, PacketsLost: 50})
	require.Equal(t, Stats{RTT: 7, MinRTT: 3, BytesSent: 11, BytesReceived: 22, PacketsSent: 33, PacketsReceived: 44, PacketsLost: 55}, sum)
	sum.add(Stats{RTT: 6, MinRTT: 2})
	require.Equal(t, time.Duration(2), sum.MinRTT)
	sum.add(Stats{})
	require.Equal(t, time.Duration(2), sum.MinRTT, "one that was never measured")
	var none Stats
	none.add(Stats{MinRTT: 9})
	require.Equal(t, time.Duration(9), none.MinRTT)
}

// The counters go on over all sessions, and each is counted once, whatever became of it.
func TestReconnectStats(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		r := b.client(Config{}).Reconnect(t.Context(), b.url())
		require.Zero(t, r.Stats())
		var ended, before Stats
		end := func(how func(*Session)) {
			s, err := r.Session(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Minute)
			now := r.Stats()
			require.GreaterOrEqual(t, now.PacketsSent, before.PacketsSent, "they never go back")
			require.Equal(t, ended.PacketsSent+s.Stats().PacketsSent, now.PacketsSent)
			require.Equal(t, rtt, now.MinRTT)
			how(s)
			<-s.Closed()
			time.Sleep(time.Second)
			ended.add(s.Stats())
			before = now.Stats
		}
		end(func(s *Session) { _ = s.Close() })
		end(func(*Session) { require.NoError(t, r.Redial(t.Context())) })
		end(func(*Session) { r.Pause(); time.Sleep(3 * time.Second); r.Resume() })
		end(func(*Session) { require.NoError(t, b.up.Kill()); b.start() })
		require.NoError(t, r.Close())
		last := r.Stats()
		require.Greater(t, last.BytesSent, ended.BytesSent)
		require.Greater(t, last.PacketsReceived, uint64(4*20))
		require.Equal(t, last, r.Stats())
		require.Empty(t, r.history.live)
	})
}

// Every session of an origin speaks for the same publisher: a relay that still holds the
// one before hands its broadcasts over.
func TestHopIsKeptAcrossSessions(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		source, sink := pubsub.NewOrigin(), pubsub.NewOrigin()
		clock, err := source.CreateBroadcast("clock")
		require.NoError(t, err)
		require.NoError(t, clock.Announce())
		publisher := b.client(Config{Publish: source}).Reconnect(t.Context(), b.url())
		b.client(Config{Subscribe: sink}).Reconnect(t.Context(), b.url())
		var hops []uint64
		for a, err := range sink.Announced(t.Context(), "") {
			require.NoError(t, err)
			if a.Synced || !a.Active {
				continue
			}
			hops = append(hops, a.Route.Hops[0])
			if len(hops) == 3 {
				break
			}
			s, err := publisher.Session(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Minute)
			require.NoError(t, s.Close())
		}
		require.Equal(t, []uint64{source.Identity(), source.Identity(), source.Identity()}, hops)
	})
}

// The host is looked up for each attempt: the relay may have moved.
func TestNameIsLookedUpEachTime(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		var mu sync.Mutex
		lookups := 0
		r := b.client(Config{Resolve: func(context.Context, string) ([]netip.Addr, error) {
			mu.Lock()
			defer mu.Unlock()
			if lookups++; lookups == 1 {
				return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 9, 9})}, nil // it has moved away
			}
			return []netip.Addr{b.at.Addr()}, nil
		}, ConnectTimeout: time.Second}).Reconnect(t.Context(), "moqt://relay:4443/room")
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		s, err := r.Session(ctx)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, s.Close())
		_, err = r.Session(t.Context())
		require.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, 3, lookups)
	})
}
