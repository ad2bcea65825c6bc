package pubsub

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

var errLost = errors.New("session lost")

// ask subscribes in the background.
func ask(t testing.TB, ctx context.Context, o *Origin, path string, opts SubscribeOptions) <-chan asked {
	t.Helper()
	b, err := o.Lookup(path, 0)
	require.NoError(t, err)
	out := make(chan asked, 1)
	go func() {
		c, err := b.Subscribe(ctx, "t", opts)
		out <- asked{c, err}
	}()
	return out
}

type asked struct {
	c   *TrackConsumer
	err error
}

func nextRequest(t testing.TB, f interface {
	Next(context.Context) (*Request, error)
},
) *Request {
	t.Helper()
	q, err := f.Next(testCtx(t))
	require.NoError(t, err)
	return q
}

// waitReaders waits until n want the request.
func waitReaders(t testing.TB, q *Request, n int) {
	t.Helper()
	require.Eventually(t, func() bool { return q.Demand().Readers == n }, 10*time.Second, time.Millisecond)
}

func TestRequestAccept(t *testing.T) {
	o := NewOrigin()
	f := o.Feed()
	_, err := f.Attach(Route{Prefix: "p", Hops: []uint64{5}})
	require.NoError(t, err)
	first := ask(t, testCtx(t), o, "p/x", SubscribeOptions{Priority: 3, End: ptr(100)})
	q := nextRequest(t, f)
	require.Equal(t, "p/x", q.Path())
	require.Equal(t, "t", q.Track())
	d := q.Demand()
	require.Equal(t, 1, d.Readers)
	require.Equal(t, DefaultMaxAge, d.MaxAge)
	second := ask(t, testCtx(t), o, "p/x", SubscribeOptions{Priority: 8, MaxAge: LiveOnly})
	select { // it is closed a moment after the count has changed
	case <-d.Changed:
	case <-testCtx(t).Done():
		require.Fail(t, "another one came, and nobody was told")
	}
	waitReaders(t, q, 2)
	require.Equal(t, uint8(8), q.Demand().Priority)
	require.Nil(t, q.Demand().End)
	_, err = f.Next(expired())
	require.ErrorIs(t, err, context.DeadlineExceeded, "shared: asked once")

	requireOpen(t, q.Done(), "not answered")
	tp, err := q.Accept(TrackInfo{Timescale: 1000})
	require.NoError(t, err)
	requireClosed(t, q.Done(), "answered")
	require.Equal(t, 2, tp.Demand().Readers, "counted before Accept returns")
	_, err = q.Accept(TrackInfo{})
	require.ErrorIs(t, err, moqerr.ErrClosed)
	q.Reject(nil) // too late

	third := ask(t, testCtx(t), o, "p/x", SubscribeOptions{})
	putGroup(t, tp, 70, 0, 1)
	for _, got := range []asked{<-first, <-second, <-third} {
		require.NoError(t, got.err)
		seq, _ := nextSeq(t, got.c)
		require.Equal(t, uint64(70), seq)
	}
	other := ask(t, testCtx(t), o, "p/y", SubscribeOptions{})
	require.Equal(t, "p/y", nextRequest(t, f).Path(), "another path is another track")
	f.Close(nil)
	require.Error(t, (<-other).err)
}

func TestAcceptedNumberingIsThePeers(t *testing.T) {
	o := NewOriginWith(OriginOptions{FirstSequence: 500})
	h := attach(t, o, Route{Prefix: "p"})
	got := ask(t, testCtx(t), o, "p", SubscribeOptions{})
	tp, err := nextRequest(t, h).Accept(TrackInfo{})
	require.NoError(t, err)
	putGroup(t, tp, 3, 0, 1)
	seq, _ := nextSeq(t, (<-got).c)
	require.Equal(t, uint64(3), seq)
	putGroup(t, tp, 9000, 0, 1)
	require.NoError(t, tp.Close())
	g, err := newTestTrack(t, o, 0).AppendGroup()
	require.NoError(t, err)
	require.Equal(t, uint64(500), g.Sequence(), "a peer's numbers do not count")
}

