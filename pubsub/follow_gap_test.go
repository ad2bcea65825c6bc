package pubsub

import (
	"io"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
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
