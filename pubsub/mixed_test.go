package pubsub

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestGapsLeaveOutDatagrams: what is known to have come as a datagram is no lost group, also
// in the middle of a loss, and also where the groups around it are not kept any more.
func TestGapsLeaveOutDatagrams(t *testing.T) {
	put := func(t *testing.T, tp *TrackProducer, seq uint64) {
		require.NoError(t, tp.PutDatagram(seq, RawFrame{}))
	}
	t.Run("groups that never come", func(t *testing.T) {
		o := NewOrigin()
		tp := newTestTrack(t, o, time.Hour)
		c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
		for _, seq := range []uint64{1, 3, 4, 7} {
			put(t, tp, seq)
		}
		tp.Drop(0, 7)
		putGroup(t, tp, 8, 0, 1)
		g, err := c.NextGroup(testCtx(t))
		require.NoError(t, err)
		require.Equal(t, []Gap{{First: 0, Last: 0}, {First: 2, Last: 2}, {First: 5, Last: 6}}, g.Gaps())
		put(t, tp, 9)
		tp.Drop(9, 9)
		putGroup(t, tp, 10, 0, 1)
		_, gap := nextSeq(t, c)
		require.Nil(t, gap)
	})
	t.Run("a slow reader", func(t *testing.T) {
		o := NewOrigin()
		tp := newTestTrack(t, o, 5*time.Second)
		c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
		for seq := uint64(0); seq < 200; seq += 2 {
			putGroup(t, tp, seq, time.Duration(seq)*time.Second, 1)
			put(t, tp, seq+1)
		}
		g, err := c.NextGroup(testCtx(t))
		require.NoError(t, err)
		require.Greater(t, g.Sequence(), uint64(190))
		require.Len(t, g.Gaps(), int(g.Sequence()/2))
		for i, gap := range g.Gaps() {
			require.Equal(t, Gap{First: uint64(2 * i), Last: uint64(2 * i)}, gap)
		}
	})
}

// TestADatagramCanBeTheEnd: readers of groups hear of a datagram behind the last of them when
// nothing else is missing.
func TestADatagramCanBeTheEnd(t *testing.T) {
	for name, read := range map[string]func(*TrackConsumer) error{
		"in order":   func(c *TrackConsumer) error { _, err := c.NextGroup(bg); return err },
		"by arrival": func(c *TrackConsumer) error { _, err := c.NextArrival(bg); return err },
	} {
		inBubble(t, name, func(t *testing.T) {
			o := NewOrigin()
			tp := newTestTrack(t, o, time.Hour)
			c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
			putGroup(t, tp, 0, 0, 1)
			require.NoError(t, tp.EndAt(2))
			require.NoError(t, read(c))
			end := make(chan error, 1)
			go func() { end <- read(c) }()
			synctest.Wait()
			require.NoError(t, tp.PutDatagram(1, RawFrame{}))
			synctest.Wait()
			require.Len(t, end, 1, "it sleeps on")
			require.Equal(t, io.EOF, <-end)
		})
	}
}

// TestFollowAMixedTrack: a loss does not count the datagrams that had come, and does not wait
// for them.
func TestFollowAMixedTrack(t *testing.T) {
	for _, resume := range []Resume{ResumeLive, ResumeLast} {
		synctest.Test(t, func(t *testing.T) {
			o := NewOrigin()
			f := follow(t, o, FollowOptions{Resume: resume})
			put := func(tp *TrackProducer, all ...uint64) {
				for _, seq := range all {
					require.NoError(t, tp.PutDatagram(seq, RawFrame{}))
				}
			}
			l := connect(t, o, []uint64{5}, func(tp *TrackProducer) {
				serving(t, []part{{3, 1, "."}})(tp)
				put(tp, 4, 6)
			})
			handOut(t, f, 1)
			<-l.served
			synctest.Wait()
			l.cut(errLost)
			connect(t, o, []uint64{5}, func(tp *TrackProducer) {
				put(tp, 8)
				serving(t, []part{{9, 1, "."}})(tp)
			})
			g := handOut(t, f, 1)[0]
			require.Equal(t, uint64(9), g.Sequence())
			require.Equal(t, []Gap{{First: 5, Last: 5, Cause: errLost}, {First: 7, Last: 7, Cause: errLost}}, g.Gaps())
			require.Equal(t, uint64(2), f.State().LostGroups)
		})
	}
}

// TestDatagramsAreASignOfLife: a subscription that brings datagrams is not silent.
func TestDatagramsAreASignOfLife(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		f := follow(t, o, FollowOptions{Stall: 5 * time.Second})
		connect(t, o, []uint64{5}, func(tp *TrackProducer) {
			serving(t, []part{{0, 1, "."}})(tp)
			for seq := uint64(1); seq < 30; seq++ {
				time.Sleep(time.Second)
				_ = tp.PutDatagram(seq, RawFrame{})
			}
			serving(t, []part{{30, 1, "."}})(tp)
		})
		handOut(t, f, 1)
		g, err := f.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(30), g.Sequence())
		require.Nil(t, g.Gaps())
		require.Zero(t, f.State().Losses)
	})
}
