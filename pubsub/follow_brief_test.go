package pubsub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// patiently reads one frame with short contexts, for so long at most.
func patiently(g *GroupConsumer, each, all time.Duration) (Frame, error) {
	for began := time.Now(); ; {
		ctx, cancel := context.WithTimeout(bg, each)
		f, err := g.NextFrame(ctx)
		cancel()
		if err != context.DeadlineExceeded || time.Since(began) > all {
			return f, err
		}
	}
}

// TestStallWithShortContexts: whoever waits within a group by short contexts notices a stall too.
func TestStallWithShortContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Stall: 5 * time.Second})
		defer s.end()
		s.link.stall()
		fillGroup(t, s.open, 2, 3)
		f, err := patiently(s.g, 900*time.Millisecond, 5*time.Minute)
		require.NoError(t, err, "%+v", s.f.State())
		require.Equal(t, label(1, 2), string(f.Payload))
	})
}

// TestStallInterrupted: the context of the reader that renews a silent subscription ends before
// that is done; the next call goes on with it.
func TestStallInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		feed := answering(t, o)
		f := o.Follow("b", "t", FollowOptions{Stall: 5 * time.Second, Resume: ResumeLast})
		var tp *TrackProducer
		go func() { tp = accept(t, feed); part{1, 1, ""}.write(t, tp) }()
		one := next(t, f, 1)
		readFrames(t, one, 0, 1)
		// Silence: the reader renews, and its context ends while the request waits.
		ctx, cancel := context.WithTimeout(bg, 10500*time.Millisecond)
		_, err := one.NextFrame(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.EqualValues(t, 1, f.State().Losses)
		go func() {
			q, err := feed.Next(bg)
			if err != nil {
				return
			}
			tp, err := q.Accept(TrackInfo{Timescale: 1000})
			if err == nil {
				part{1, 2, "."}.write(t, tp)
			}
		}()
		frame, err := patiently(one, 20*time.Second, 5*time.Minute)
		require.NoError(t, err, "%+v", f.State())
		require.Equal(t, label(1, 1), string(frame.Payload))
		_ = f.Close()
		feed.Close(errLost)
	})
}

// TestWithinShortContexts: group 1 came; 2 to 4 were missed and are kept; 5 is served by the next
// subscription. Fetches are accepted at once and their frames follow 50 ms later.
func TestWithinShortContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast, Within: time.Hour})
		l := connect(t, o, []uint64{9}, serving(t, []part{{1, 1, "."}}))
		one := next(t, f, 1)
		readFrames(t, one, 0, 1)
		requireEnd(t, one)
		<-l.served
		l.cut(errLost)
		feed := o.Feed()
		feed.AnswerFetches()
		_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{9, 8}})
		require.NoError(t, err)
		fetches := 0
		go func() {
			for {
				q, err := feed.NextFetch(bg)
				if err != nil {
					return
				}
				fetches++
				g, err := q.Accept(TrackInfo{Timescale: 1000}, 0)
				if err != nil {
					continue
				}
				go func() {
					time.Sleep(50 * time.Millisecond)
					_ = g.WriteFrame(Frame{Timestamp: time.Second, Payload: []byte("x")})
					_ = g.Close()
				}()
			}
		}()
		go func() {
			q, err := feed.Next(bg)
			if err != nil {
				return
			}
			if tp, err := q.Accept(TrackInfo{Timescale: 1000}); err == nil {
				part{5, 1, "."}.write(t, tp)
			}
		}()
		var got []uint64
		for began := time.Now(); len(got) < 4 && time.Since(began) < time.Minute; {
			ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
			g, err := f.NextGroup(ctx)
			cancel()
			if err == nil {
				got = append(got, g.Sequence())
			}
		}
		_ = f.Close()
		feed.Close(errLost)
		time.Sleep(time.Second) // whoever writes is done
		require.Equal(t, []uint64{2, 3, 4, 5}, got, "%d fetches", fetches)
	})
}

