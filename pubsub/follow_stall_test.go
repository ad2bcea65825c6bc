package pubsub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStallIsRenewed: a subscription that a healthy session has lost is made anew where it
// was, whether the reader waits for a group or within one.
func TestStallIsRenewed(t *testing.T) {
	for name, within := range map[string]bool{"between groups": false, "within a group": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, FollowOptions{Stall: 5 * time.Second})
				s.link.stall()
				fillGroup(t, s.open, 2, 4)
				require.NoError(t, s.open.Close())
				wholeGroup(t, s.tp, 2, 1)
				began := time.Now()
				if within {
					readFrames(t, s.g, 2, 2)
				} else {
					next(t, s.f, 2)
					readFrames(t, s.g, 2, 2)
				}
				require.LessOrEqual(t, time.Since(began), 11*time.Second)
				requireEnd(t, s.g)
				if within {
					next(t, s.f, 2)
				}
				require.Equal(t, uint64(1), s.f.State().Losses)
				require.ErrorIs(t, s.f.State().Err, errSilent)
				require.Zero(t, s.f.State().LostGroups)
				s.end()
			})
		})
	}
}

// TestStallWakesReaders: whoever sleeps within the group hears at once that it goes on.
func TestStallWakesReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Stall: 5 * time.Second})
		other := subscribe(t, s.o, SubscribeOptions{}) // the old subscription is not ended
		done := background(t.Context(), s.f)
		synctest.Wait()
		s.link.stall()
		fillGroup(t, s.open, 2, 3)
		time.Sleep(2 * time.Second) // so that the timers of the two differ
		began := time.Now()
		readFrames(t, s.g, 2, 1)
		require.Equal(t, 1, int(s.f.State().Losses))
		require.Less(t, time.Since(began), 8500*time.Millisecond, "with the renewal, 10 s after the start")
		require.NoError(t, other.Close())
		s.end()
		<-done
	})
}

// TestStallBacksOff: silence that is the publisher's own is asked about less and less often,
// and not at all if that is switched off or the track is made here.
func TestStallBacksOff(t *testing.T) {
	for _, c := range []struct {
		stall time.Duration
		asked int
	}{{0, 6}, {-1, 1}, {time.Minute, 5}} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, FollowOptions{Stall: c.stall})
			done := background(t.Context(), s.f)
			go func() { _, _ = s.g.NextFrame(t.Context()) }()
			time.Sleep(30 * time.Minute)
			synctest.Wait()
			asked, _ := s.link.log()
			require.InDelta(t, c.asked, len(asked), 1)
			require.Equal(t, 1, s.tp.Demand().Readers, "no subscription is left behind")
			fillGroup(t, s.open, 2, 3)
			wholeGroup(t, s.tp, 2, 1)
			require.NoError(t, <-done)
			s.end()
		})
	}
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		newTestTrack(t, o, 0)
		f := o.Follow("b", "t", FollowOptions{})
		defer f.Close()
		done := background(t.Context(), f)
		time.Sleep(24 * time.Hour)
		require.Zero(t, f.State().Losses)
		_ = f.Close()
		<-done
	})
}

// TestStallLeavesOthersAlone: a track that was set aside still ends with its session, and so
// do those who read it.
func TestStallLeavesOthersAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		feed := answering(t, o)
		go func() {
			for {
				q, err := feed.Next(t.Context())
				if err != nil {
					return
				}
				_, _ = q.Accept(TrackInfo{})
			}
		}()
		other := subscribe(t, o, SubscribeOptions{})
		f := o.Follow("b", "t", FollowOptions{Stall: time.Second})
		defer f.Close()
		done := background(t.Context(), f)
		time.Sleep(10 * time.Second)
		require.NotZero(t, f.State().Losses)
		ended := make(chan error, 1)
		go func() {
			_, err := other.NextGroup(t.Context())
			ended <- err
		}()
		feed.Close(errLost)
		require.ErrorIs(t, <-ended, errLost)
		_ = f.Close()
		<-done
		require.Empty(t, feed.routes)
	})
}

// TestFollowServedTrackIsNotRenewed: a track that this very origin makes by request cannot be
// lost; who makes it is not asked for it again because it is silent.
func TestFollowServedTrackIsNotRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		served, err := o.Serve("b")
		require.NoError(t, err)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast})
		defer f.Close()
		go func() {
			q, err := served.Next(t.Context())
			require.NoError(t, err)
			tp, err := q.Accept(TrackInfo{Timescale: 1000})
			require.NoError(t, err)
			require.NoError(t, tp.WriteNow(nil))
			time.Sleep(10 * time.Minute)
			require.NoError(t, tp.WriteNow(nil))
		}()
		next(t, f, 0)
		ctx, cancel := context.WithTimeout(t.Context(), 11*time.Minute)
		defer cancel()
		g, err := f.NextGroup(ctx)
		require.NoError(t, err)
		require.Equal(t, uint64(1), g.Sequence())
		require.Zero(t, f.State().Losses)
	})
}

// TestFramesOfAnOlderGroup: they are a sign of life.
func TestFramesOfAnOlderGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{})
		defer s.end()
		next2, err := s.tp.CreateGroup(2)
		require.NoError(t, err)
		fillGroup(t, next2, 0, 1)
		next(t, s.f, 2)
		done := background(t.Context(), s.f)
		for i := 2; i < 40; i++ {
			time.Sleep(5 * time.Second)
			fillGroup(t, s.open, i, i+1)
		}
		require.Zero(t, s.f.State().Losses)
		_ = s.f.Close()
		<-done
	})
}
