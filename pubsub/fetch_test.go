package pubsub

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func lookup(t testing.TB, o *Origin) *BroadcastConsumer {
	t.Helper()
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	return b
}

func TestFetchFromATrackMadeHere(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	for i := range uint64(3) {
		putGroup(t, tp, i, 0, 4)
	}
	broken := openAt(t, tp, 3, 0, 2)
	broken.Abort(moqerr.StreamCancelled)
	live := openAt(t, tp, 4, 0, 1)
	b := lookup(t, o)
	for _, c := range []struct {
		group uint64
		o     FetchOptions
		want  []string
		err   error
	}{
		{1, FetchOptions{}, []string{"1/0", "1/1", "1/2", "1/3"}, nil},
		{1, FetchOptions{FirstFrame: 2}, []string{"1/2", "1/3"}, nil},
		{1, FetchOptions{FirstFrame: 1, Frames: 2}, []string{"1/1", "1/2"}, nil},
		{1, FetchOptions{FirstFrame: 4}, nil, nil},
		{1, FetchOptions{FirstFrame: 5}, nil, streamError(moqerr.StreamTooFarBehind)},
		{1, FetchOptions{FirstFrame: 2, Frames: 3}, []string{"1/2", "1/3"}, streamError(moqerr.StreamTooFarBehind)},
		{3, FetchOptions{}, nil, streamError(moqerr.StreamNotFound)},
		{7, FetchOptions{}, nil, streamError(moqerr.StreamNotFound)},
	} {
		g, err := b.Fetch(testCtx(t), "t", c.group, c.o)
		var got []string
		if err == nil {
			got, err = readAll(t, g)
		}
		require.Equal(t, c.err, err, "%+v", c)
		require.Equal(t, c.want, got)
	}
	g, err := b.Fetch(testCtx(t), "t", 4, FetchOptions{})
	require.NoError(t, err)
	putFrame(t, live, 0, 1)
	require.NoError(t, live.Close())
	got, err := readAll(t, g)
	require.NoError(t, err)
	require.Equal(t, []string{"4/0", "4/1"}, got, "a live group is followed to its end")
	_, err = b.Fetch(testCtx(t), "none", 4, FetchOptions{})
	require.ErrorIs(t, err, streamError(moqerr.StreamNotFound))
}

// answerFetch answers the feed's next fetch.
func answerFetch(t testing.TB, feed *Feed, first int) (*FetchRequest, *GroupProducer) {
	t.Helper()
	q, err := feed.NextFetch(testCtx(t))
	require.NoError(t, err)
	g, err := q.Accept(TrackInfo{Timescale: 1000}, first)
	require.NoError(t, err)
	return q, g
}

// fetching runs a Fetch of group 3.
func fetching(ctx context.Context, b *BroadcastConsumer, o FetchOptions) <-chan *GroupConsumer {
	out := make(chan *GroupConsumer, 1)
	go func() {
		g, _ := b.Fetch(ctx, "t", 3, o)
		out <- g
	}()
	return out
}

func TestFetchFromASupplier(t *testing.T) {
	o := NewOrigin()
	feed := answering(t, o)
	b := lookup(t, o)
	_, err := b.Fetch(testCtx(t), "t", 3, FetchOptions{})
	require.ErrorIs(t, err, streamError(moqerr.StreamNotFound), "a supplier that answers none")
	feed.AnswerFetches()

	// From the frame that is wanted, or from further ahead.
	for first := range 3 {
		out := fetching(testCtx(t), b, FetchOptions{FirstFrame: 2, Frames: 2})
		q, p := answerFetch(t, feed, first)
		require.Equal(t, uint64(3), q.Group())
		for i := first; i < 5; i++ {
			putFrame(t, p, 0, i)
		}
		g := <-out
		require.Equal(t, 2, g.Index())
		require.NotZero(t, o.held.Load())
		got, err := readAll(t, g)
		require.NoError(t, err)
		require.Equal(t, []string{"3/2", "3/3"}, got)
		<-q.Left()
		require.Zero(t, o.held.Load(), "given back when it was read")
	}

	go func() {
		q, _ := feed.NextFetch(context.Background())
		_, err := q.Accept(TrackInfo{}, 3)
		if err != nil {
			q.Reject(nil)
		}
	}()
	_, err = b.Fetch(testCtx(t), "t", 3, FetchOptions{FirstFrame: 2})
	require.ErrorIs(t, err, streamError(moqerr.StreamNotFound), "not from a frame behind")

	// A reader who leaves takes it back.
	ctx, cancel := context.WithCancel(testCtx(t))
	out := fetching(ctx, b, FetchOptions{})
	q, err := feed.NextFetch(testCtx(t))
	require.NoError(t, err)
	cancel()
	<-q.Left()
	require.Nil(t, <-out)
	_, err = q.Accept(TrackInfo{}, 0)
	require.ErrorIs(t, err, moqerr.ErrClosed)
	require.Zero(t, o.held.Load())

	// What nobody took up ends with the session.
	done := make(chan error, 1)
	go func() {
		_, err := b.Fetch(testCtx(t), "t", 3, FetchOptions{})
		done <- err
	}()
	for queued := 0; queued == 0; runtime.Gosched() {
		feed.mu.Lock()
		queued = len(feed.fetches)
		feed.mu.Unlock()
	}
	feed.Close(errLost)
	require.ErrorIs(t, <-done, errLost)
	_, err = feed.NextFetch(testCtx(t))
	require.ErrorIs(t, err, errLost)
}

