package pubsub

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// TestRetractedShortContexts: calls with short contexts get past a retraction that severs a fill.
func TestRetractedShortContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		l := connect(t, o, []uint64{9}, func(tp *TrackProducer) { part{1, 1, "."}.write(t, tp) })
		f := follow(t, o, FollowOptions{Resume: ResumeLast})
		nextSeq(t, f)
		<-l.served
		l.cut(errLost)
		l = connect(t, o, []uint64{9}, func(tp *TrackProducer) { part{4, 1, "."}.write(t, tp) })
		done := false
		for i := range 40 {
			ctx, cancel := context.WithTimeout(bg, 500*time.Millisecond)
			_, err := f.NextGroup(ctx)
			cancel()
			if i == 0 {
				l.feed.Close(nil)
			}
			if err == nil {
				done = true
				break
			}
		}
		if !done {
			t.Error("group 4 is here and was not delivered within 20 s of calls of 500 ms")
		}
		_ = f.Close()
		l.cut(errLost)
	})
}

// TestResetShortContexts: calls with short contexts learn that a group was reset.
func TestResetShortContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{})
		defer s.end()
		s.open.Abort(moqerr.StreamCancelled)
		synctest.Wait()
		for range 40 {
			ctx, cancel := context.WithTimeout(bg, 500*time.Millisecond)
			_, err := s.g.NextFrame(ctx)
			cancel()
			var gap *moqerr.GapError
			if errors.As(err, &gap) {
				return
			}
		}
		t.Error("NextFrame did not end within 20 s of calls of 500 ms")
	})
}

// TestRetractedAndBack: what was announced again while a retraction was waited out can be asked for.
func TestRetractedAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		o := NewOrigin()
		l := plug(t, pub, o, 7)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast})
		wholeGroup(t, tp, 1, 1)
		next(t, f, 1)
		synctest.Wait()
		l.cut(errLost)
		wholeGroup(t, tp, 2, 1)
		wholeGroup(t, tp, 3, 1)
		// The new session brings 3 only.
		l2 := connect(t, o, []uint64{pub.Identity(), 8}, func(tp *TrackProducer) { part{3, 1, "."}.write(t, tp) })
		done := make(chan *GroupConsumer, 1)
		go func() {
			g, err := f.NextGroup(testCtx(t))
			require.NoError(t, err)
			done <- g
		}()
		<-l2.served
		l2.feed.Close(nil)                  // retracted
		time.Sleep(1500 * time.Millisecond) // in the middle of the wait
		l3 := plug(t, pub, o, 9)            // and announced again
		g := <-done
		a, fe := l3.log()
		t.Log(f.State(), len(a), fe)
		if g.Sequence() != 2 {
			t.Errorf("group %d with %v, but group 2 can be had", g.Sequence(), g.Gaps())
		}
		_ = f.Close()
		l2.cut(errLost)
		l3.cut(nil)
	})
}

// TestCloseTakesTheFetchBack: a group that is closed while the rest of it is fetched is not fetched any more.
func TestCloseTakesTheFetchBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Resume: ResumeLast})
		defer s.end()
		s.link.cut(errLost)
		feed := s.o.Feed()
		feed.AnswerFetches()
		_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{s.pub.Identity(), 8}})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() {
			_, err := s.g.NextFrame(testCtx(t))
			done <- err
		}()
		q, err := feed.Next(testCtx(t))
		require.NoError(t, err)
		tp, err := q.Accept(TrackInfo{Timescale: 1000})
		require.NoError(t, err)
		part{2, 1, "."}.write(t, tp)
		r, err := feed.NextFetch(testCtx(t))
		require.NoError(t, err)
		require.EqualValues(t, 1, r.Group())
		require.NoError(t, s.g.Close())
		require.ErrorIs(t, <-done, moqerr.ErrClosed)
		g, err := s.f.NextGroup(testCtx(t))
		require.NoError(t, err)
		require.EqualValues(t, 2, g.Sequence())
		time.Sleep(time.Minute)
		select {
		case <-r.Left():
		default:
			t.Error("the rest of a closed group is still asked for")
		}
		feed.Close(errLost)
	})
}