func TestRequestReject(t *testing.T) {
	o := NewOrigin()
	h := attach(t, o, Route{Prefix: "p"})
	refused := &moqerr.StreamError{Code: moqerr.StreamNotFound, Remote: true}
	one, two := ask(t, testCtx(t), o, "p", SubscribeOptions{}), ask(t, testCtx(t), o, "p", SubscribeOptions{})
	q := nextRequest(t, h)
	waitReaders(t, q, 2)
	q.Reject(refused)
	require.Same(t, refused, (<-one).err)
	require.Same(t, refused, (<-two).err)
	again := ask(t, testCtx(t), o, "p", SubscribeOptions{})
	q = nextRequest(t, h)
	q.Reject(nil)
	require.ErrorIs(t, (<-again).err, &moqerr.StreamError{Code: moqerr.StreamNotFound})
}

func TestRequestAbandoned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		h := attach(t, o, Route{Prefix: "p"})
		ctx, cancel := context.WithCancel(testCtx(t))
		one, two := ask(t, ctx, o, "p", SubscribeOptions{}), ask(t, ctx, o, "p", SubscribeOptions{})
		q := nextRequest(t, h)
		waitReaders(t, q, 2)
		cancel()
		require.ErrorIs(t, (<-one).err, context.Canceled)
		require.ErrorIs(t, (<-two).err, context.Canceled)
		requireClosed(t, q.Done(), "nobody wants it")
		_, err := q.Accept(TrackInfo{})
		require.ErrorIs(t, err, moqerr.ErrClosed)
		require.Empty(t, h.tracks)

		// One that nobody fetched leaves the queue too.
		b, err := o.Lookup("p", 0)
		require.NoError(t, err)
		_, err = b.Subscribe(expired(), "t", SubscribeOptions{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Empty(t, h.feed.queue)
		_, err = b.Subscribe(ctx, "t", SubscribeOptions{})
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestRetraction(t *testing.T) {
	o := NewOrigin()
	f := o.Feed()
	h, err := f.Attach(Route{Prefix: "p", Hops: []uint64{5}})
	require.NoError(t, err)
	running := ask(t, testCtx(t), o, "p/run", SubscribeOptions{})
	tp, err := nextRequest(t, f).Accept(TrackInfo{})
	require.NoError(t, err)
	c := (<-running).c
	b, err := o.Lookup("p", 0)
	require.NoError(t, err)
	pending := ask(t, testCtx(t), o, "p/wait", SubscribeOptions{})
	q := nextRequest(t, f)

	h.Close(nil)
	require.ErrorIs(t, (<-pending).err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})
	requireClosed(t, q.Done(), "the route is gone")
	requireClosed(t, b.Closed(), "the route is gone")
	_, err = b.Subscribe(bg, "t", SubscribeOptions{})
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})
	putGroup(t, tp, 0, 0, 1)
	seq, _ := nextSeq(t, c)
	require.Equal(t, uint64(0), seq, "what runs goes on")
	require.Len(t, f.routes, 1, "still owned")
	f.Close(errLost)
	_, err = c.NextGroup(testCtx(t))
	require.Equal(t, errLost, err, "and ends with the session")
	require.Empty(t, f.routes)
}

