package pubsub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// answering attaches a feed with a route to "b" of publisher 5.
func answering(t testing.TB, o *Origin) *Feed {
	t.Helper()
	feed := o.Feed()
	_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{5}})
	require.NoError(t, err)
	return feed
}

// accept answers the next request.
func accept(t testing.TB, feed *Feed) *TrackProducer {
	t.Helper()
	q, err := feed.Next(testCtx(t))
	require.NoError(t, err)
	tp, err := q.Accept(TrackInfo{Timescale: 1000})
	require.NoError(t, err)
	return tp
}

// TestFollowUpdateWhileAsking: the request and the subscription are for what is wanted
// now.
func TestFollowUpdateWhileAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		feed := answering(t, o)
		f := o.Follow("b", "t", FollowOptions{})
		defer f.Close()
		done := background(t.Context(), f)
		q, err := feed.Next(t.Context())
		require.NoError(t, err)
		changed := q.Demand().Changed
		require.NoError(t, f.Update(SubscribeOptions{Priority: 9, Start: ptr(3)}))
		<-changed
		require.Equal(t, uint8(9), q.Demand().Priority)
		require.Equal(t, ptr(3), q.Demand().Start)

		// Accepted, but the reader has not looked.
		tp, err := q.Accept(TrackInfo{})
		require.NoError(t, err)
		require.Equal(t, uint8(9), tp.Demand().Priority)
		require.NoError(t, f.Update(SubscribeOptions{Priority: 8}))
		synctest.Wait()
		require.Equal(t, uint8(8), tp.Demand().Priority)
		putGroup(t, tp, 3, 0, 1)
		require.NoError(t, <-done)

		// Once groups were delivered it goes on behind them, whatever Start is: another way
		// is there already.
		feed.Close(errLost)
		feed = answering(t, o)
		done = background(t.Context(), f)
		q, err = feed.Next(t.Context())
		require.NoError(t, err)
		require.NoError(t, f.Update(SubscribeOptions{Priority: 7, Start: ptr(1)}))
		synctest.Wait() // its reader may not have got to where it hears of updates
		require.Equal(t, uint8(7), q.Demand().Priority)
		require.Equal(t, ptr(4), q.Demand().Start)
		require.NoError(t, f.Close())
		require.ErrorIs(t, <-done, moqerr.ErrClosed)
	})
}

// TestFollowUpdateNextToAsking: an update that comes between the look at the options and
// the answer counts.
func TestFollowUpdateNextToAsking(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	f := follow(t, o, FollowOptions{})
	a := &attempt{rev: f.rev, broadcast: lookup(t, o)}
	require.NoError(t, f.Update(SubscribeOptions{Priority: 9}))
	_, err := f.begin(a, subscribe(t, o, SubscribeOptions{}))
	require.NoError(t, err)
	require.Equal(t, uint8(9), tp.Demand().Priority)
}

// TestFollowPolled: a reader with short calls gets an answer that takes longer.
func TestFollowPolled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		feed := answering(t, o)
		f := o.Follow("b", "t", FollowOptions{})
		defer f.Close()
		short := func() (*GroupConsumer, error) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			return f.NextGroup(ctx)
		}
		_, err := short()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		q, err := feed.Next(t.Context())
		require.NoError(t, err)
		for range 5 {
			_, err := short()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, 1, q.Demand().Readers, "one reader, still asking")
		tp, err := q.Accept(TrackInfo{})
		require.NoError(t, err)
		putGroup(t, tp, 4, 0, 1)
		g, err := short()
		require.NoError(t, err)
		require.Equal(t, uint64(4), g.Sequence())
		require.Equal(t, FollowState{Live: true, Announced: true}, f.State())
	})
}

// TestFollowCloseTakesTheRequestBack: nothing is left of what was asked for, before the
// answer and after it, while nobody reads.
func TestFollowCloseTakesTheRequestBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		feed := answering(t, o)
		f := o.Follow("b", "t", FollowOptions{})
		_, err := f.NextGroup(expired())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		q, err := feed.Next(testCtx(t))
		require.NoError(t, err)
		require.NoError(t, f.Close())
		select {
		case <-q.Done():
		default:
			t.Fatal("the request is still open")
		}
		_, err = q.Accept(TrackInfo{})
		require.ErrorIs(t, err, moqerr.ErrClosed)

		f = o.Follow("b", "t", FollowOptions{})
		_, err = f.NextGroup(expired())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		tp := accept(t, feed)
		require.Equal(t, 1, tp.Demand().Readers)
		require.NoError(t, f.Close())
		require.Zero(t, tp.Demand().Readers)
		_, err = f.NextGroup(testCtx(t))
		require.ErrorIs(t, err, moqerr.ErrClosed)
	})
}

// TestFollowCloseEndsTheSubscription: a Follower leaves no reader of the track behind.
func TestFollowCloseEndsTheSubscription(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	putGroup(t, tp, 0, 0, 1)
	f := o.Follow("b", "t", FollowOptions{})
	handOut(t, f, 1)
	require.Equal(t, 1, tp.Demand().Readers)
	require.NoError(t, f.Close())
	require.Zero(t, tp.Demand().Readers)
}

// TestFollowRefusedWhileNobodyReads: the next call hears of it, and asks again.
func TestFollowRefusedWhileNobodyReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		feed := answering(t, o)
		f := follow(t, o, FollowOptions{})
		_, err := f.NextGroup(expired())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		q, err := feed.Next(testCtx(t))
		require.NoError(t, err)
		q.Reject(nil)
		_, err = f.NextGroup(testCtx(t))
		require.ErrorIs(t, err, streamError(moqerr.StreamNotFound))
		done := background(testCtx(t), f)
		putGroup(t, accept(t, feed), 0, 0, 1)
		require.NoError(t, <-done)
	})
}
