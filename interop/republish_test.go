//go:build interop

package interop

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestRepublish loses the publisher's session behind a relay that lives, in the middle of a
// group: the relay resets what it was delivering and retracts the broadcast. The publisher
// comes back a moment later, and a ResumeLast reader has lost nothing.
func TestRepublish(t *testing.T) {
	for _, version := range []moq.Version{moq.Lite06, moq.Lite05} {
		t.Run(string(version), func(t *testing.T) {
			t.Parallel()
			o := Ours{hub: startRelay(t, peers.RelayOptions{}), carrier: "moqt", version: version}
			in, out := pubsub.NewOrigin(), pubsub.NewOrigin()
			o.dial(t, "reader", moq.Config{Subscribe: in})
			b, err := out.CreateBroadcast(broadcast)
			require.NoError(t, err)
			producer, err := b.CreateTrack(track, pubsub.TrackInfo{MaxAge: 30 * time.Second})
			require.NoError(t, err)
			require.NoError(t, b.Announce())
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			follower := in.Follow(broadcast, track, pubsub.FollowOptions{Resume: pubsub.ResumeLast})
			defer follower.Close()
			read := make(chan spot, 1000)
			ended := make(chan error, 1)
			go func() { ended <- readAll(ctx, follower, read) }()

			client := newClient(t, o.hub, "publisher", moq.Config{Publish: out, Versions: []moq.Version{version}})
			connect := func() *moq.Session {
				session, err := client.Connect(within(t, 10*time.Second), o.hub.URL(o.carrier))
				require.NoError(t, err)
				return session
			}
			session := connect()
			require.NoError(t, demanded(within(t, 10*time.Second), producer))
			const rounds = 5
			for round := range uint64(rounds) {
				group, err := producer.AppendGroup()
				require.NoError(t, err)
				write := func(from, to int) {
					for i := from; i < to; i++ {
						at := time.Duration(group.Sequence())*time.Second + time.Duration(i)*10*time.Millisecond
						require.NoError(t, group.WriteFrame(pubsub.Frame{Timestamp: at, Payload: payload(group.Sequence(), i, padding)}))
					}
				}
				write(0, 20)
				for i := range 20 {
					require.Equal(t, spot{2 * round, i}, next(t, read, ended))
				}
				session.Abort(moqerr.SessionInternal, "lost")
				write(20, 40)
				require.NoError(t, group.Close())
				writeWhole(t, producer, 20)
				pause(t.Context(), 200*time.Millisecond)
				session = connect()
				for i := 20; i < 40; i++ {
					require.Equal(t, spot{2 * round, i}, next(t, read, ended))
				}
				for i := range 20 {
					require.Equal(t, spot{2*round + 1, i}, next(t, read, ended))
				}
			}
			require.Zero(t, follower.State().LostGroups)
			require.NotZero(t, follower.State().Losses)
		})
	}
}
