package pubsub

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

func TestSubscribeStartsAtTheLatest(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	early := subscribe(t, o, SubscribeOptions{})
	for i := range uint64(4) {
		putGroup(t, tp, i, 0, 1)
	}
	late := subscribe(t, o, SubscribeOptions{})
	putGroup(t, tp, 4, 0, 1)
	seq, gap := nextSeq(t, early)
	require.Equal(t, uint64(0), seq, "the first to come, although others followed before it was read")
	require.Nil(t, gap)
	for want := uint64(3); want <= 4; want++ {
		seq, gap = nextSeq(t, late)
		require.Equal(t, want, seq)
		require.Nil(t, gap)
	}
	requireNone(t, late.NextGroup)
}

func TestSubscribeFromStart(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 2*time.Second)
	for i := range uint64(10) {
		putGroup(t, tp, i, time.Duration(i)*time.Second, 1)
	}
	seq, gap := nextSeq(t, subscribe(t, o, SubscribeOptions{Start: ptr(7)}))
	require.Equal(t, uint64(7), seq)
	require.Nil(t, gap)
	seq, gap = nextSeq(t, subscribe(t, o, SubscribeOptions{Start: ptr(3)}))
	require.Equal(t, uint64(6), seq)
	require.Equal(t, &moqerr.Gap{First: 3, Last: 5}, gap, "asked for, and gone")

	ahead := subscribe(t, o, SubscribeOptions{Start: ptr(11)})
	putGroup(t, tp, 10, 10*time.Second, 1)
	requireNone(t, ahead.NextGroup)
	putGroup(t, tp, 11, 11*time.Second, 1)
	seq, gap = nextSeq(t, ahead)
	require.Equal(t, uint64(11), seq)
	require.Nil(t, gap)
}

func TestStartBelowTheNumberingIsNoGap(t *testing.T) {
	o := NewOriginWith(OriginOptions{FirstSequence: 50})
	tp := newTestTrack(t, o, 0)
	putGroup(t, tp, 50, 0, 1)
	seq, gap := nextSeq(t, subscribe(t, o, SubscribeOptions{Start: ptr(0)}))
	require.Equal(t, uint64(50), seq)
	require.Nil(t, gap, "they never existed")
}

func TestEndIsInclusive(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(1), End: ptr(2)})
	for i := range uint64(5) {
		putGroup(t, tp, i, 0, 1)
	}
	for want := uint64(1); want <= 2; want++ {
		seq, _ := nextSeq(t, c)
		require.Equal(t, want, seq)
	}
	for range 2 {
		_, err := c.NextGroup(bg)
		require.Equal(t, io.EOF, err)
	}
	require.NoError(t, c.Update(SubscribeOptions{End: ptr(3)}))
	seq, gap := nextSeq(t, c)
	require.Equal(t, uint64(3), seq)
	require.Nil(t, gap)
	_, err := c.NextGroup(bg)
	require.Equal(t, io.EOF, err)
	require.NoError(t, c.Update(SubscribeOptions{}))
	seq, _ = nextSeq(t, c)
	require.Equal(t, uint64(4), seq)
}

func TestUpdateSkipsAhead(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{})
	for i := range uint64(6) {
		putGroup(t, tp, i, 0, 1)
	}
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(4)}))
	seq, gap := nextSeq(t, c)
	require.Equal(t, uint64(4), seq)
	require.Nil(t, gap, "what is not wanted is not lost")
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(0)}))
	seq, _ = nextSeq(t, c)
	require.Equal(t, uint64(5), seq, "never back")
	require.NoError(t, c.Close())
	require.ErrorIs(t, c.Update(SubscribeOptions{}), moqerr.ErrClosed)
}

func TestUpdateWakesReader(t *testing.T) {
	o := NewOrigin()
	newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(5)})
	done := make(chan error)
	go func() {
		_, err := c.NextGroup(testCtx(t))
		done <- err
	}()
	require.NoError(t, c.Update(SubscribeOptions{Start: ptr(5), End: ptr(4)}))
	require.Equal(t, io.EOF, <-done)
}

func TestSlowReaderLosesTheOldest(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 2*time.Second)
	slow := subscribe(t, o, SubscribeOptions{})
	putGroup(t, tp, 0, 0, 1)
	seq, _ := nextSeq(t, slow)
	require.Equal(t, uint64(0), seq)
	for i := uint64(1); i < 20; i++ {
		putGroup(t, tp, i, time.Duration(i)*time.Second, 1)
	}
	seq, gap := nextSeq(t, slow)
	require.Equal(t, uint64(16), seq)
	require.Equal(t, &moqerr.Gap{First: 1, Last: 15}, gap)
	for want := uint64(17); want < 20; want++ {
		seq, gap = nextSeq(t, slow)
		require.Equal(t, want, seq)
		require.Nil(t, gap)
	}
}

