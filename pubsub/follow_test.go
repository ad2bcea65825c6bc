package pubsub

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func TestFollowWaitsForTheBroadcast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := o.Follow("/b/", "t", FollowOptions{})
		defer f.Close()
		go func() {
			time.Sleep(time.Hour)
			b, _ := o.CreateBroadcast("b")
			tp, _ := b.CreateTrack("t", TrackInfo{})
			_ = tp.WriteNow([]byte("hello"))
			_ = b.Announce()
		}()
		began := time.Now()
		g, err := f.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, time.Hour, time.Since(began))
		require.Nil(t, g.Gap())
		require.Equal(t, FollowState{Live: true, Announced: true}, f.State())
	})
}

func TestFollowPacesRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		h, err := o.Attach(Route{Prefix: "b", Hops: []uint64{5}})
		require.NoError(t, err)
		refused := &moqerr.StreamError{Code: moqerr.StreamInternal, Remote: true}
		var at []time.Time
		go func() {
			for {
				q, err := h.Next(context.Background())
				if err != nil {
					return
				}
				at = append(at, time.Now())
				q.Reject(refused)
			}
		}()
		f := o.Follow("b", "t", FollowOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = f.NextGroup(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, refused, f.State().Err)
		require.Greater(t, len(at), 10)
		for i := 1; i < len(at); i++ {
			full := min(100*time.Millisecond<<(i-1), 5*time.Second)
			require.GreaterOrEqual(t, at[i].Sub(at[i-1]), full/2, i)
			require.LessOrEqual(t, at[i].Sub(at[i-1]), full, i)
		}

		// A changed announcement ends the wait.
		before := len(at)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = f.NextGroup(t.Context())
		}()
		synctest.Wait()
		require.NoError(t, h.Update(Route{Prefix: "b", Hops: []uint64{5, 6}}))
		synctest.Wait()
		require.Len(t, at, before+1)
		require.NoError(t, f.Close())
		<-done
		h.Close(nil)
	})
}

func TestFollowResubscribesAtOnceWhenAnnouncedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := o.Follow("b", "t", FollowOptions{})
		defer f.Close()
		for i := range uint64(3) {
			l := connect(t, o, []uint64{5}, serving(t, []part{{i, 1, "."}}))
			began := time.Now()
			g, err := f.NextGroup(t.Context())
			require.NoError(t, err)
			require.Equal(t, i, g.Sequence())
			require.Zero(t, time.Since(began), "no pacing after a new announcement")
			<-l.served
			l.cut(errLost)
		}
	})
}

func TestFollowTrackThatIsNotThere(t *testing.T) {
	o := NewOrigin()
	b := announced(t, o, "b")
	f := follow(t, o, FollowOptions{})
	_, err := f.NextGroup(testCtx(t))
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamNotFound}, "at once")
	tp, err := b.CreateTrack("t", TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, tp.WriteNow(nil))
	_, err = f.NextGroup(testCtx(t))
	require.NoError(t, err, "asked again")

	_, err = o.Follow("a/*", "t", FollowOptions{}).NextGroup(testCtx(t))
	require.ErrorContains(t, err, "path")
}

func TestFollowEnds(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	putGroup(t, tp, 0, 0, 1)
	f := follow(t, o, FollowOptions{})
	handOut(t, f, 1)
	require.NoError(t, tp.Close())
	for range 3 {
		_, err := f.NextGroup(testCtx(t))
		require.Equal(t, io.EOF, err, "for good")
	}
}

func TestFollowRange(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	for i := range uint64(6) {
		putGroup(t, tp, i, 0, 1)
	}
	f := follow(t, o, FollowOptions{SubscribeOptions: SubscribeOptions{Start: ptr(2), End: ptr(3)}})
	require.Equal(t, []string{"2@0+1", "3@0+1"}, describeAll(t, finish(t, f)))
	require.NoError(t, f.Update(SubscribeOptions{End: ptr(4)}))
	require.Equal(t, []string{"4@0+1"}, describeAll(t, finish(t, f)))
	require.NoError(t, f.Close())
	require.ErrorIs(t, f.Update(SubscribeOptions{}), moqerr.ErrClosed)
	require.Zero(t, tp.Demand().Readers)
}

// A Start holds until something was delivered, over losses.
func TestFollowStartSurvivesALoss(t *testing.T) {
	o := NewOrigin()
	f := follow(t, o, FollowOptions{SubscribeOptions: SubscribeOptions{Start: ptr(2)}})
	var starts []*uint64
	serve := func(parts ...part) func(*TrackProducer) {
		return func(tp *TrackProducer) {
			starts = append(starts, tp.Demand().Start)
			serving(t, parts)(tp)
		}
	}
	l := connect(t, o, []uint64{5}, serve())
	require.Empty(t, visit(t, f, l))
	l.cut(errLost)
	l = connect(t, o, []uint64{5}, serve(part{2, 1, "."}))
	handOut(t, f, 1)
	<-l.served // else the group may be cut before it is whole
	l.cut(errLost)
	l = connect(t, o, []uint64{5}, serve(part{3, 1, "."}))
	handOut(t, f, 1)
	<-l.served
	l.cut(errLost)
	require.Equal(t, []*uint64{ptr(2), ptr(2), ptr(3)}, starts, "then where it was, since the way back was there")
}

