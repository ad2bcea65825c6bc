package pubsub

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func TestTrackInfoOfALocalTrack(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 7*time.Second)
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	info, err := b.TrackInfo(testCtx(t), "t")
	require.NoError(t, err)
	require.Equal(t, tp.Info(), info)
	require.Zero(t, tp.Demand().Readers, "asking is not reading")

	_, err = b.TrackInfo(testCtx(t), "nope")
	require.ErrorIs(t, err, streamError(moqerr.StreamNotFound))
	tp.Abort(moqerr.StreamMalformed)
	_, err = b.TrackInfo(testCtx(t), "t")
	require.ErrorIs(t, err, streamError(moqerr.StreamMalformed))

	ended, cancel := context.WithCancel(bg)
	cancel()
	_, err = b.TrackInfo(ended, "t")
	require.ErrorIs(t, err, context.Canceled)
}

func TestTrackInfoGoneWithItsBroadcast(t *testing.T) {
	o := NewOrigin()
	producer := announced(t, o, "b")
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	producer.Unannounce()
	_, err = b.TrackInfo(testCtx(t), "t")
	require.ErrorIs(t, err, streamError(moqerr.StreamUnroutable))
}

// TestTrackInfoFromElsewhere: whoever asks for the properties makes a request that wants
// no groups, and joins one that is under way.
func TestTrackInfoFromElsewhere(t *testing.T) {
	o := NewOrigin()
	routes, err := o.Attach(Route{Prefix: "b", Hops: []uint64{9}})
	require.NoError(t, err)
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	answers := make(chan TrackInfo, 2)
	ask := func() {
		info, err := b.TrackInfo(testCtx(t), "t")
		if err == nil {
			answers <- info
		}
	}
	go ask()
	q, err := routes.Next(testCtx(t))
	require.NoError(t, err)
	require.Zero(t, q.Demand().Readers)
	read := make(chan *TrackConsumer, 1)
	changed := q.Demand().Changed
	go func() {
		c, err := b.Subscribe(testCtx(t), "t", SubscribeOptions{Priority: 5})
		if err == nil {
			read <- c
		}
	}()
	<-changed
	require.Equal(t, 1, q.Demand().Readers)
	require.Equal(t, uint8(5), q.Demand().Priority)

	tp, err := q.Accept(TrackInfo{Timescale: 50})
	require.NoError(t, err)
	require.Equal(t, uint64(50), (<-answers).Timescale)
	require.NoError(t, (<-read).Close())
	ask() // it runs: answered on the spot
	require.Equal(t, tp.Info(), <-answers)
	require.True(t, tp.Release(), "nobody reads it")
}

func TestTrackInfoTakenBackOrRejected(t *testing.T) {
	o := NewOrigin()
	routes, err := o.Attach(Route{Prefix: "b", Hops: []uint64{9}})
	require.NoError(t, err)
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)

	ctx, cancel := context.WithCancel(bg)
	failed := make(chan error, 1)
	go func() {
		_, err := b.TrackInfo(ctx, "t")
		failed <- err
	}()
	q, err := routes.Next(testCtx(t))
	require.NoError(t, err)
	cancel()
	require.ErrorIs(t, <-failed, context.Canceled)
	<-q.Done()
	_, err = q.Accept(TrackInfo{})
	require.ErrorIs(t, err, moqerr.ErrClosed)

	go func() {
		_, err := b.TrackInfo(bg, "t")
		failed <- err
	}()
	q, err = routes.Next(testCtx(t))
	require.NoError(t, err)
	q.Reject(streamError(moqerr.StreamNotFound))
	require.ErrorIs(t, <-failed, streamError(moqerr.StreamNotFound))

	routes.Close(nil)
	_, err = b.TrackInfo(bg, "t")
	require.ErrorIs(t, err, streamError(moqerr.StreamUnroutable))
}

func TestFloor(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 10*time.Second)
	empty := subscribe(t, o, SubscribeOptions{})
	require.Zero(t, empty.Floor(), "no group yet: whatever comes first")
	for seq := range uint64(5) {
		putGroup(t, tp, seq, time.Duration(seq)*4*time.Second, 1) // 0 is evicted by the last
	}
	require.Equal(t, uint64(4), subscribe(t, o, SubscribeOptions{}).Floor(), "the latest")
	require.Equal(t, uint64(1), subscribe(t, o, SubscribeOptions{Start: ptr(0)}).Floor(), "what is kept")
	require.Equal(t, uint64(3), subscribe(t, o, SubscribeOptions{Start: ptr(3)}).Floor())
	require.Equal(t, uint64(2), subscribe(t, o, SubscribeOptions{Start: ptr(0), MaxAge: 5 * time.Second}).Floor(), "what is not too old: 3 begins 4 s before the newest")
	require.Equal(t, uint64(9), subscribe(t, o, SubscribeOptions{Start: ptr(9)}).Floor(), "what will come")
}

func TestSize(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	g := openAt(t, tp, 0, 0, 3)
	c, err := subscribe(t, o, SubscribeOptions{}).NextGroup(testCtx(t))
	require.NoError(t, err)
	require.Equal(t, 3*(3+frameHead), c.Size(), "three times i/j")
	require.Equal(t, 3, c.Buffered())
	putFrame(t, g, time.Minute, 3)
	require.Equal(t, 4*(3+frameHead), c.Size())
	_, err = c.NextFrame(testCtx(t))
	require.NoError(t, err)
	require.Equal(t, 3, c.Buffered())
}

// TestWhatIsHereGoesBeforeTheEndOfCtx: a session that drains reads on with a context that
// has ended, until nothing is left.
func TestWhatIsHereGoesBeforeTheEndOfCtx(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Minute)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
	putGroup(t, tp, 0, 0, 2)
	putGroup(t, tp, 1, time.Second, 1)
	ended, cancel := context.WithCancel(bg)
	cancel()
	for seq := range uint64(2) {
		g, err := c.NextArrival(ended)
		require.NoError(t, err)
		require.Equal(t, seq, g.Sequence())
		var dst [4]RawFrame
		n, err := g.ReadRaw(ended, dst[:])
		require.NoError(t, err)
		require.Equal(t, int(2-seq), n)
	}
	_, err := c.NextArrival(ended)
	require.ErrorIs(t, err, context.Canceled)
}

// A group that is missing may still arrive out of order: no floor goes past it.
func TestFloorStaysBelowWhatIsMissing(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(2), MaxAge: 2 * time.Second})
	require.Equal(t, uint64(2), c.Floor())
	putGroup(t, tp, 5, 5*time.Second, 1)
	require.Equal(t, uint64(2), c.Floor(), "2 to 4 may come")
	putGroup(t, tp, 2, 0, 1)
	putGroup(t, tp, 3, time.Second, 1)
	require.Equal(t, uint64(3), c.Floor(), "2 is too old; 3 is only as old as 5 says")
	putGroup(t, tp, 6, time.Minute, 1)
	require.Equal(t, uint64(4), c.Floor(), "3 is too old; 4 may come")
	putGroup(t, tp, 7, time.Hour, 1)
	require.True(t, c.Stale(5))
	require.Equal(t, uint64(4), c.Floor(), "4 may still come, though 5 is too old")
	tp.StartAt(5)
	require.Equal(t, uint64(6), c.Floor(), "4 will not come")
}
