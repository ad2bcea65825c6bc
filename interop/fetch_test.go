//go:build interop

package interop

import (
	"errors"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestFetch fetches what no subscription brings through the real relay: groups that it
// has, groups that only our publisher has, ranges of frames, and one that nobody has.
func TestFetch(t *testing.T) {
	for _, version := range []moq.Version{moq.Lite06, moq.Lite05} {
		for _, carrier := range []string{"https", "moqt"} {
			t.Run(string(version)+" "+carrier, func(t *testing.T) {
				t.Parallel()
				hub := startRelay(t, peers.RelayOptions{})
				o := Ours{hub: hub, carrier: carrier, version: version}
				out, in := pubsub.NewOrigin(), pubsub.NewOrigin()
				b, err := out.CreateBroadcast(broadcast)
				require.NoError(t, err)
				producer, err := b.CreateTrack(track, pubsub.TrackInfo{MaxAge: time.Minute})
				require.NoError(t, err)
				require.NoError(t, b.Announce())
				for range 5 {
					writeWhole(t, producer, 10)
				}
				o.dial(t, "writer", moq.Config{Publish: out})
				o.dial(t, "reader", moq.Config{Subscribe: in})
				far, err := in.Broadcast(within(t, 10*time.Second), broadcast)
				require.NoError(t, err)
				for _, c := range []struct {
					group       uint64
					first, n    int
					from, until int
				}{{0, 0, 0, 0, 10}, {2, 0, 0, 0, 10}, {2, 4, 0, 4, 10}, {3, 2, 5, 2, 7}, {4, 9, 1, 9, 10}, {4, 10, 0, 10, 10}} {
					g, err := far.Fetch(within(t, 10*time.Second), track, c.group, pubsub.FetchOptions{FirstFrame: c.first, Frames: c.n})
					if c.from == c.until && err != nil {
						t.Logf("%v: behind the last frame: %v", version, err)
						continue
					}
					require.NoError(t, err, "%+v", c)
					var ledger Ledger
					for i := c.from; ; i++ {
						f, err := g.NextFrame(within(t, 10*time.Second))
						if errors.Is(err, io.EOF) {
							require.Equal(t, c.until, i, "%+v", c)
							break
						}
						require.NoError(t, err, "%+v", c)
						require.NoError(t, ledger.Add(c.group, i, f.Payload))
					}
				}
				_, err = far.Fetch(within(t, 10*time.Second), track, 99, pubsub.FetchOptions{})
				require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamNotFound, Remote: true})
			})
		}
	}
}

// writeWhole writes a group of frames at once.
func writeWhole(t *testing.T, producer *pubsub.TrackProducer, n int) {
	t.Helper()
	g, err := producer.AppendGroup()
	require.NoError(t, err)
	for i := range n {
		at := time.Duration(g.Sequence())*time.Second + time.Duration(i)*10*time.Millisecond
		require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: at, Payload: payload(g.Sequence(), i, padding)}))
	}
	require.NoError(t, g.Close())
}
