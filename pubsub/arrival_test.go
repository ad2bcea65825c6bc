package pubsub

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func arrivals(t testing.TB, c *TrackConsumer, n int) (seqs []uint64) {
	t.Helper()
	for range n {
		g, err := c.NextArrival(testCtx(t))
		require.NoError(t, err)
		seqs = append(seqs, g.Sequence())
	}
	return seqs
}

func TestArrivalOrder(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	for _, seq := range []uint64{4, 7, 5} {
		putGroup(t, tp, seq, 0, 1)
	}
	latest := subscribe(t, o, SubscribeOptions{})
	from := subscribe(t, o, SubscribeOptions{Start: ptr(5)})
	require.Equal(t, []uint64{7, 5}, arrivals(t, from, 2))
	require.Equal(t, []uint64{7}, arrivals(t, latest, 1))
	for _, seq := range []uint64{9, 6, 8} {
		putGroup(t, tp, seq, 0, 1)
	}
	require.Equal(t, []uint64{9, 6, 8}, arrivals(t, from, 3), "late ones too")
	require.Equal(t, []uint64{9, 8}, arrivals(t, latest, 2), "6 is below where it began")
	requireNone(t, latest.NextArrival)
	require.NoError(t, tp.Close())
	_, err := latest.NextArrival(bg)
	require.Equal(t, io.EOF, err)
}

func TestArrivalLeavesOutWhatIsTooOld(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0), MaxAge: 2 * time.Second})
	for i := range uint64(10) {
		putGroup(t, tp, i, time.Duration(i)*time.Second, 1)
	}
	require.Equal(t, []uint64{6, 7, 8, 9}, arrivals(t, c, 4))
	requireNone(t, c.NextArrival)
}

func TestArrivalEndHoldsBack(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0), End: ptr(2)})
	for _, seq := range []uint64{1, 5, 3, 0, 2, 4} {
		putGroup(t, tp, seq, 0, 1)
	}
	require.Equal(t, []uint64{1, 0, 2}, arrivals(t, c, 3))
	requireNone(t, c.NextArrival)
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(0), End: ptr(4)}))
	require.Equal(t, []uint64{3, 4}, arrivals(t, c, 2))
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(0)}))
	putGroup(t, tp, 6, 0, 1)
	require.Equal(t, []uint64{5, 6}, arrivals(t, c, 2))
}

func TestArrivalErrorComesLast(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{})
	putGroup(t, tp, 3, 0, 1)
	putGroup(t, tp, 8, 0, 1)
	tp.Abort(moqerr.StreamCancelled)
	var got []uint64
	var last error
	for g, err := range c.Arrivals(testCtx(t)) {
		if last = err; err == nil {
			got = append(got, g.Sequence())
		}
	}
	require.Equal(t, []uint64{3, 8}, got)
	require.Equal(t, &moqerr.StreamError{Code: moqerr.StreamCancelled}, last)
}

func TestArrivalEndsWhenAllIsThere(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
	putGroup(t, tp, 1, 0, 1)
	require.NoError(t, tp.EndAt(2))
	require.Equal(t, []uint64{1}, arrivals(t, c, 1))
	requireNone(t, c.NextArrival)
	putGroup(t, tp, 0, 0, 1)
	require.Equal(t, []uint64{0}, arrivals(t, c, 1))
	_, err := c.NextArrival(bg)
	require.Equal(t, io.EOF, err)
}

func TestStale(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 10*time.Second)
	c := subscribe(t, o, SubscribeOptions{MaxAge: 3 * time.Second})
	putGroup(t, tp, 0, 0, 1)
	_, ok := c.StaleIn(0)
	require.False(t, ok, "the latest group is never stale")
	g, err := tp.CreateGroup(1)
	require.NoError(t, err)
	left, ok := c.StaleIn(0)
	require.True(t, ok, "what comes behind it may begin soon")
	require.Equal(t, 3*time.Second, left)
	putFrame(t, g, time.Second, 1)
	left, ok = c.StaleIn(0)
	require.True(t, ok)
	require.Equal(t, 3*time.Second, left)
	putFrame(t, g, 3*time.Second, 1)
	left, _ = c.StaleIn(0)
	require.Equal(t, time.Second, left)
	require.False(t, c.Stale(0))
	putFrame(t, g, 4001*time.Millisecond, 2)
	left, ok = c.StaleIn(0)
	require.True(t, ok)
	require.Zero(t, left)
	require.True(t, c.Stale(0))
	require.False(t, c.Stale(1))

	putGroup(t, tp, 2, time.Hour, 1)
	putGroup(t, tp, 3, 2*time.Hour, 1)
	require.True(t, c.Stale(0), "not kept any more")
	left, ok = c.StaleIn(1)
	require.True(t, ok)
	require.Zero(t, left)
}

// End is a pause: what it holds back is still delivered after the track has ended, and
// io.EOF comes behind it.
func TestArrivalEndHoldsBackTheEndOfTheTrack(t *testing.T) {
	for name, end := range map[string]func(*TrackProducer) error{
		"closed":        func(tp *TrackProducer) error { return tp.Close() },
		"its end known": func(tp *TrackProducer) error { return tp.EndAt(4) },
	} {
		t.Run(name, func(t *testing.T) {
			o := NewOrigin()
			tp := newTestTrack(t, o, 0)
			c := subscribe(t, o, SubscribeOptions{Start: ptr(0), End: ptr(1)})
			for _, seq := range []uint64{0, 1, 2, 3} {
				putGroup(t, tp, seq, 0, 1)
			}
			require.NoError(t, end(tp))
			require.Equal(t, []uint64{0, 1}, arrivals(t, c, 2))
			requireNone(t, c.NextArrival)
			require.NoError(t, c.Update(SubscribeOptions{Start: ptr(0), End: ptr(2)}))
			require.Equal(t, []uint64{2}, arrivals(t, c, 1))
			requireNone(t, c.NextArrival)
			require.NoError(t, c.Update(SubscribeOptions{Start: ptr(0)}))
			require.Equal(t, []uint64{3}, arrivals(t, c, 1))
			_, err := c.NextArrival(testCtx(t))
			require.Equal(t, io.EOF, err)
		})
	}
}