func TestFeedClose(t *testing.T) {
	o := NewOrigin()
	f := o.Feed()
	for _, p := range []string{"p", "q"} {
		_, err := f.Attach(Route{Prefix: p, Hops: []uint64{5}})
		require.NoError(t, err)
	}
	running := ask(t, testCtx(t), o, "p", SubscribeOptions{})
	tp, err := nextRequest(t, f).Accept(TrackInfo{})
	require.NoError(t, err)
	c := (<-running).c
	b, err := o.Lookup("q", 0)
	require.NoError(t, err)
	pending := ask(t, testCtx(t), o, "q", SubscribeOptions{})
	nextRequest(t, f)
	whole := openAt(t, tp, 0, 0, 2)
	require.NoError(t, whole.Close())
	openAt(t, tp, 1, 0, 1)
	waiting := make(chan error)
	go func() {
		_, err := f.Next(testCtx(t))
		waiting <- err
	}()
	f.Close(errLost)
	f.Close(errors.New("later"))
	require.Equal(t, errLost, <-waiting)
	require.Equal(t, errLost, (<-pending).err)
	_, err = b.Subscribe(bg, "t", SubscribeOptions{})
	require.Equal(t, errLost, err)
	_, err = f.Attach(Route{Prefix: "p"})
	require.Equal(t, errLost, err)
	_, err = o.Lookup("p", 0)
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})

	g, err := c.NextGroup(bg)
	require.NoError(t, err)
	_, err = readAll(t, g)
	require.NoError(t, err)
	g, err = c.NextGroup(bg)
	require.NoError(t, err)
	got, err := readAll(t, g)
	require.Equal(t, []string{"1/0"}, got, "frames that are here stay readable")
	require.Equal(t, errLost, err)
	_, err = c.NextGroup(bg)
	require.Equal(t, errLost, err)
	_, err = tp.AppendGroup()
	require.ErrorIs(t, err, moqerr.ErrClosed)
	require.Zero(t, o.held.Load())
}

func TestRequestsCloseWithCauseLeavesOthersAlone(t *testing.T) {
	o := NewOrigin()
	f := o.Feed()
	var consumers []*TrackConsumer
	var handles []*Requests
	for _, p := range []string{"p", "q"} {
		h, err := f.Attach(Route{Prefix: p})
		require.NoError(t, err)
		handles = append(handles, h)
		got := ask(t, testCtx(t), o, p, SubscribeOptions{})
		_, err = nextRequest(t, h).Accept(TrackInfo{})
		require.NoError(t, err)
		consumers = append(consumers, (<-got).c)
	}
	handles[0].Close(io.EOF)
	_, err := consumers[0].NextGroup(bg)
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamInternal}, "a cause is never taken for an end")
	requireNone(t, consumers[1].NextGroup)
	_, err = f.Next(expired())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	single := attach(t, o, Route{Prefix: "alone"})
	single.Close(errLost)
	_, err = single.Next(bg)
	require.Equal(t, errLost, err)
}

func TestRelease(t *testing.T) {
	o := NewOrigin()
	h := attach(t, o, Route{Prefix: "p"})
	got := ask(t, testCtx(t), o, "p", SubscribeOptions{})
	tp, err := nextRequest(t, h).Accept(TrackInfo{})
	require.NoError(t, err)
	c := (<-got).c
	open := openAt(t, tp, 0, 0, 1)
	require.False(t, tp.Release(), "it has a reader")
	changed := tp.Demand().Changed
	require.NoError(t, c.Close())
	requireClosed(t, changed, "nobody reads")
	require.True(t, tp.Release())
	require.False(t, tp.Release())
	require.ErrorIs(t, open.WriteFrame(Frame{}), moqerr.ErrClosed)
	require.Empty(t, h.tracks, "forgotten")
	require.Zero(t, o.held.Load())

	again := ask(t, testCtx(t), o, "p", SubscribeOptions{})
	tp, err = nextRequest(t, h).Accept(TrackInfo{})
	require.NoError(t, err, "the next reader asks again")
	require.NoError(t, (<-again).err)
	require.False(t, tp.Release())
}

// Release and Subscribe at the same time: a reader never gets a released track.
func TestReleaseRace(t *testing.T) {
	o := NewOrigin()
	h := attach(t, o, Route{Prefix: "p"})
	ctx, cancel := context.WithCancel(testCtx(t))
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			q, err := h.Next(ctx)
			if err != nil {
				return
			}
			tp, err := q.Accept(TrackInfo{})
			if err != nil {
				continue
			}
			wg.Go(func() {
				_ = tp.WriteNow([]byte("x"))
				for ctx.Err() == nil && !tp.Release() {
					select {
					case <-tp.Demand().Changed:
					case <-ctx.Done():
					}
				}
			})
		}
	})
	b, err := o.Lookup("p", 0)
	require.NoError(t, err)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for range 500 {
				c, err := b.Subscribe(ctx, "t", SubscribeOptions{})
				if !errors.Is(err, nil) {
					t.Error(err)
					return
				}
				if _, err := c.NextGroup(ctx); err != nil {
					t.Error(err)
				}
				_ = c.Close()
			}
		})
	}
	readers.Wait()
	h.Close(errLost)
	cancel()
	wg.Wait()
	require.Empty(t, h.tracks)
}

