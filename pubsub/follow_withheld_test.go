package pubsub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestWithheldGroupsAreFetched: whoever wants all of a track fetches what a subscription that runs
// on leaves out. If nobody has it, it is lost, and no loss of the subscription is its cause.
func TestWithheldGroupsAreFetched(t *testing.T) {
	leftOut := Gap{First: 2, Last: 3}
	drop := func(tp *TrackProducer) { tp.Drop(2, 3) }
	for name, c := range map[string]struct {
		resume Resume
		age    time.Duration
		keeps  []uint64 // who is asked
		asked  bool
		came   []uint64
		gap    Gap
		say    func(*TrackProducer) // of what does not come; nil: nothing
	}{
		"kept":                    {ResumeLast, 0, []uint64{2, 3}, true, []uint64{2, 3}, Gap{}, drop},
		"one is kept":             {ResumeLast, 0, []uint64{3}, true, []uint64{3}, Gap{First: 2, Last: 2}, drop},
		"START is above them":     {ResumeLast, 0, []uint64{2, 3}, true, []uint64{2, 3}, Gap{}, func(tp *TrackProducer) { tp.StartAt(4) }},
		"nobody has them":         {ResumeLast, 0, nil, true, nil, leftOut, drop},
		"they just do not come":   {ResumeLast, 0, []uint64{2, 3}, true, []uint64{2, 3}, Gap{}, nil},
		"they would be too old":   {ResumeLast, time.Second, []uint64{2, 3}, false, nil, leftOut, drop},
		"the live edge is wanted": {ResumeLive, 0, []uint64{2, 3}, false, nil, leftOut, drop},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pub, tp := source(t, time.Hour)
				for _, seq := range c.keeps {
					wholeGroup(t, tp, seq, 2)
				}
				o, taken := NewOrigin(), make(chan struct{})
				l := connect(t, o, []uint64{pub.Identity()}, func(tp *TrackProducer) {
					wholeGroup(t, tp, 1, 2)
					<-taken
					if c.say != nil {
						c.say(tp)
					}
					wholeGroup(t, tp, 4, 2)
				})
				l.feed.AnswerFetches()
				asked := false
				go func() {
					side := &cable{from: pub, feed: l.feed, ctx: t.Context()}
					for {
						q, err := l.feed.NextFetch(t.Context())
						if err != nil {
							return
						}
						asked = true
						side.serve(q)
					}
				}()
				f := follow(t, o, FollowOptions{Resume: c.resume, SubscribeOptions: SubscribeOptions{MaxAge: c.age}})
				readFrames(t, next(t, f, 1), 0, 2)
				close(taken)
				var got []uint64
				var gaps []Gap
				for len(got) == 0 || got[len(got)-1] != 4 {
					g, err := f.NextGroup(testCtx(t))
					require.NoError(t, err)
					readFrames(t, g, 0, 2)
					got, gaps = append(got, g.Sequence()), append(gaps, g.Gaps()...)
				}
				require.Equal(t, append(c.came, 4), got)
				if c.gap == (Gap{}) {
					require.Empty(t, gaps)
				} else {
					require.Equal(t, []Gap{c.gap}, gaps)
				}
				require.Equal(t, c.asked, asked)
				require.Zero(t, f.State().Losses)
				_ = f.Close()
				l.cut(errLost)
			})
		})
	}
}
