package pubsub

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// TestFollowGapsLeaveOutWhatCame: a loss around a whole group, and around frames that
// came, is told in pieces.
func TestFollowGapsLeaveOutWhatCame(t *testing.T) {
	for _, c := range []struct {
		name  string
		first []part
		then  uint64
		want  []Gap
		lost  uint64
	}{
		{
			"a whole one in between",
			[]part{{3, 2, ""}, {4, 1, "."}, {5, 1, ""}},
			6,
			[]Gap{{First: 3, FirstFrame: 2, Last: 3}, {First: 5, FirstFrame: 1, Last: 5}},
			2,
		},
		{
			"and more after them",
			[]part{{3, 2, ""}, {4, 1, "."}, {5, 1, ""}},
			9,
			[]Gap{{First: 3, FirstFrame: 2, Last: 3}, {First: 5, FirstFrame: 1, Last: 8}},
			5,
		},
		{
			"two cut ones in a row",
			[]part{{3, 2, ""}, {4, 1, ""}},
			5,
			[]Gap{{First: 3, FirstFrame: 2, Last: 3}, {First: 4, FirstFrame: 1, Last: 4}},
			2,
		},
		{
			"of which the second had no frame",
			[]part{{3, 2, ""}, {4, 0, ""}},
			6,
			[]Gap{{First: 3, FirstFrame: 2, Last: 5}},
			3,
		},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			o := NewOrigin()
			f := follow(t, o, FollowOptions{})
			l := connect(t, o, []uint64{5}, serving(t, c.first))
			require.Nil(t, handOut(t, f, len(c.first))[0].Gaps())
			<-l.served
			l.cut(errLost)
			connect(t, o, []uint64{5}, serving(t, []part{{c.then, 1, "."}}))
			g := handOut(t, f, 1)[0]
			for i := range c.want {
				c.want[i].Cause = errLost
			}
			require.Equal(t, c.want, g.Gaps())
			require.Equal(t, &c.want[len(c.want)-1], g.Gap(), "the one just before the group")
			require.Equal(t, c.lost, f.State().LostGroups)
		})
	}
}

// TestFollowLossBeforeTheEnd: no gap can tell what was lost before the end.
func TestFollowLossBeforeTheEnd(t *testing.T) {
	for _, c := range []struct {
		name  string
		first []part
		hops  []uint64 // of the second link
		then  []part
		endAt uint64 // of the track; 0: it goes on
		opts  SubscribeOptions
		lost  uint64
	}{
		{"the asked range", []part{{3, 1, "."}}, []uint64{5}, []part{{20, 1, "."}}, 0, SubscribeOptions{End: ptr(9)}, 6},
		{"the track", []part{{3, 1, "."}}, []uint64{5}, nil, 7, SubscribeOptions{}, 3},
		{"a group that was cut", []part{{3, 1, ""}}, []uint64{5}, nil, 4, SubscribeOptions{}, 1},
		{"nothing", []part{{3, 1, "."}}, []uint64{5}, nil, 4, SubscribeOptions{}, 0},
		{"the last one follows", []part{{3, 1, "."}}, []uint64{5}, []part{{6, 1, "."}}, 7, SubscribeOptions{}, 2},
		{"another publisher", []part{{3, 1, "."}}, []uint64{9}, nil, 20, SubscribeOptions{}, 0},
		{"another numbering", []part{{3, 1, ""}, {4, 1, "."}}, []uint64{0}, nil, 4, SubscribeOptions{}, 0},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			o := NewOrigin()
			f := follow(t, o, FollowOptions{SubscribeOptions: c.opts})
			l := connect(t, o, []uint64{5}, serving(t, c.first))
			handOut(t, f, len(c.first))
			<-l.served
			l.cut(errLost)
			connect(t, o, c.hops, func(tp *TrackProducer) {
				serving(t, c.then)(tp)
				if c.endAt > 0 {
					require.NoError(t, tp.EndAt(c.endAt))
					require.NoError(t, tp.Close())
				}
			})
			finish(t, f)
			require.Equal(t, c.lost, f.State().LostGroups)
			_, err := f.NextGroup(testCtx(t))
			require.Equal(t, io.EOF, err)
			require.Equal(t, c.lost, f.State().LostGroups, "counted once")
		})
	}
}