func TestEnds(t *testing.T) {
	setup := func(t *testing.T, opts SubscribeOptions) (*TrackProducer, *TrackConsumer) {
		o := NewOrigin()
		h := attach(t, o, Route{Prefix: "p"})
		got := ask(t, testCtx(t), o, "p", opts)
		tp, err := nextRequest(t, h).Accept(TrackInfo{})
		require.NoError(t, err)
		return tp, (<-got).c
	}
	t.Run("START", func(t *testing.T) {
		tp, c := setup(t, SubscribeOptions{Start: ptr(2)})
		tp.StartAt(5)
		_, err := tp.CreateGroup(4)
		require.ErrorIs(t, err, moqerr.ErrTooOld)
		putGroup(t, tp, 5, 0, 1)
		seq, gap := nextSeq(t, c)
		require.Equal(t, uint64(5), seq)
		require.Equal(t, &moqerr.Gap{First: 2, Last: 4}, gap)
	})
	t.Run("START below the first to come", func(t *testing.T) {
		tp, c := setup(t, SubscribeOptions{})
		tp.StartAt(5)
		putGroup(t, tp, 6, 0, 1)
		seq, gap := nextSeq(t, c)
		require.Equal(t, uint64(6), seq, "START is no promise that its group comes")
		require.Nil(t, gap)
	})
	t.Run("END", func(t *testing.T) {
		tp, c := setup(t, SubscribeOptions{})
		putGroup(t, tp, 0, 0, 1)
		putGroup(t, tp, 3, 0, 1)
		malformed := &moqerr.StreamError{Code: moqerr.StreamMalformed}
		require.ErrorIs(t, tp.EndAt(3), malformed, "3 is here")
		require.NoError(t, tp.EndAt(5))
		require.NoError(t, tp.EndAt(5))
		require.ErrorIs(t, tp.EndAt(6), malformed)
		_, err := tp.CreateGroup(5)
		require.ErrorIs(t, err, malformed)
		seq, _ := nextSeq(t, c)
		require.Equal(t, uint64(0), seq)
		tp.Drop(1, 2)
		seq, gap := nextSeq(t, c)
		require.Equal(t, uint64(3), seq, "DROP: not waited for")
		require.Equal(t, &moqerr.Gap{First: 1, Last: 2}, gap)
		requireNone(t, c.NextGroup)
		putGroup(t, tp, 4, 0, 1)
		seq, _ = nextSeq(t, c)
		require.Equal(t, uint64(4), seq)
		_, err = c.NextGroup(bg)
		require.Equal(t, io.EOF, err)
		final, known := c.Final()
		require.True(t, known)
		require.Equal(t, uint64(5), final)
	})
	t.Run("END without groups", func(t *testing.T) {
		tp, c := setup(t, SubscribeOptions{})
		require.NoError(t, tp.EndAt(0))
		_, err := c.NextGroup(bg)
		require.Equal(t, io.EOF, err)
	})
	t.Run("DROP to the END", func(t *testing.T) {
		tp, c := setup(t, SubscribeOptions{Start: ptr(0)})
		tp.Drop(0, 9)
		require.NoError(t, tp.EndAt(10))
		_, err := c.NextGroup(bg)
		require.Equal(t, io.EOF, err)
	})
	t.Run("DROP wakes", func(t *testing.T) {
		tp, c := setup(t, SubscribeOptions{Start: ptr(0)})
		putGroup(t, tp, 2, 0, 1)
		var wg sync.WaitGroup
		wg.Go(func() {
			seq, _ := nextSeq(t, c)
			require.Equal(t, uint64(2), seq)
		})
		tp.Drop(0, 1)
		wg.Wait()
	})
}
