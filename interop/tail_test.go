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
	"github.com/remoq/moq/pubsub"
)

// TestTrackIsClosedBeforeItsLastGroup: the real peers leave a track of which they know the
// end while its last groups are still on their way, so we say the end behind them.
func TestTrackIsClosedBeforeItsLastGroup(t *testing.T) {
	for _, cell := range []Cell{
		{"ours", peers.MoqRelay, "ours", "moqt", moq.Lite06},
		{"ours", peers.MoqRelay, "ours", "https", moq.Lite05},
		{"ours", peers.MoqRelay14, "ours", "moqt", moq.Lite05},
		{"ours", "python", "ours", "moqt", moq.Lite06},
		{"ours", "python", "ours", "moqt", moq.Lite05},
	} {
		t.Run(cell.String(), func(t *testing.T) {
			t.Parallel()
			hub, _ := cell.hub(t)
			o := Ours{hub: hub, carrier: cell.Carrier, version: cell.Version}
			out, in := pubsub.NewOrigin(), pubsub.NewOrigin()
			b, err := out.CreateBroadcast(broadcast)
			require.NoError(t, err)
			producer, err := b.CreateTrack(track, pubsub.TrackInfo{})
			require.NoError(t, err)
			require.NoError(t, b.Announce())
			o.dial(t, "writer", moq.Config{Publish: out})
			o.dial(t, "reader", moq.Config{Subscribe: in})
			far, err := in.Broadcast(within(t, 10*time.Second), broadcast)
			require.NoError(t, err)
			consumer, err := far.Subscribe(within(t, 10*time.Second), track, pubsub.SubscribeOptions{})
			require.NoError(t, err)
			defer func() { require.NoError(t, consumer.Close()) }()
			require.NoError(t, demanded(within(t, 10*time.Second), producer))

			group, err := producer.AppendGroup()
			require.NoError(t, err)
			const half = 5
			write := func(from int) {
				for i := range half {
					require.NoError(t, group.WriteFrame(pubsub.Frame{Payload: payload(group.Sequence(), from+i, padding)}))
				}
			}
			write(0)
			require.NoError(t, producer.Close())
			got, err := consumer.NextGroup(within(t, 10*time.Second))
			require.NoError(t, err)
			var ledger Ledger
			for i := range 2 * half {
				if i == half {
					pause(t.Context(), time.Second) // for as long as a relay needs to leave
					write(half)
					require.NoError(t, group.Close())
				}
				frame, err := got.NextFrame(within(t, 10*time.Second))
				require.NoError(t, err, "frame %d", i)
				require.NoError(t, ledger.Add(got.Sequence(), i, frame.Payload))
			}
			_, err = got.NextFrame(within(t, 10*time.Second))
			require.True(t, errors.Is(err, io.EOF), "%v", err)
			_, err = consumer.NextGroup(within(t, 10*time.Second))
			require.True(t, errors.Is(err, io.EOF), "%v", err)
		})
	}
}
