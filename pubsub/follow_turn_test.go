package pubsub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// cutUnderTwo has one reader wait for a group and another within one, and loses the link.
func cutUnderTwo(t *testing.T, opts FollowOptions, then func(open *GroupProducer, rest <-chan error)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, opts)
		done := background(t.Context(), s.f)
		synctest.Wait()
		rest := make(chan error, 1)
		go func() {
			_, err := s.g.NextFrame(t.Context())
			rest <- err
		}()
		synctest.Wait()
		s.link.cut(errLost)
		synctest.Wait()
		s.link = plug(t, s.pub, s.o)
		then(s.open, rest)
		s.end()
		<-done
	})
}

// TestTurnWakesTheOther: what one reader brings for another wakes that one, although nobody
// gives up the turn.
func TestTurnWakesTheOther(t *testing.T) {
	cutUnderTwo(t, FollowOptions{Resume: ResumeLast, Stall: -1}, func(open *GroupProducer, rest <-chan error) {
		synctest.Wait()
		fillGroup(t, open, 2, 3)
		synctest.Wait()
		require.Len(t, rest, 1)
		require.NoError(t, <-rest)
	})
}

// TestTurnIsGivenToWhoAsks: a group that its publisher reset ends after a second, although
// another reader waits for the next group all the time.
func TestTurnIsGivenToWhoAsks(t *testing.T) {
	for _, resume := range []Resume{ResumeLast, ResumeLive} {
		cutUnderTwo(t, FollowOptions{Resume: resume, Stall: -1}, func(open *GroupProducer, rest <-chan error) {
			synctest.Wait()
			open.Abort(moqerr.StreamApplication)
			time.Sleep(3 * time.Second)
			require.Len(t, rest, 1)
			var gap *moqerr.GapError
			err := <-rest
			require.ErrorAs(t, err, &gap)
			require.Equal(t, 2, gap.FirstFrame)
			require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamApplication})
		})
	}
}

// TestResetGroupIsFetched: a group that was reset on its way while the track goes on is
// completed from elsewhere.
func TestResetGroupIsFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		wholeGroup(t, tp, 1, 4)
		o := NewOrigin()
		link := plug(t, pub, o)
		b, err := o.Lookup("b", 0)
		require.NoError(t, err)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast})
		g := next(t, f, 1)
		readFrames(t, g, 0, 4)
		requireEnd(t, g)
		wholeGroup(t, tp, 2, 4)
		g = next(t, f, 2)
		synctest.Wait()
		// As if the stream had been reset behind the second frame.
		running := b.route.requests.tracks[trackKey{"b", "t"}].track
		half := newGroup(running)
		half.sequence = 2
		for i := range 2 {
			_, err := half.put(RawFrame{Payload: []byte(label(2, i))}, copied)
			require.NoError(t, err)
		}
		half.end(streamError(moqerr.StreamOld))
		g.g, g.open.last = half, half
		i := running.cache.at(2)
		running.cache.groups[i] = half
		wholeGroup(t, tp, 3, 1)
		readFrames(t, g, 0, 4)
		requireEnd(t, g)
		_, fetched := link.log()
		require.Equal(t, []string{"2/2"}, fetched)
		require.Nil(t, g.open.doubted, "the copy that broke off is let go")
		next(t, f, 3)
		require.NoError(t, f.Close())
		link.cut(nil)
	})
}

// TestCopyThatGrew: a copy that grows while the next one comes is read to its end first.
func TestCopyThatGrew(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	f := follow(t, o, FollowOptions{})
	p := openAt(t, tp, 1, 0, 2)
	g := next(t, f, 1)
	readFrames(t, g, 0, 2)
	// It looks: there is no frame more. Then one comes, and the next copy, which begins behind it.
	putFrame(t, p, 0, 2)
	tail := newGroup(tp.t)
	tail.sequence = 1
	tail.cutHead(g.open.frames())
	_, err := tail.put(RawFrame{Payload: []byte(label(1, 3))}, copied)
	require.NoError(t, err)
	g.open.goOnWith(tail, nil)
	g.open.next(g)
	readFrames(t, g, 2, 2)
}

// TestNudgeBeforeTheQueue: who stands in line for the turn gets it, although the nudge came too early.
func TestNudgeBeforeTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Stall: -1})
		defer s.end()
		ctx, cancel := context.WithTimeout(bg, time.Hour)
		defer cancel()
		done := background(ctx, s.f)
		synctest.Wait()
		// repair, step by step: the one who has the turn is faster.
		s.f.nudge()
		synctest.Wait()
		s.open.Abort(moqerr.StreamCancelled)
		begun := time.Now()
		ctx2, cancel2 := context.WithTimeout(bg, time.Minute)
		defer cancel2()
		err := s.f.enter(ctx2, s.g)
		t.Log(err, time.Since(begun))
		if err == nil {
			s.f.leave()
		}
		_ = s.f.Close()
		<-done
		require.NoError(t, err)
	})
}

// leftMeanwhile stands where a group waits for the rest of the one before it, whose reader then leaves.
func leftMeanwhile(t *testing.T, then func(t *testing.T, f *Follower)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Resume: ResumeLast, Stall: -1})
		s.link.cut(errLost)
		later := NewOriginWith(OriginOptions{Identity: s.pub.Identity()}) // has nothing of group 1
		tp := newTestTrack(t, later, time.Hour)
		wholeGroup(t, tp, 2, 1)
		s.link = plug(t, later, s.o, 8)
		f := s.f
		require.NoError(t, f.enter(t.Context(), nil))
		for len(f.queue) == 0 {
			require.NoError(t, f.step(t.Context()))
		}
		require.True(t, f.due())
		g, err := f.deliver()
		require.NoError(t, err)
		require.Nil(t, g)
		require.NoError(t, s.g.Close())
		then(t, f)
		f.leave()
		next(t, f, 2)
		wholeGroup(t, tp, 3, 1)
		next(t, f, 3)
		s.end()
	})
}

// TestReaderLeavesWhileItIsMended: who leaves a group that was cut, just as the rest of it was to
// be asked for, has the next one once all the same.
func TestReaderLeavesWhileItIsMended(t *testing.T) {
	leftMeanwhile(t, func(t *testing.T, f *Follower) { require.NoError(t, f.mendNext(t.Context())) })
}

// TestReaderLeavesUnseen: whoever has seen that a group has to wait for the rest of another does not
// wait when that is not wanted any more.
func TestReaderLeavesUnseen(t *testing.T) {
	leftMeanwhile(t, func(t *testing.T, f *Follower) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begin := time.Now()
		require.NoError(t, f.step(ctx))
		require.Zero(t, time.Since(begin))
	})
}
