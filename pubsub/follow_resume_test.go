package pubsub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// next returns the next group, which must be seq.
func next(t testing.TB, f *Follower, seq uint64, gaps ...Gap) *GroupConsumer {
	t.Helper()
	g, err := f.NextGroup(testCtx(t))
	require.NoError(t, err)
	require.Equal(t, seq, g.Sequence())
	require.Equal(t, gaps, g.Gaps())
	return g
}

// TestResumeLastLosesNothing: the cut group goes on at the frame behind the last one, and
// what came meanwhile follows.
func TestResumeLastLosesNothing(t *testing.T) {
	for name, exact := range map[string]bool{"frame by frame": true, "group by group": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pub, tp := source(t, time.Minute)
				o := NewOrigin()
				c := plug(t, pub, o)
				f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast})
				defer f.Close()
				wholeGroup(t, tp, 1, 4)
				g := next(t, f, 1)
				readFrames(t, g, 0, 4)
				requireEnd(t, g)
				cut, err := tp.CreateGroup(2)
				require.NoError(t, err)
				fillGroup(t, cut, 0, 3)
				g = next(t, f, 2)
				readFrames(t, g, 0, 3)
				synctest.Wait()
				c.cut(errLost)

				got := make(chan error, 1)
				go func() { // it waits within the cut group
					_, err := g.NextFrame(t.Context())
					got <- err
				}()
				time.Sleep(time.Hour)
				require.Empty(t, got)
				fillGroup(t, cut, 3, 5)
				require.NoError(t, cut.Close())
				wholeGroup(t, tp, 3, 2)
				wholeGroup(t, tp, 4, 2)
				c = plug(t, pub, o)
				c.older(!exact)
				require.NoError(t, <-got)
				readFrames(t, g, 4, 1)
				requireEnd(t, g)
				asked, _ := c.log()
				require.Equal(t, []SubscribeOptions{{Start: ptr(2), FirstFrame: 3, MaxAge: time.Minute}}, asked)
				for seq := range uint64(2) {
					g = next(t, f, 3+seq)
					readFrames(t, g, 0, 2)
					requireEnd(t, g)
				}
				_, fetched := c.log()
				require.Empty(t, fetched)
				require.Equal(t, uint64(1), f.State().Losses)
				require.Zero(t, f.State().LostGroups)
				c.cut(nil)
			})
		})
	}
}

// TestResumeLastAsksAsFarBackAsTheTrack: the track's MaxAge is known from before the loss, so
// that the subscription brings everything, and not the last 5 s only.
func TestResumeLastAsksAsFarBackAsTheTrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Minute)
		o := NewOrigin()
		c := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast})
		defer f.Close()
		wholeGroup(t, tp, 1, 1)
		next(t, f, 1)
		synctest.Wait()
		c.cut(errLost)
		for seq := uint64(2); seq < 30; seq++ {
			wholeGroup(t, tp, seq, 1)
		}
		c = plug(t, pub, o)
		for seq := uint64(2); seq < 30; seq++ {
			next(t, f, seq)
		}
		_, fetched := c.log()
		require.Empty(t, fetched)
		c.cut(nil)
	})
}

// TestHoleBeforeALoss: a group that had not come yet, although a later one had, when the
// subscription was lost, is a part of the loss: it can be had again. Who goes on at the live
// edge gets what is here at once, unless there is another way already.
func TestHoleBeforeALoss(t *testing.T) {
	for _, c := range []struct {
		name   string
		resume Resume
		early  bool // another way is there before the loss
		gaps   []Gap
	}{
		{"last", ResumeLast, false, nil},
		{"last, another way", ResumeLast, true, nil},
		{"live", ResumeLive, false, []Gap{{First: 2, Last: 3, Cause: errLost}}},
		{"live, another way", ResumeLive, true, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pub, tp := source(t, time.Hour)
				o := NewOrigin()
				link := plug(t, pub, o, 7)
				f := o.Follow("b", "t", FollowOptions{Resume: c.resume})
				defer f.Close()
				wholeGroup(t, tp, 1, 1)
				readFrames(t, next(t, f, 1), 0, 1)
				wholeGroup(t, tp, 4, 1)
				synctest.Wait()
				link.stall()
				synctest.Wait()
				for seq := uint64(2); seq < 4; seq++ { // too late for the subscription
					wholeGroup(t, tp, seq, 1)
				}
				if c.early {
					second := plug(t, pub, o, 8)
					defer second.cut(nil)
				}
				link.cut(errLost)
				if c.resume == ResumeLive && !c.early {
					readFrames(t, next(t, f, 4, c.gaps...), 0, 1)
					return
				}
				if !c.early {
					third := plug(t, pub, o, 9)
					defer third.cut(nil)
				}
				for seq := uint64(2); seq < 5; seq++ {
					readFrames(t, next(t, f, seq), 0, 1)
				}
				require.Zero(t, f.State().LostGroups)
			})
		})
	}
}

