package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/pubsub"
)

// The format is upstream's (moq-lite.md §8.1): a group for each minute, the minute
// in front of its seconds, and a frame at once.
func TestTick(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(10*time.Second + 300*time.Millisecond) // it is 2000-01-01 00:00:10.3
		began := time.Now()
		origin := pubsub.NewOrigin()
		broadcast, err := origin.CreateBroadcast("clock")
		require.NoError(t, err)
		track, err := broadcast.CreateTrack("seconds", pubsub.TrackInfo{})
		require.NoError(t, err)
		require.NoError(t, broadcast.Announce())
		c, err := origin.Broadcast(t.Context(), "clock")
		require.NoError(t, err)
		sub, err := c.Subscribe(t.Context(), "seconds", pubsub.SubscribeOptions{})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- tick(ctx, track) }()

		for minute, first := range []int{10, 0, 0} {
			group, err := sub.NextGroup(t.Context())
			require.NoError(t, err)
			require.Equal(t, uint64(minute), group.Sequence())
			frame, err := group.NextFrame(t.Context())
			require.NoError(t, err)
			require.Equal(t, fmt.Sprintf("2000-01-01 00:%02d:", minute), string(frame.Payload))
			for second := first; second < 60; second++ {
				frame, err := group.NextFrame(t.Context())
				require.NoError(t, err)
				require.Equal(t, fmt.Sprintf("%02d", second), string(frame.Payload))
				require.Equal(t, time.Since(began), frame.Timestamp)
				if time.Since(began) > 0 { // the first comes at once, the others when the second begins
					require.Zero(t, time.Now().Nanosecond())
				}
			}
			_, err = group.NextFrame(t.Context())
			require.Equal(t, io.EOF, err)
		}
		group, err := sub.NextGroup(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Millisecond)
		cancel()
		require.NoError(t, <-ended)
		for range 2 { // what was begun is whole
			_, err = group.NextFrame(t.Context())
			require.NoError(t, err)
		}
		_, err = group.NextFrame(t.Context())
		require.Equal(t, io.EOF, err)
	})
}

// What a stranger publishes is shown as far as it makes sense.
func TestShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		origin := pubsub.NewOrigin()
		o := &options{broadcast: "clock", track: "t", out: &out}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- o.show(ctx, origin) }()
		broadcast, err := origin.CreateBroadcast("clock")
		require.NoError(t, err)
		track, err := broadcast.CreateTrack("t", pubsub.TrackInfo{})
		require.NoError(t, err)
		require.NoError(t, broadcast.Announce())
		for _, minute := range []struct {
			sequence uint64
			frames   []string
		}{
			{0, []string{"12:00:", "58", "59"}},
			{3, []string{"12:03:", "\x1b[2J", "€"}},
		} {
			group, err := track.CreateGroup(minute.sequence)
			require.NoError(t, err)
			for _, frame := range minute.frames {
				require.NoError(t, group.WriteFrame(pubsub.Frame{Payload: []byte(frame)}))
			}
			require.NoError(t, group.Close())
			time.Sleep(time.Minute)
		}
		cancel()
		require.NoError(t, <-ended)
		require.Equal(t, "12:00:58\n12:00:59\n-- lost groups 1 to 2 from frame 0 of the first\n"+
			"12:03:\"\\x1b[2J\"\n12:03:\"\\u20ac\"\n", out.String())
	})
}
