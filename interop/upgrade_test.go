//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/pubsub"
)

// TestUpgrade hands a publication from one origin to the next behind the real relay: the
// reader sees one publisher, every frame once, and no retraction.
func TestUpgrade(t *testing.T) {
	for _, carrier := range []string{"https", "moqt"} {
		t.Run(carrier, func(t *testing.T) {
			t.Parallel()
			o := Ours{hub: startRelay(t, peers.RelayOptions{}), carrier: carrier, version: moq.Lite06}
			in := pubsub.NewOrigin()
			o.dial(t, "reader", moq.Config{Subscribe: in})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			follower := in.Follow(broadcast, track, pubsub.FollowOptions{Resume: pubsub.ResumeLast})
			defer follower.Close()
			read := make(chan spot, 1000)
			ended := make(chan error, 1)
			go func() { ended <- readAll(ctx, follower, read) }()

			var before *pubsub.Origin
			var leave func() error
			for process := range 3 {
				options := pubsub.OriginOptions{}
				if before != nil {
					options = pubsub.OriginOptions{Identity: before.Identity(), FirstSequence: before.NextSequence()}
				}
				out := pubsub.NewOriginWith(options)
				b, err := out.CreateBroadcast(broadcast)
				require.NoError(t, err)
				producer, err := b.CreateTrack(track, pubsub.TrackInfo{MaxAge: 30 * time.Second})
				require.NoError(t, err)
				require.NoError(t, b.Announce())
				client := newClient(t, o.hub, "publisher", moq.Config{Publish: out})
				_, err = client.Connect(within(t, 10*time.Second), o.hub.URL(carrier))
				require.NoError(t, err)
				last, err := out.CreateBroadcast(fmt.Sprint("announced-last-by-", process))
				require.NoError(t, err)
				require.NoError(t, last.Announce())
				_, err = in.Broadcast(within(t, 10*time.Second), last.Path()) // so the relay knows of both
				require.NoError(t, err)
				if leave != nil {
					require.NoError(t, leave())
				} else {
					require.NoError(t, demanded(within(t, 10*time.Second), producer))
				}
				for range 3 {
					writeWhole(t, producer, 20)
					pause(t.Context(), 50*time.Millisecond)
				}
				for n := range 60 {
					at := next(t, read, ended)
					require.Equal(t, spot{uint64(process*3 + n/20), n % 20}, at)
				}
				before, leave = out, client.Close
			}
			require.Zero(t, follower.State().LostGroups)
			require.Zero(t, follower.State().Losses, "the reader's subscription went on")
		})
	}
}

func next(t *testing.T, read <-chan spot, ended <-chan error) spot {
	t.Helper()
	select {
	case at := <-read:
		return at
	case err := <-ended:
		require.FailNow(t, "the track ended", "%v", err)
	case <-within(t, 15*time.Second).Done():
		require.FailNow(t, "no frame comes")
	}
	return spot{}
}

// readAll passes on every frame, and fails at a gap.
func readAll(ctx context.Context, follower *pubsub.Follower, read chan<- spot) error {
	for group, err := range follower.Groups(ctx) {
		if err != nil {
			return err
		}
		if gap := group.Gap(); gap != nil {
			return errors.New(gap.String())
		}
		for frame, err := range group.Frames(ctx) {
			if err != nil {
				return err
			}
			at, err := parse(frame.Payload)
			if err != nil {
				return err
			}
			read <- at
		}
	}
	return io.EOF
}