// TestWithinArrivalShortContexts: a group whose first frame is under way when the context ends is
// not taken for recent.
func TestWithinArrivalShortContexts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast, Within: 2 * time.Second})
		l := connect(t, o, []uint64{9}, serving(t, []part{{1, 1, "."}}))
		one := next(t, f, 1)
		readFrames(t, one, 0, 1)
		requireEnd(t, one)
		<-l.served
		l.cut(errLost)
		feed := o.Feed()
		feed.AnswerFetches()
		_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{9, 8}})
		require.NoError(t, err)
		go func() {
			q, err := feed.Next(bg)
			if err != nil {
				return
			}
			tp, err := q.Accept(TrackInfo{Timescale: 1000})
			if err != nil {
				return
			}
			two, _ := tp.CreateGroup(2)
			nine, _ := tp.CreateGroup(9)
			_ = nine.WriteFrame(Frame{Timestamp: 90 * time.Second, Payload: []byte("9/0")})
			_ = nine.Close()
			time.Sleep(50 * time.Millisecond)
			_ = two.WriteFrame(Frame{Timestamp: time.Second, Payload: []byte("2/0")})
			_ = two.Close()
		}()
		go func() {
			for {
				q, err := feed.NextFetch(bg)
				if err != nil {
					return
				}
				q.Reject(nil)
			}
		}()
		var got []uint64
		for began := time.Now(); len(got) < 1 && time.Since(began) < time.Minute; {
			ctx, cancel := context.WithTimeout(bg, 20*time.Millisecond)
			g, err := f.NextGroup(ctx)
			cancel()
			if err == nil {
				got = append(got, g.Sequence())
			}
		}
		_ = f.Close()
		feed.Close(errLost)
		time.Sleep(time.Second) // whoever writes is done
		require.Equal(t, []uint64{9}, got)
	})
}

// TestCloseWhileNextGroupFetches: the rest of a group that is closed is not waited for by whoever
// waits for the next one, nor asked for any longer.
func TestCloseWhileNextGroupFetches(t *testing.T) {
	for name, ends := range map[string]bool{"NextGroup waits": false, "NextGroup has left": true} {
		inBubble(t, name, func(t *testing.T) {
			s := newScene(t, FollowOptions{Resume: ResumeLast})
			s.link.cut(errLost)
			feed := s.o.Feed()
			feed.AnswerFetches()
			_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{s.pub.Identity(), 8}})
			require.NoError(t, err)
			patience := time.Minute
			if ends {
				patience = 5 * time.Second
			}
			type result struct {
				g   *GroupConsumer
				err error
				at  time.Time
			}
			done := make(chan result, 1)
			go func() {
				ctx, cancel := context.WithTimeout(bg, patience)
				defer cancel()
				g, err := s.f.NextGroup(ctx)
				done <- result{g, err, time.Now()}
			}()
			q, err := feed.Next(testCtx(t))
			require.NoError(t, err)
			tp, err := q.Accept(TrackInfo{Timescale: 1000})
			require.NoError(t, err)
			part{2, 1, "."}.write(t, tp)
			r, err := feed.NextFetch(testCtx(t))
			require.NoError(t, err)
			require.EqualValues(t, 1, r.Group())
			closed := time.Now()
			require.NoError(t, s.g.Close())
			got := <-done
			if got.err == nil {
				require.Less(t, got.at.Sub(closed), 2*time.Second, "the next group is here")
			}
			_, _ = s.f.NextGroup(expired())
			synctest.Wait()
			select {
			case <-r.Left():
			default:
				t.Error("the rest of a closed group is still asked for")
			}
			_ = s.f.Close()
			feed.Close(errLost)
		})
	}
}

// TestRestartAfterToldGap: what a gap has told already is not told again by a restart.
func TestRestartAfterToldGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := follow(t, o, FollowOptions{})
		l := connect(t, o, []uint64{9}, func(tp *TrackProducer) {
			part{0, 1, ""}.write(t, tp)
			tp.Drop(1, 1)
			part{2, 1, ""}.write(t, tp)
		})
		next(t, f, 0)
		next(t, f, 2, Gap{First: 1, Last: 1})
		<-l.served
		l.cut(errLost)
		other := connect(t, o, []uint64{77}, serving(t, []part{{0, 1, "."}}))
		next(t, f, 0, Gap{First: 2, FirstFrame: 1, Cause: errLost, Restarted: true})
		_ = f.Close()
		other.cut(errLost)
	})
}