// TestOvertakenBeforeTheFirstGroup: a peer is asked for the track of one publisher, serves
// another one that has come meanwhile, and the announcement of that comes before the groups.
func TestOvertakenBeforeTheFirstGroup(t *testing.T) {
	for name, resume := range map[string]Resume{"live": ResumeLive, "last": ResumeLast} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := NewOrigin()
				f := o.Follow("b", "t", FollowOptions{Resume: resume})
				defer f.Close()
				serve := func(*TrackProducer) {}
				first := connect(t, o, []uint64{1, 9}, serve)
				got := make(chan *GroupConsumer)
				go func() {
					for g, err := range f.Groups(t.Context()) {
						if err == nil {
							got <- g
						}
					}
				}()
				tp := <-first.served
				wholeGroup(t, tp, 7, 1)
				require.Equal(t, uint64(7), (<-got).Sequence())
				tp.Fail(errLost)
				tp = <-first.served // it asks the first one again, but this is the second one's:
				connect(t, o, []uint64{2, 9}, serve)
				first.route.Close(nil)
				wholeGroup(t, tp, 8, 1)
				select {
				case g := <-got:
					require.Fail(t, "taken for the first one's", "group %d", g.Sequence())
				case <-time.After(time.Minute):
				}
			})
		})
	}
}

// TestResumeLastFetchesTheRest: what is too old for the subscription is fetched, one after
// the other, and what nobody keeps is told.
func TestResumeLastFetchesTheRest(t *testing.T) {
	for _, c := range []struct {
		name   string
		keep   time.Duration // of the publisher
		within time.Duration
		want   []uint64 // of what was missed
		cut    bool     // the cut group is lost
		gaps   []Gap
	}{
		{"all is kept", time.Hour, 0, []uint64{2, 3, 4, 5, 6, 7, 8, 9}, false, nil},
		{"the last ones are kept", 3500 * time.Millisecond, 0, []uint64{5, 6, 7, 8, 9}, true, []Gap{{First: 1, FirstFrame: 2, Last: 4, Cause: errLost}}},
		{"a window", time.Hour, 3500 * time.Millisecond, []uint64{6, 7, 8, 9}, true, []Gap{{First: 1, FirstFrame: 2, Last: 5, Cause: errLost}}},
		{"a window that is wide enough", time.Hour, time.Minute, []uint64{2, 3, 4, 5, 6, 7, 8, 9}, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pub, tp := source(t, c.keep)
				o := NewOrigin()
				link := plug(t, pub, o)
				age := 1500 * time.Millisecond
				if c.within > 0 {
					age = LiveOnly // so that the newest frame comes first
				}
				f := o.Follow("b", "t", FollowOptions{
					Resume: ResumeLast, Within: c.within, SubscribeOptions: SubscribeOptions{MaxAge: age},
				})
				defer f.Close()
				cut, err := tp.CreateGroup(1)
				require.NoError(t, err)
				fillGroup(t, cut, 0, 2)
				g := next(t, f, 1)
				readFrames(t, g, 0, 2)
				synctest.Wait()
				link.cut(errLost)
				fillGroup(t, cut, 2, 4)
				require.NoError(t, cut.Close())
				for seq := uint64(2); seq < 10; seq++ {
					wholeGroup(t, tp, seq, 2)
				}
				link = plug(t, pub, o)
				if c.cut {
					requireLost(t, g, 2, errLost)
				} else {
					readFrames(t, g, 2, 2)
					requireEnd(t, g)
				}
				for i, seq := range c.want {
					var gaps []Gap
					if i == 0 {
						gaps = c.gaps
					}
					g = next(t, f, seq, gaps...)
					readFrames(t, g, 0, 2)
					requireEnd(t, g)
				}
				if !c.cut {
					_, fetched := link.log()
					require.Contains(t, fetched, "1/2", "from the frame that is missing")
				}
				wholeGroup(t, tp, 10, 1)
				readFrames(t, next(t, f, 10), 0, 1)
				link.cut(nil)
			})
		})
	}
}

