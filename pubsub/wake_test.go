package pubsub

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// TestSleepingReaderIsWoken by everything that it could wait for. Closing the reader wakes it
// in any case, so that a wake-up that was lost is a failure and not a hang.
func TestSleepingReaderIsWoken(t *testing.T) {
	reset := streamError(moqerr.StreamApplication)
	for _, c := range []struct {
		name  string
		track bool // the reader waits for a group, else within one
		do    func(tp *TrackProducer, g *GroupProducer)
		err   error
	}{
		{"a frame", false, func(_ *TrackProducer, g *GroupProducer) { _ = g.WriteFrame(Frame{}) }, nil},
		{"the end of the group", false, func(_ *TrackProducer, g *GroupProducer) { _ = g.Close() }, io.EOF},
		{"a reset of the group", false, func(_ *TrackProducer, g *GroupProducer) { g.Fail(reset) }, reset},
		{"a failure of the track within a group", false, func(tp *TrackProducer, _ *GroupProducer) { tp.Fail(reset) }, reset},
		{"a group", true, func(tp *TrackProducer, _ *GroupProducer) { _, _ = tp.AppendGroup() }, nil},
		{"the end of the track", true, func(tp *TrackProducer, _ *GroupProducer) { _ = tp.Close() }, io.EOF},
		{"a failure of the track", true, func(tp *TrackProducer, _ *GroupProducer) { tp.Fail(reset) }, reset},
		{"the end of the track, told before", true, func(tp *TrackProducer, g *GroupProducer) { _ = tp.EndAt(g.Sequence() + 1) }, io.EOF},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			o := NewOrigin()
			tp := newTestTrack(t, o, time.Minute)
			open, err := tp.AppendGroup()
			require.NoError(t, err)
			sub := subscribe(t, o, SubscribeOptions{})
			g, err := sub.NextGroup(t.Context())
			require.NoError(t, err)
			woken := make(chan error, 1)
			go func() {
				var err error
				if c.track {
					_, err = sub.NextGroup(t.Context())
				} else {
					_, err = g.NextFrame(t.Context())
				}
				woken <- err
			}()
			defer sub.Close()
			defer g.Close()
			synctest.Wait()
			require.Empty(t, woken)
			c.do(tp, open)
			synctest.Wait()
			require.Len(t, woken, 1)
			require.Equal(t, c.err, <-woken)
		})
	}
}