func TestReadersOwnMaxAge(t *testing.T) {
	for _, c := range []struct {
		name   string
		maxAge time.Duration
		first  uint64
	}{
		{"the track's", 0, 0},
		{"longer than the track's", time.Hour, 0},
		{"two seconds", 2 * time.Second, 6},
		{"live only", LiveOnly, 8},
	} {
		o := NewOrigin()
		tp := newTestTrack(t, o, 30*time.Second)
		reader := subscribe(t, o, SubscribeOptions{Start: ptr(0), MaxAge: c.maxAge})
		for i := range uint64(10) {
			putGroup(t, tp, i, time.Duration(i)*time.Second, 1)
		}
		var want *moqerr.Gap
		if c.first > 0 {
			want = &moqerr.Gap{First: 0, Last: c.first - 1}
		}
		seq, gap := nextSeq(t, reader)
		require.Equal(t, c.first, seq, c.name)
		require.Equal(t, want, gap, c.name)
	}
}

// A missing group is waited for by the clock only once a newer one is here.
func TestMissingGroupTimer(t *testing.T) {
	for _, maxAge := range []time.Duration{LiveOnly, 0, 3 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			o := NewOrigin()
			tp := newTestTrack(t, o, 3*time.Second)
			c := subscribe(t, o, SubscribeOptions{Start: ptr(0), MaxAge: maxAge})
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err := c.NextGroup(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded, "nothing newer: no timer")

			began := time.Now()
			putGroup(t, tp, 2, 0, 1)
			time.Sleep(300 * time.Millisecond)
			g, err := c.NextGroup(t.Context())
			require.NoError(t, err)
			require.Equal(t, uint64(2), g.Sequence())
			require.Equal(t, &moqerr.Gap{First: 0, Last: 1}, g.Gap())
			require.Equal(t, max(c.age, time.Second), time.Since(began), "counted from when the newer one came")
		})
	}
}

func TestMissingGroupComesInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		tp := newTestTrack(t, o, 0)
		c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
		putGroup(t, tp, 1, 0, 1)
		go func() {
			time.Sleep(4 * time.Second)
			putGroup(t, tp, 0, 0, 1)
		}()
		for want := range uint64(2) {
			seq, gap := nextSeq(t, c)
			require.Equal(t, want, seq)
			require.Nil(t, gap)
		}
	})
}

// A missing group is given up as soon as timestamps say so, in the middle of a wait.
func TestMissingGroupTooOldByTimestamps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		tp := newTestTrack(t, o, 0)
		c := subscribe(t, o, SubscribeOptions{Start: ptr(0), MaxAge: 2 * time.Second})
		g := openAt(t, tp, 1, 10*time.Second, 1)
		began := time.Now()
		go func() {
			time.Sleep(100 * time.Millisecond)
			putFrame(t, g, 12*time.Second, 1) // not more than MaxAge
			time.Sleep(100 * time.Millisecond)
			putFrame(t, g, 12*time.Second+time.Millisecond, 2)
		}()
		seq, gap := nextSeq(t, c)
		require.Equal(t, uint64(1), seq)
		require.Equal(t, &moqerr.Gap{First: 0, Last: 0}, gap)
		require.Equal(t, 200*time.Millisecond, time.Since(began))
		require.Zero(t, tp.t.watchers.Load())
	})
}

func TestTrackCloseUnblocks(t *testing.T) {
	o := NewOrigin()
	newTestTrack(t, o, 0)
	for _, read := range []func(*TrackConsumer, context.Context) (*GroupConsumer, error){
		(*TrackConsumer).NextGroup, (*TrackConsumer).NextArrival,
	} {
		c := subscribe(t, o, SubscribeOptions{})
		done := make(chan error)
		go func() {
			_, err := read(c, testCtx(t))
			done <- err
		}()
		require.NoError(t, c.Close())
		require.ErrorIs(t, <-done, moqerr.ErrClosed)
		require.NoError(t, c.Close())
	}
}

func TestGroupsIteratorReleases(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{})
	putGroup(t, tp, 0, 0, 1)
	putGroup(t, tp, 1, 0, 1)
	var left *GroupConsumer
	for g, err := range c.Groups(testCtx(t)) {
		require.NoError(t, err)
		left = g
		break
	}
	_, err := left.NextFrame(bg)
	require.ErrorIs(t, err, moqerr.ErrClosed)
	tp.Abort(moqerr.StreamCancelled)
	var errs []error
	for _, err := range c.Groups(testCtx(t)) {
		errs = append(errs, err)
	}
	require.Equal(t, []error{nil, &moqerr.StreamError{Code: moqerr.StreamCancelled}}, errs)
}