func TestFollowSurvivesRetraction(t *testing.T) {
	o := NewOrigin()
	b := announced(t, o, "b")
	tp, err := b.CreateTrack("t", TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, tp.WriteNow(nil))
	f := follow(t, o, FollowOptions{})
	handOut(t, f, 1)
	b.Unannounce()
	require.NoError(t, tp.WriteNow(nil))
	handOut(t, f, 1)
	require.Zero(t, f.State().Losses)
}

func TestFollowState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := follow(t, o, FollowOptions{})
		require.Equal(t, FollowState{}, f.State())
		l := connect(t, o, []uint64{5}, serving(t, []part{{0, 1, "."}}))
		handOut(t, f, 1)
		<-l.served
		l.cut(errLost)
		_, err := f.NextGroup(expired())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, FollowState{Losses: 1, Err: errLost}, f.State())
		connect(t, o, []uint64{5}, serving(t, []part{{4, 1, "."}}))
		handOut(t, f, 1)
		require.Equal(t, FollowState{Live: true, Announced: true, Losses: 1, LostGroups: 3, Err: errLost}, f.State())
	})
}

func TestFollowCloseUnblocks(t *testing.T) {
	states := map[string]func(*Origin){
		"waiting for the broadcast": func(*Origin) {},
		"waiting for the answer": func(o *Origin) {
			_, _ = o.Attach(Route{Prefix: "b"})
		},
		"waiting for a group": func(o *Origin) {
			b, _ := o.CreateBroadcast("b")
			_, _ = b.CreateTrack("t", TrackInfo{})
			_ = b.Announce()
		},
	}
	for name, prepare := range states {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := NewOrigin()
				prepare(o)
				f := o.Follow("b", "t", FollowOptions{})
				ctx, cancel := context.WithCancel(t.Context())
				done := background(ctx, f)
				synctest.Wait()
				cancel()
				require.ErrorIs(t, <-done, context.Canceled)
				done = background(t.Context(), f)
				synctest.Wait()
				require.NoError(t, f.Close())
				require.NoError(t, f.Close())
				require.ErrorIs(t, <-done, moqerr.ErrClosed)
				_, err := f.NextGroup(t.Context())
				require.ErrorIs(t, err, moqerr.ErrClosed)
			})
		})
	}
}

func TestFollowCancelledSessionIsAFailure(t *testing.T) {
	o := NewOrigin()
	f := follow(t, o, FollowOptions{})
	l := connect(t, o, []uint64{5}, serving(t, []part{{0, 1, "."}}))
	handOut(t, f, 1)
	l.cut(context.Canceled)
	connect(t, o, []uint64{5}, serving(t, []part{{1, 1, "."}}))
	require.Equal(t, uint64(1), handOut(t, f, 1)[0].Sequence(), "a foreign cancellation does not end it")
}

func TestFollowGroupsReleases(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	putGroup(t, tp, 0, 0, 1)
	f := follow(t, o, FollowOptions{})
	var left *GroupConsumer
	for g, err := range f.Groups(testCtx(t)) {
		require.NoError(t, err)
		left = g
		break
	}
	_, err := left.NextFrame(bg)
	require.ErrorIs(t, err, moqerr.ErrClosed)
	require.True(t, f.State().Live, "the Follower stays open")
}

// The pause after a failure goes on between calls that are too short for it.
func TestFollowShortCallsGetThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		b, err := o.CreateBroadcast("b")
		require.NoError(t, err)
		require.NoError(t, b.Announce())
		for range 8 {
			tp, err := b.CreateTrack("t", TrackInfo{})
			require.NoError(t, err)
			tp.Fail(errLost)
		}
		f := o.Follow("b", "t", FollowOptions{})
		defer f.Close()
		short := func() error {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			defer cancel()
			_, err := f.NextGroup(ctx)
			return err
		}
		require.ErrorIs(t, short(), context.DeadlineExceeded)
		tp, err := b.CreateTrack("t", TrackInfo{})
		require.NoError(t, err)
		require.NoError(t, tp.WriteNow(nil))
		calls := 1
		for short() != nil {
			calls++
			require.Less(t, calls, 12)
		}
		require.Greater(t, calls, 3, "it was paced")
	})
}

// TestFollowAfterTheLastSupervisor: it tries again what is published here.
func TestFollowAfterTheLastSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		b := announced(t, o, "b")
		tp, err := b.CreateTrack("t", TrackInfo{})
		require.NoError(t, err)
		o.Supervise()(errLost)
		f := follow(t, o, FollowOptions{})
		require.NoError(t, tp.WriteNow([]byte("a")))
		nextSeq(t, f)
		tp.Abort(moqerr.StreamInternal)
		tp, err = b.CreateTrack("t", TrackInfo{})
		require.NoError(t, err)
		require.NoError(t, tp.WriteNow([]byte("b")))
		_, err = f.NextGroup(testCtx(t))
		t.Log(err)
		time.Sleep(time.Minute)
		seq, _ := nextSeq(t, f)
		require.EqualValues(t, 1, seq)
	})
}