// TestFollowGoesOnBehindALostEnd: with a higher End the gap begins where the count ended.
func TestFollowGoesOnBehindALostEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := follow(t, o, FollowOptions{SubscribeOptions: SubscribeOptions{End: ptr(9)}})
		l := connect(t, o, []uint64{5}, serving(t, []part{{3, 1, "."}}))
		handOut(t, f, 1)
		<-l.served
		l.cut(errLost)
		connect(t, o, []uint64{5}, serving(t, []part{{20, 1, "."}}))
		finish(t, f)
		require.Equal(t, uint64(6), f.State().LostGroups)
		require.NoError(t, f.Update(SubscribeOptions{}))
		require.Equal(t, []Gap{{First: 10, Last: 19, Cause: errLost}}, handOut(t, f, 1)[0].Gaps())
		require.Equal(t, uint64(16), f.State().LostGroups)
	})
}

// TestFollowBringsBackWhatWasOnTheWay: a group that was overtaken when the subscription failed
// is not lost yet, if it is wanted: the next subscription may bring it, or somebody keep it.
func TestFollowBringsBackWhatWasOnTheWay(t *testing.T) {
	five := []uint64{5}
	for _, c := range []struct {
		name string
		opts FollowOptions
		here int // groups that are to be had before there is another subscription
		from []uint64
		then []part
		want []string
		lost uint64
	}{
		{"it comes", FollowOptions{Resume: ResumeLast}, 2, five, []part{{5, 1, "."}, {6, 1, "."}, {7, 1, "."}}, []string{"3@0+1", "4@0+1", "5@0+1", "6@0+1", "7@0+1"}, 0},
		{"nobody has it", FollowOptions{Resume: ResumeLast}, 2, five, []part{{7, 1, "."}}, []string{"3@0+1", "4@0+1", "6@0+1 gap 5/0-5 lost", "7@0+1"}, 1},
		{"another publisher comes", FollowOptions{Resume: ResumeLast}, 2, []uint64{9}, []part{{0, 1, "."}, {7, 1, "."}}, []string{"3@0+1", "4@0+1", "6@0+1 gap 5/0-5 lost", "0@0+1 gap 7/0-0 restarted lost", "7@0+1 gap 1/0-6"}, 7},
		{"nobody knows whether it is another one", FollowOptions{Resume: ResumeLast}, 2, nil, []part{{0, 1, "."}, {7, 1, "."}}, []string{"3@0+1", "4@0+1", "6@0+1 gap 5/0-5 lost", "0@0+1 gap 7/0-0 restarted lost", "7@0+1 gap 1/0-6"}, 7},
		{"nobody waits for it", FollowOptions{}, 3, five, []part{{5, 1, "."}, {7, 1, "."}}, []string{"3@0+1", "4@0+1", "6@0+1 gap 5/0-5 lost", "7@0+1"}, 1},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			o := NewOrigin()
			f := follow(t, o, c.opts)
			l := connect(t, o, []uint64{5}, serving(t, []part{{3, 1, "."}, {4, 1, "."}, {6, 1, "."}}))
			first := handOut(t, f, 1)
			<-l.served
			l.cut(errLost)
			first = append(first, handOut(t, f, c.here-1)...)
			requireNone(t, f.NextGroup)
			connect(t, o, c.from, func(tp *TrackProducer) {
				serving(t, c.then)(tp)
				require.NoError(t, tp.EndAt(8))
				require.NoError(t, tp.Close())
			})
			require.Equal(t, c.want, describeAll(t, append(first, finish(t, f)...)))
			require.Equal(t, c.lost, f.State().LostGroups)
		})
	}
}

// TestFollowGivesUpWhatARestartLeftBehind: a group that was cut before it was handed out ends
// when another publisher begins: nobody brings the rest of it. That one shows only by its
// numbers, and is here before, since the reader of an earlier group has moved the Follower on.
func TestFollowGivesUpWhatARestartLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := follow(t, o, FollowOptions{Resume: ResumeLast})
		l := connect(t, o, nil, serving(t, []part{{3, 1, ""}, {4, 1, ""}}))
		first := next(t, f, 3)
		<-l.served
		synctest.Wait()
		l.cut(errLost)
		second := connect(t, o, nil, serving(t, []part{{0, 1, "."}}))
		readFrame := func(g *GroupConsumer) {
			_, err := g.NextFrame(t.Context())
			require.NoError(t, err)
		}
		readFrame(first)
		requireLost(t, first, 1, errLost)
		cut := next(t, f, 4)
		readFrame(cut)
		g, err := f.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(0), g.Sequence())
		require.True(t, g.Gaps()[0].Restarted)
		requireLost(t, cut, 1, errLost)
		second.cut(nil)
	})
}