// TestResumeLastAtTheEnd: a track that ended meanwhile gives what it has, and then its end.
func TestResumeLastAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		o := NewOrigin()
		link := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast, SubscribeOptions: SubscribeOptions{MaxAge: LiveOnly}})
		defer f.Close()
		wholeGroup(t, tp, 1, 1)
		readFrames(t, next(t, f, 1), 0, 1)
		synctest.Wait()
		link.cut(errLost)
		for seq := uint64(2); seq < 6; seq++ {
			wholeGroup(t, tp, seq, 1)
		}
		require.NoError(t, tp.Close())
		link = plug(t, pub, o)
		for seq := uint64(2); seq < 6; seq++ {
			readFrames(t, next(t, f, seq), 0, 1)
		}
		require.Empty(t, finish(t, f))
		require.Zero(t, f.State().LostGroups)
		link.cut(nil)
	})
}

// TestResumeLiveSaysWhatWasLost: after an outage it goes on at the live edge; the cut group
// goes on only if it is still live.
func TestResumeLiveSaysWhatWasLost(t *testing.T) {
	for _, live := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newScene(t, FollowOptions{})
			s.link.cut(errLost)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := s.g.NextFrame(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded, "it is open")
			require.False(t, s.f.State().Announced)
			fillGroup(t, s.open, 2, 4)
			if !live {
				for seq := uint64(2); seq < 5; seq++ {
					wholeGroup(t, s.tp, seq, 1)
				}
			}
			s.link = plug(t, s.pub, s.o)
			if live {
				readFrames(t, s.g, 2, 2)
				wholeGroup(t, s.tp, 2, 1)
				next(t, s.f, 2)
			} else {
				requireLost(t, s.g, 2, errLost)
				next(t, s.f, 4, Gap{First: 1, FirstFrame: 2, Last: 3, Cause: errLost})
			}
			_, fetched := s.link.log()
			require.Empty(t, fetched)
			s.end()
		})
	}
}

// TestFollowMovesToAnotherWay: a session that was replaced costs nothing under either
// policy, whoever is in the middle.
func TestFollowMovesToAnotherWay(t *testing.T) {
	for name, resume := range map[string]Resume{"live": ResumeLive, "last": ResumeLast} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, FollowOptions{Resume: resume})
				old := s.link
				s.link = plug(t, s.pub, s.o, 8)
				synctest.Wait()
				old.cut(moqerr.ErrClosed)
				fillGroup(t, s.open, 2, 3)
				require.NoError(t, s.open.Close())
				wholeGroup(t, s.tp, 2, 2)
				wholeGroup(t, s.tp, 3, 2)
				began := time.Now()
				readFrames(t, s.g, 2, 1)
				requireEnd(t, s.g)
				readFrames(t, next(t, s.f, 2), 0, 2)
				readFrames(t, next(t, s.f, 3), 0, 2)
				require.Zero(t, time.Since(began), "at once")
				asked, _ := s.link.log()
				require.Equal(t, 2, asked[0].FirstFrame)
				s.end()
			})
		})
	}
}