// What a higher Start gave up is not held back any more: a reader that sleeps behind the
// track's end gets io.EOF.
func TestArrivalHoldsNothingBackBelowStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		tp := newTestTrack(t, o, 0)
		c := subscribe(t, o, SubscribeOptions{Start: ptr(0), End: ptr(1)})
		putGroup(t, tp, 2, 0, 1)
		putGroup(t, tp, 3, 0, 1)
		require.NoError(t, tp.Close())
		ended := make(chan error, 1)
		go func() {
			_, err := c.NextArrival(t.Context())
			ended <- err
		}()
		synctest.Wait()
		require.Empty(t, ended, "2 and 3 are held back")
		require.NoError(t, c.Update(SubscribeOptions{Start: ptr(4), End: ptr(1)}))
		require.Equal(t, io.EOF, <-ended)
	})
}

// A Start that moves up, and an end that is told before the last groups: those that are
// still missing are waited for, in whatever order.
func TestArrivalEndIsNotEarly(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
	for seq := range uint64(4) {
		putGroup(t, tp, seq, 0, 1)
	}
	arrivals(t, c, 4)
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(6)}))
	require.NoError(t, tp.EndAt(9))
	for _, seq := range []uint64{8, 6, 7} {
		requireNone(t, c.NextArrival)
		putGroup(t, tp, seq, 0, 1)
		require.Equal(t, []uint64{seq}, arrivals(t, c, 1))
	}
	_, err := c.NextArrival(testCtx(t))
	require.Equal(t, io.EOF, err)
}

// What was evicted cannot come any more, so that it does not delay the end.
func TestArrivalEndsPastTheEvicted(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Second)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
	for seq := range uint64(3) {
		putGroup(t, tp, seq+1, time.Duration(seq)*time.Hour, 1)
	}
	require.NoError(t, tp.EndAt(4))
	require.Equal(t, []uint64{2, 3}, arrivals(t, c, 2))
	_, err := c.NextArrival(testCtx(t))
	require.Equal(t, io.EOF, err)
}

// TestParkedGroupThatWasExpelled: another group does not take its place.
func TestParkedGroupThatWasExpelled(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0), End: ptr(0)})
	for seq := range uint64(4) {
		putGroup(t, tp, seq, 0, 1)
	}
	g, err := c.NextArrival(testCtx(t))
	require.NoError(t, err)
	require.Zero(t, g.Sequence())
	requireNone(t, c.NextArrival)
	require.Error(t, tp.t.expel(tp.t.cache.groups[1]))
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(0), End: ptr(2)}))
	g, err = c.NextArrival(testCtx(t))
	require.NoError(t, err)
	require.Equal(t, uint64(2), g.Sequence())
	requireNone(t, c.NextArrival)
}

// TestNewReaderAfterTheLatestWentAway: who wants the latest is told nothing of the past, although
// the cache is empty.
func TestNewReaderAfterTheLatestWentAway(t *testing.T) {
	o := NewOrigin()
	feed := o.FeedWith(NewBudget(256 << 10))
	_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{9}})
	require.NoError(t, err)
	served := make(chan *TrackProducer, 1)
	go func() {
		q, err := feed.Next(bg)
		if err != nil {
			return
		}
		tp, _ := q.Accept(TrackInfo{Timescale: 1000})
		served <- tp
	}()
	_ = subscribe(t, o, SubscribeOptions{})
	tp := <-served
	for seq := range uint64(4) {
		putGroup(t, tp, seq, 0, 1)
	}
	g, err := tp.CreateGroup(4)
	require.NoError(t, err)
	err = g.WriteFrame(Frame{Payload: make([]byte, 300<<10)})
	require.Error(t, err)
	c := subscribe(t, o, SubscribeOptions{})
	putGroup(t, tp, 5, time.Second, 1)
	seq, gap := nextSeq(t, c)
	require.EqualValues(t, 5, seq)
	require.Nil(t, gap)
	feed.Close(io.ErrUnexpectedEOF)
}

// TestUpdateTakesWhatWasTooOld: groups that were passed over are delivered if an Update wants them.
func TestUpdateTakesWhatWasTooOld(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	c := subscribe(t, o, SubscribeOptions{MaxAge: LiveOnly})
	putGroup(t, tp, 6, 6*time.Second, 1)
	require.Equal(t, []uint64{6}, arrivals(t, c, 1))
	putGroup(t, tp, 8, 8*time.Second, 2)
	require.Equal(t, []uint64{8}, arrivals(t, c, 1))
	putGroup(t, tp, 7, 7*time.Second, 1) // overtaken on its way
	requireNone(t, c.NextArrival)
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(8), MaxAge: time.Hour}))
	requireNone(t, c.NextArrival)
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(6), MaxAge: time.Hour}))
	require.Equal(t, []uint64{7}, arrivals(t, c, 1))
	requireNone(t, c.NextArrival)
}