// What runs already is not asked for.
func TestFetchLooksIntoTheRunningTrack(t *testing.T) {
	o := NewOrigin()
	l := connect(t, o, []uint64{5}, serving(t, []part{{3, 2, "."}}))
	subscribe(t, o, SubscribeOptions{})
	<-l.served
	g, err := lookup(t, o).Fetch(testCtx(t), "t", 3, FetchOptions{FirstFrame: 1})
	require.NoError(t, err)
	got, err := readAll(t, g)
	require.NoError(t, err)
	require.Equal(t, []string{"3/1"}, got)
}

// TestFetchObeysTheBudget: a fetched group is not worth more than the origin may keep, and
// one that is forgotten does not hold the budget for good.
func TestFetchObeysTheBudget(t *testing.T) {
	o := NewOriginWith(OriginOptions{Budget: 64 << 10})
	feed := answering(t, o)
	feed.AnswerFetches()
	out := fetching(testCtx(t), lookup(t, o), FetchOptions{})
	_, p := answerFetch(t, feed, 0)
	g := <-out
	var err error
	for range 100 {
		if err = p.WriteFrame(Frame{Payload: make([]byte, 4<<10)}); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, moqerr.ErrTooOld)
	_, err = readAll(t, g)
	require.ErrorIs(t, err, streamError(moqerr.StreamOld))
	require.Zero(t, o.held.Load())

	forgetFetched(t, o, feed)
	for begun := time.Now(); o.held.Load() != 0; runtime.Gosched() {
		require.Less(t, time.Since(begun), 10*time.Second)
		runtime.GC()
	}
}

// forgetFetched fetches a group and neither reads nor closes it.
func forgetFetched(t *testing.T, o *Origin, feed *Feed) {
	t.Helper()
	out := fetching(testCtx(t), lookup(t, o), FetchOptions{})
	_, p := answerFetch(t, feed, 0)
	putFrame(t, p, 0, 0)
	require.NotNil(t, <-out)
	require.NotZero(t, o.held.Load())
}

// TestTail: a group without its head is only for readers who have the head.
func TestTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		tp := newTestTrack(t, o, 0)
		whole := subscribe(t, o, SubscribeOptions{Start: ptr(3)})
		behind := subscribe(t, o, SubscribeOptions{Start: ptr(3), FirstFrame: 1})
		exact := subscribe(t, o, SubscribeOptions{Start: ptr(3), FirstFrame: 2})
		ahead := subscribe(t, o, SubscribeOptions{Start: ptr(3), FirstFrame: 3})
		require.Equal(t, ptr(3), tp.Demand().Start)
		require.Zero(t, tp.Demand().FirstFrame)
		require.NoError(t, whole.Update(SubscribeOptions{Start: ptr(4)}))
		require.Equal(t, 1, tp.Demand().FirstFrame)
		require.NoError(t, whole.Update(SubscribeOptions{}))

		g, err := tp.CreateTail(3, 2)
		require.NoError(t, err)
		for i := 2; i < 5; i++ {
			putFrame(t, g, time.Second, i)
		}
		require.NoError(t, g.Close())
		putGroup(t, tp, 4, time.Second, 1)
		for _, c := range []struct {
			c    *TrackConsumer
			want []string
		}{{exact, []string{"3/2", "3/3", "3/4"}}, {ahead, []string{"3/3", "3/4"}}} {
			g, err := c.c.NextGroup(t.Context())
			require.NoError(t, err)
			got, err := readAll(t, g)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		}
		seq, gap := nextSeq(t, behind)
		require.Equal(t, uint64(4), seq)
		require.Equal(t, &Gap{First: 3, Last: 3}, gap)
		_, err = tp.CreateTail(9, maxGroupFrames+1)
		require.ErrorContains(t, err, "first")
		g, err = tp.CreateTail(9, maxGroupFrames-1)
		require.NoError(t, err)
		putFrame(t, g, 0, 0)
		var full *moqerr.StreamError
		require.True(t, errors.As(g.WriteFrame(Frame{}), &full))
		require.Equal(t, moqerr.StreamGroupTooLarge, full.Code, "the head counts")
	})
}

// TestFetchesAreBounded: in number, together with requests; and their groups count against
// their supplier's budget, which cuts them.
func TestFetchesAreBounded(t *testing.T) {
	o := NewOrigin()
	feed := o.FeedWith(NewBudget(1 << 20))
	feed.AnswerFetches()
	h, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{7}})
	require.NoError(t, err)
	ask := func(i uint64) error {
		_, _, err := h.fetch(trackKey{"b", "t"}, i, FetchOptions{})
		return err
	}
	for i := range uint64(maxRequests) {
		require.NoError(t, ask(i))
	}
	require.ErrorIs(t, ask(maxRequests), streamError(moqerr.StreamInternal))
	_, _, err = h.ask(trackKey{"b", "t"}, new(waiter))
	require.ErrorIs(t, err, streamError(moqerr.StreamInternal))

	q, err := feed.NextFetch(testCtx(t))
	require.NoError(t, err)
	g, err := q.Accept(TrackInfo{}, 0)
	require.NoError(t, err)
	require.NoError(t, ask(maxRequests), "an answer makes room")
	written := 0
	for ; err == nil; written++ {
		err = g.WriteFrame(Frame{Payload: make([]byte, 1<<16)})
	}
	require.Greater(t, written, 8)
	require.LessOrEqual(t, written, 16)
	_, err = readAll(t, q.consumer)
	require.Error(t, err)
	require.Zero(t, o.held.Load())
	require.Zero(t, feed.budget.Held())
	require.Empty(t, o.tracks, "nobody would forget it")
	feed.Close(nil)
	require.Zero(t, feed.asked)
	require.Zero(t, feed.names)
}