// TestFollowAnotherPublisher: what was cut ends, and the new numbering begins.
func TestFollowAnotherPublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Resume: ResumeLast})
		s.link.cut(errLost)
		pub, tp := source(t, time.Hour)
		wholeGroup(t, tp, 0, 1)
		wholeGroup(t, tp, 8, 1)
		s.link = plug(t, pub, s.o)
		requireLost(t, s.g, 2, errLost)
		next(t, s.f, 8, Gap{First: 1, FirstFrame: 2, Cause: errLost, Restarted: true})
		require.Zero(t, s.f.State().LostGroups)
		s.end()
	})
}

// TestResumeByShortCalls: a reader with calls shorter than any fetch loses nothing that can
// be had.
func TestResumeByShortCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		pub, tp := source(t, 5500*time.Millisecond)
		link := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast, SubscribeOptions: SubscribeOptions{MaxAge: LiveOnly}})
		wholeGroup(t, tp, 0, 1)
		next(t, f, 0)
		synctest.Wait()
		link.cut(errLost)
		for seq := uint64(1); seq < 30; seq++ {
			wholeGroup(t, tp, seq, 2)
		}
		link = plug(t, pub, o)
		link.mu.Lock()
		link.delay = 50 * time.Millisecond
		link.mu.Unlock()
		var got []uint64
		var gaps []Gap
		for calls := 0; len(got) == 0 || got[len(got)-1] != 29; calls++ {
			require.Less(t, calls, 1000, "%v %+v", got, f.State())
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			g, err := f.NextGroup(ctx)
			cancel()
			if err != nil {
				require.ErrorIs(t, err, context.DeadlineExceeded)
				continue
			}
			got, gaps = append(got, g.Sequence()), append(gaps, g.Gaps()...)
			readFrames(t, g, 0, 2)
			requireEnd(t, g)
		}
		require.Equal(t, []uint64{23, 24, 25, 26, 27, 28, 29}, got)
		require.Equal(t, []Gap{{First: 1, Last: 22, Cause: errLost}}, gaps)
		_, fetched := link.log()
		require.Less(t, len(fetched), 20, "%v", fetched)
		require.NoError(t, f.Close())
		link.cut(nil)
	})
}

// TestResumeLastAmongBrokenGroups: groups that the publisher has reset do not hide those that
// can be had.
func TestResumeLastAmongBrokenGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		o := NewOrigin()
		link := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast, SubscribeOptions: SubscribeOptions{MaxAge: LiveOnly}})
		wholeGroup(t, tp, 0, 1)
		next(t, f, 0)
		synctest.Wait()
		link.cut(errLost)
		broken := map[uint64]bool{2: true, 5: true, 6: true, 9: true}
		for seq := uint64(1); seq < 14; seq++ {
			if broken[seq] {
				g, err := tp.CreateGroup(seq)
				require.NoError(t, err)
				g.Abort(moqerr.StreamCancelled)
				continue
			}
			wholeGroup(t, tp, seq, 2)
		}
		link = plug(t, pub, o)
		defer func() {
			_ = f.Close()
			link.cut(nil)
		}()
		var got []uint64
		for len(got) == 0 || got[len(got)-1] != 13 {
			got = append(got, handOut(t, f, 1)[0].Sequence())
		}
		require.Equal(t, []uint64{1, 3, 4, 7, 8, 10, 11, 12, 13}, got)
		require.Equal(t, uint64(4), f.State().LostGroups)
	})
}

// TestResumeWithinWaitsForTheTime: a group whose first frame is under way is not taken for one
// that is recent enough.
func TestResumeWithinWaitsForTheTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		o := NewOrigin()
		link := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{
			Resume: ResumeLast, Within: 2500 * time.Millisecond, SubscribeOptions: SubscribeOptions{MaxAge: time.Hour},
		})
		defer f.Close()
		wholeGroup(t, tp, 0, 1)
		next(t, f, 0)
		synctest.Wait()
		link.cut(errLost)
		wholeGroup(t, tp, 6, 1)
		link = plug(t, pub, o)
		got := make(chan *GroupConsumer)
		go func() {
			g, err := f.NextGroup(t.Context())
			assert.NoError(t, err)
			got <- g
		}()
		synctest.Wait()
		for seq := range uint64(5) {
			g, err := tp.CreateGroup(seq + 1)
			require.NoError(t, err)
			synctest.Wait()
			fillGroup(t, g, 0, 1)
			require.NoError(t, g.Close())
		}
		g := <-got
		require.Equal(t, uint64(4), g.Sequence())
		require.Equal(t, []Gap{{First: 1, Last: 3, Cause: errLost}}, g.Gaps())
		link.cut(nil)
	})
}

