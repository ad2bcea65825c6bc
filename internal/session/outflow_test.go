package session

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// TestSmallGroupsWithoutCredit: a peer that lets us open any number of streams, and takes no
// data, does not make us hold every small group, whether it was whole when its stream was
// opened or not. When it reads at last, it gets the newest one.
func TestSmallGroupsWithoutCredit(t *testing.T) {
	for name, whole := range map[string]bool{"whole": true, "open": false} {
		t.Run(name, func(t *testing.T) {
			const count = 12_000
			conf := &quic.Config{
				MaxIncomingStreams: 100, MaxIncomingUniStreams: 1 << 20, KeepAlivePeriod: 5 * time.Second,
				InitialConnectionReceiveWindow: 16 << 10, MaxConnectionReceiveWindow: 16 << 10,
			}
			inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
				origin := pubsub.NewOriginWith(pubsub.OriginOptions{Budget: floodBudget})
				_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
				p, s := b.against(Config{Publish: origin})
				p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Second}})
				time.Sleep(time.Second)
				before := heap()
				for i := range count {
					g, err := tr.AppendGroup()
					require.NoError(t, err)
					if !whole {
						time.Sleep(time.Millisecond) // its stream is opened, and has nothing to say
					}
					require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * time.Millisecond, Payload: make([]byte, 200)}))
					require.NoError(t, g.Close())
					time.Sleep(time.Millisecond)
				}
				grown := heap() - before
				t.Logf("heap grew by %d KiB, %d KiB of groups are not sent", grown>>10, s.outflow.taken.Load()>>10)
				require.Less(t, grown, int64(floodBudget+quicNoise))

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				newest := make(chan uint64, count)
				p.arrivals(ctx, func(m wire.Group) { newest <- m.Sequence })
				for seq := uint64(0); seq != count-1; {
					select {
					case seq = <-newest:
					case <-time.After(time.Minute):
						require.Fail(t, "the newest group does not come")
					}
				}
			})
		})
	}
}

// TestOutflow: what has left makes room, and the most urgent has some of its own.
func TestOutflow(t *testing.T) {
	sent := uint64(0)
	o := outflow{sent: func() uint64 { return sent }}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	o.take(maxUnsent - smallGroup)
	require.NoError(t, o.await(ended, false))
	o.take(0)
	require.ErrorIs(t, o.await(ended, false), context.Canceled)
	require.NoError(t, o.await(ended, true))
	o.take(maxUnsent)
	require.ErrorIs(t, o.await(ended, true), context.Canceled)
	sent = maxUnsent
	require.NoError(t, o.await(ended, true))
	require.ErrorIs(t, o.await(ended, false), context.Canceled)
	sent = 10 * maxUnsent
	require.NoError(t, o.await(ended, false))
	require.Zero(t, o.taken.Load(), "and not less")
}

// TestTinyGroupsLeaveNoDebt: what a small group counts is not more than what it takes on the
// wire, however many share a packet, or a session would be held up more and more.
func TestTinyGroupsLeaveNoDebt(t *testing.T) {
	const count = 30_000
	conf := &quic.Config{MaxIncomingStreams: 100, MaxIncomingUniStreams: 1 << 20}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{MaxAge: time.Hour})
		p, s := b.against(Config{Publish: origin})
		var came atomic.Int64
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.arrivals(ctx, func(wire.Group) { came.Add(1) })
		p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Hour}})
		time.Sleep(time.Second)
		for i := range count {
			require.NoError(t, tr.WriteNow([]byte{1}))
			if i%500 == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(10 * time.Second)
		require.Equal(t, int64(count), came.Load())
		require.Zero(t, s.outflow.settle(s.conn.Stats().BytesSent))
	})
}