// TestGapAboveTheEdge: losses one behind the other leave no group untold.
func TestGapAboveTheEdge(t *testing.T) {
	for _, resume := range []Resume{ResumeLive, ResumeLast} {
		inBubble(t, label(uint64(resume), 0), func(t *testing.T) {
			o := NewOrigin()
			whole := func(tp *TrackProducer, seqs ...uint64) {
				for _, seq := range seqs {
					part{seq, 1, "."}.write(t, tp)
				}
			}
			l := connect(t, o, []uint64{9}, func(tp *TrackProducer) { whole(tp, 5) })
			f := follow(t, o, FollowOptions{Resume: resume})
			nextSeq(t, f) // 5
			tp := <-l.served
			_ = tp
			l.cut(errLost)
			// The second session brings 10 only.
			l = connect(t, o, []uint64{9}, func(tp *TrackProducer) { whole(tp, 6, 10) })
			seq, _ := nextSeq(t, f)
			require.EqualValues(t, 6, seq)
			<-l.served
			l.cut(errLost)
			l = connect(t, o, []uint64{9}, func(tp *TrackProducer) { whole(tp, 7) })
			seq, _ = nextSeq(t, f)
			require.EqualValues(t, 7, seq)
			tp = <-l.served
			time.Sleep(2 * time.Second)
			whole(tp, 8)
			seq, _ = nextSeq(t, f)
			require.EqualValues(t, 8, seq)
			whole(tp, 12)
			var told []Gap
			var seqs []uint64
			for len(seqs) == 0 || seqs[len(seqs)-1] < 12 {
				g, err := f.NextGroup(testCtx(t))
				require.NoError(t, err)
				seqs = append(seqs, g.Sequence())
				told = append(told, g.Gaps()...)
			}
			t.Log(seqs, told)
			require.Equal(t, []uint64{10, 12}, seqs)
			require.Len(t, told, 2)
			require.EqualValues(t, 9, told[0].First)
			require.EqualValues(t, 11, told[1].First)
			_ = f.Close()
			l.cut(errLost)
		})
	}
}

// TestRestartToldOnce: groups of a restarted publisher that are lost again are told as one restart
// and one loss.
func TestRestartToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		l := connect(t, o, []uint64{9}, func(tp *TrackProducer) { part{5, 1, "."}.write(t, tp) })
		f := follow(t, o, FollowOptions{SubscribeOptions: SubscribeOptions{MaxAge: LiveOnly}})
		nextSeq(t, f)
		<-l.served
		l.cut(errLost)
		feed := o.Feed()
		_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{10}})
		require.NoError(t, err)
		time.Sleep(time.Second)
		requireNone(t, f.NextGroup) // it asks
		tp := accept(t, feed)
		putGroup(t, tp, 0, 0, 1)
		putGroup(t, tp, 2, 2*time.Second, 1)
		putGroup(t, tp, 3, 3*time.Second, 1)
		feed.Close(errLost)
		seq, gap := nextSeq(t, f)
		require.EqualValues(t, 2, seq)
		require.Equal(t, &Gap{First: 6, Cause: errLost, Restarted: true}, gap)
		seq, gap = nextSeq(t, f)
		require.EqualValues(t, 3, seq)
		require.Nil(t, gap)
		l = connect(t, o, []uint64{10}, func(tp *TrackProducer) { part{7, 1, "."}.write(t, tp) })
		seq, gap = nextSeq(t, f)
		require.EqualValues(t, 7, seq)
		require.Equal(t, &Gap{First: 4, Last: 6, Cause: errLost}, gap)
		_ = f.Close()
		l.cut(errLost)
	})
}

// TestGapBeforeARestart: what was given up before a restart is told with it.
func TestGapBeforeARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{})
		defer s.end()
		s.open.Abort(moqerr.StreamCancelled)
		_, err := s.g.NextFrame(testCtx(t))
		var gap *moqerr.GapError
		require.ErrorAs(t, err, &gap)
		synctest.Wait()
		s.link.cut(errLost)
		pub, tp := source(t, time.Hour)
		wholeGroup(t, tp, 0, 1)
		link := plug(t, pub, s.o)
		defer link.cut(nil)
		g, err := s.f.NextGroup(testCtx(t))
		require.NoError(t, err)
		require.True(t, g.Gap().Restarted)
		t.Logf("%+v", g.Gaps())
		require.Len(t, g.Gaps(), 2)
		require.Equal(t, gap.Gap, g.Gaps()[0])
		require.EqualValues(t, 1, s.f.State().LostGroups)
	})
}