// TestResumeWithinDoesNotWaitForFrames: a group that was fetched and has no frame yet, by
// which its age could be told, holds up neither what comes after it nor Close.
func TestResumeWithinDoesNotWaitForFrames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		o := NewOrigin()
		link := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{
			Resume: ResumeLast, Within: time.Minute, SubscribeOptions: SubscribeOptions{MaxAge: LiveOnly},
		})
		wholeGroup(t, tp, 0, 1)
		next(t, f, 0)
		synctest.Wait()
		link.cut(errLost)
		var empty []*GroupProducer
		for _, seq := range []uint64{1, 2} {
			g, err := tp.CreateGroup(seq)
			require.NoError(t, err)
			empty = append(empty, g)
		}
		wholeGroup(t, tp, 3, 1)
		wholeGroup(t, tp, 4, 1)
		link = plug(t, pub, o)
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		g, err := f.NextGroup(ctx)
		if err == nil {
			require.Equal(t, uint64(1), g.Sequence())
			reading := background(t.Context(), f)
			synctest.Wait()
			closed := make(chan error, 1)
			go func() { closed <- f.Close() }()
			synctest.Wait()
			require.Len(t, closed, 1)
			require.ErrorIs(t, <-reading, moqerr.ErrClosed)
		}
		for _, g := range empty {
			_ = g.Close()
		}
		_ = f.Close()
		link.cut(nil)
		require.NoError(t, err)
	})
}

// TestStartIsOfTheOldNumbering: after a restart nothing is skipped for a Start that came before it.
func TestStartIsOfTheOldNumbering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		pub, tp := source(t, time.Hour)
		wholeGroup(t, tp, 1000, 1)
		link := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{Resume: ResumeLast, SubscribeOptions: SubscribeOptions{Start: ptr(1000)}})
		defer f.Close()
		next(t, f, 1000)
		link.cut(errLost)
		pub, tp = source(t, time.Hour) // another publisher, which begins at 0
		wholeGroup(t, tp, 0, 1)
		link = plug(t, pub, o)
		g, err := f.NextGroup(testCtx(t))
		require.NoError(t, err)
		require.EqualValues(t, 0, g.Sequence())
		require.True(t, g.Gap().Restarted)
		link.cut(errLost)
		wholeGroup(t, tp, 1, 1)
		link = plug(t, pub, o)
		g, err = f.NextGroup(testCtx(t))
		asked, _ := link.log()
		t.Log(*asked[0].Start)
		_ = f.Close()
		link.cut(nil)
		require.NoError(t, err)
		require.EqualValues(t, 1, g.Sequence())
	})
}

// TestUpdateSkipsAheadOfAHole: what a reader skips is not filled up.
func TestUpdateSkipsAheadOfAHole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Resume: ResumeLast})
		defer s.end()
		require.NoError(t, s.g.Close())
		s.link.cut(errLost)
		for seq := uint64(2); seq <= 10; seq++ {
			wholeGroup(t, s.tp, seq, 1)
		}
		_, err := s.f.NextGroup(expired())
		require.Error(t, err)
		require.NoError(t, s.f.Update(SubscribeOptions{Start: ptr(8)}))
		link := plug(t, s.pub, s.o)
		defer link.cut(nil)
		g, err := s.f.NextGroup(testCtx(t))
		require.NoError(t, err)
		asked, fetched := link.log()
		t.Log(*asked[0].Start, fetched, g.Gaps())
		require.EqualValues(t, 8, g.Sequence())
		_ = s.f.Close()
	})
}
