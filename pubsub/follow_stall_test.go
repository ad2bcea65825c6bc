package pubsub

import (
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
				pub, tp := source(t, time.Hour)
				o := NewOrigin()
				link := plug(t, pub, o)
				f := o.Follow("b", "t", FollowOptions{Stall: 5 * time.Second})
				defer f.Close()
				g1, err := tp.CreateGroup(1)
				require.NoError(t, err)
				fillGroup(t, g1, 0, 2)
				g := next(t, f, 1)
				readFrames(t, g, 0, 2)
				synctest.Wait()
				link.stall()
				fillGroup(t, g1, 2, 4)
				require.NoError(t, g1.Close())
				wholeGroup(t, tp, 2, 1)
				began := time.Now()
				if within {
					readFrames(t, g, 2, 2)
				} else {
					next(t, f, 2)
					readFrames(t, g, 2, 2)
				}
				require.LessOrEqual(t, time.Since(began), 11*time.Second)
				requireEnd(t, g)
				if within {
					next(t, f, 2)
				}
				require.Equal(t, uint64(1), f.State().Losses)
				require.ErrorIs(t, f.State().Err, errSilent)
				require.Zero(t, f.State().LostGroups)
				link.cut(nil)
			})
		})
	}
}

// TestStallWakesReaders: whoever sleeps within the group hears at once that it goes on.
func TestStallWakesReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		o := NewOrigin()
		link := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{Stall: 5 * time.Second})
		g1, err := tp.CreateGroup(1)
		require.NoError(t, err)
		fillGroup(t, g1, 0, 2)
		g := next(t, f, 1)
		readFrames(t, g, 0, 2)
		other := subscribe(t, o, SubscribeOptions{}) // the old subscription is not ended
		done := background(t.Context(), f)
		synctest.Wait()
		link.stall()
		fillGroup(t, g1, 2, 3)
		time.Sleep(2 * time.Second) // so that the timers of the two differ
		began := time.Now()
		readFrames(t, g, 2, 1)
		require.Equal(t, 1, int(f.State().Losses))
		require.Less(t, time.Since(began), 8500*time.Millisecond, "with the renewal, 10 s after the start")
		require.NoError(t, f.Close())
		require.NoError(t, other.Close())
		<-done
		link.cut(nil)
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
			pub, tp := source(t, time.Hour)
			o := NewOrigin()
			link := plug(t, pub, o)
			f := o.Follow("b", "t", FollowOptions{Stall: c.stall})
			defer f.Close()
			open, err := tp.CreateGroup(1)
			require.NoError(t, err)
			fillGroup(t, open, 0, 1)
			g := next(t, f, 1)
			readFrames(t, g, 0, 1)
			done := background(t.Context(), f)
			go func() { _, _ = g.NextFrame(t.Context()) }()
			time.Sleep(30 * time.Minute)
			synctest.Wait()
			asked, _ := link.log()
			require.InDelta(t, c.asked, len(asked), 1)
			require.Equal(t, 1, tp.Demand().Readers, "no subscription is left behind")
			fillGroup(t, open, 1, 2)
			wholeGroup(t, tp, 2, 1)
			require.NoError(t, <-done)
			require.NoError(t, g.Close())
			link.cut(nil)
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