// TestAbandonedAndBack: a cut group that was given up for another publisher, who then leaves
// without a word, is told by a gap too.
func TestAbandonedAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Resume: ResumeLast})
		defer s.end()
		s.link.cut(errLost)
		other := connect(t, s.o, []uint64{77}, func(*TrackProducer) {})
		_, err := s.g.NextFrame(testCtx(t))
		var gap *moqerr.GapError
		require.ErrorAs(t, err, &gap)
		other.cut(errLost)
		fillGroup(t, s.open, 2, 3)
		require.NoError(t, s.open.Close())
		wholeGroup(t, s.tp, 2, 1)
		l := plug(t, s.pub, s.o, 9)
		g, err := s.f.NextGroup(testCtx(t))
		require.NoError(t, err)
		require.EqualValues(t, 2, g.Sequence())
		if g.Gap() == nil || s.f.State().LostGroups != 1 {
			t.Errorf("gap %v, %d lost: group 1 was given up (%v)", g.Gap(), s.f.State().LostGroups, gap)
		}
		_ = s.f.Close()
		l.cut(nil)
	})
}

// TestOldGroupAliveAfterRenewal: frames of an older group are a sign of life also after a renewal.
func TestOldGroupAliveAfterRenewal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		o := NewOrigin()
		l := plug(t, pub, o, 7)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast, Stall: 10 * time.Second, SubscribeOptions: SubscribeOptions{Start: ptr(0)}})
		for seq := range uint64(5) {
			wholeGroup(t, tp, seq, 5)
			g := next(t, f, seq)
			readFrames(t, g, 0, 5)
			requireEnd(t, g)
		}
		old, err := tp.CreateGroup(5)
		require.NoError(t, err)
		fillGroup(t, old, 0, 1)
		g := next(t, f, 5)
		readFrames(t, g, 0, 1)
		wholeGroup(t, tp, 6, 2)
		last := next(t, f, 6)
		readFrames(t, last, 0, 2)
		requireEnd(t, last)
		done := background(bg, f)
		time.Sleep(9 * time.Second)
		fillGroup(t, old, 1, 2) // a sign of life: noted
		time.Sleep(11 * time.Second)
		l.stall() // one renewal
		time.Sleep(25 * time.Second)
		was := f.State().Losses
		require.NotZero(t, was)
		for i := range 60 {
			fillGroup(t, old, 2+i, 3+i)
			time.Sleep(2 * time.Second)
		}
		if n := f.State().Losses; n != was {
			t.Errorf("renewed %d times although frames came every 2 s", n-was)
		}
		_ = f.Close()
		<-done
		l.cut(nil)
	})
}

// queuedCut brings a Follower to where group 2 was cut while it was queued, and is handed out
// when the next subscription, which does not bring it, has been silent for a while.
func queuedCut(t *testing.T) (o *Origin, f *Follower, feed *Feed, tp *TrackProducer, two *GroupConsumer) {
	o = NewOrigin()
	f = o.Follow("b", "t", FollowOptions{Resume: ResumeLast})
	l := connect(t, o, []uint64{9}, serving(t, []part{{1, 1, ""}, {2, 1, ""}}))
	one := next(t, f, 1)
	<-l.served
	l.cut(errLost)
	feed = o.Feed()
	feed.AnswerFetches()
	_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{9, 8}})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		_, err := readAll(t, one)
		done <- err
	}()
	tp = accept(t, feed)
	part{1, 1, "."}.write(t, tp)
	require.NoError(t, <-done)
	time.Sleep(2 * time.Second)
	return o, f, feed, tp, next(t, f, 2)
}

// TestQueuedCutIsMended: the rest of it is fetched once a newer group is here.
func TestQueuedCutIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, f, feed, tp, two := queuedCut(t)
		readFrame := make(chan error, 1)
		go func() {
			_, err := readAll(t, two)
			readFrame <- err
		}()
		synctest.Wait()
		part{3, 1, "."}.write(t, tp)
		ctx, cancel := context.WithTimeout(bg, 10*time.Second)
		defer cancel()
		if q, err := feed.NextFetch(ctx); err != nil {
			t.Error("nobody asks for the rest of group 2")
		} else {
			q.Reject(nil)
		}
		var gap *moqerr.GapError
		if err := <-readFrame; !errors.As(err, &gap) {
			t.Errorf("group 2: %v", err)
		}
		_ = f.Close()
		feed.Close(errLost)
	})
}

// TestQueuedCutAtTheEnd: at the track's end its reader neither waits nor spins for ever.
// It hangs if that is not so.
func TestQueuedCutAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, f, feed, tp, two := queuedCut(t)
		require.NoError(t, tp.EndAt(3))
		require.NoError(t, tp.Close())
		go func() {
			if q, err := feed.NextFetch(bg); err == nil {
				q.Reject(nil)
			}
		}()
		var gap *moqerr.GapError
		_, err := readAll(t, two)
		require.ErrorAs(t, err, &gap)
		_ = f.Close()
		feed.Close(errLost)
	})
}
