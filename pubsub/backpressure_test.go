package pubsub

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// TestOneReaderStops is R10 in memory: of a hundred readers one stops. What is kept stays
// within the budget and 5 %, the others get everything, and the one finds the newest, and
// the exact range that it lost, oldest first.
func TestOneReaderStops(t *testing.T) {
	const (
		budget, readers = 1 << 20, 100
		groups, size    = 1000, 4000
	)
	for name, opts := range map[string]OriginOptions{
		"origin": {Budget: budget, TrackBudget: -1},
		"track":  {Budget: 1 << 40, TrackBudget: budget},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewOriginWith(opts)
			ctx := testCtx(t)
			tp := newTestTrack(t, o, time.Hour)
			stopped := subscribe(t, o, SubscribeOptions{})
			putGroup(t, tp, 0, 0, 1)
			seq, _ := nextSeq(t, stopped)
			require.Zero(t, seq)

			var wg sync.WaitGroup
			read := make(chan uint64, readers)
			for range readers - 1 {
				c := subscribe(t, o, SubscribeOptions{Start: ptr(1)})
				wg.Go(func() {
					for next := uint64(1); ; next++ {
						g, err := c.NextGroup(ctx)
						if err == io.EOF && next == groups {
							return
						}
						if err != nil || g.Sequence() != next || g.Gap() != nil {
							t.Errorf("group %d: %v, %v", next, g, err)
							return
						}
						for err == nil {
							_, err = g.NextFrame(ctx)
						}
						if err != io.EOF {
							t.Error(err)
						}
						if next%100 == 0 {
							read <- next
						}
					}
				})
			}
			most := int64(0)
			for i := uint64(1); i < groups; i++ {
				g, err := tp.CreateGroup(i)
				require.NoError(t, err)
				for range 4 {
					require.NoError(t, g.WriteOwned(Frame{Timestamp: time.Duration(i) * time.Second, Payload: make([]byte, size/4)}))
					most = max(most, o.held.Load())
				}
				require.NoError(t, g.Close())
				if i%100 == 0 { // the others keep up: they are not to be measured by the scheduler
					for range readers - 1 {
						<-read
					}
				}
			}
			require.NoError(t, tp.Close())
			wg.Wait()
			require.LessOrEqual(t, most, int64(budget+budget/20))
			require.Greater(t, most, int64(budget*3/4), "the budget is used")

			next, gap := nextSeq(t, stopped)
			require.Equal(t, &Gap{First: 1, Last: next - 1}, gap)
			require.Less(t, next, uint64(groups-100), "as much as the budget holds is left")
			for want := next + 1; want < groups; want++ {
				next, gap = nextSeq(t, stopped)
				require.Equal(t, want, next)
				require.Nil(t, gap)
			}
			require.Equal(t, uint64(groups-1), next, "the newest is not lost")
		})
	}
}

// TestBudgetOfASupplier: its older groups go first, those of its other tracks too, then what
// grows beyond it is cut; other suppliers are not concerned.
func TestBudgetOfASupplier(t *testing.T) {
	const budget = 1 << 20
	o := NewOrigin()
	b := NewBudget(budget)
	feed := func(prefix string, b *Budget) func(name string) (*TrackProducer, *TrackConsumer) {
		f := o.FeedWith(b)
		_, err := f.Attach(Route{Prefix: prefix, Hops: []uint64{9}})
		require.NoError(t, err)
		bc, err := o.Lookup(prefix, 0)
		require.NoError(t, err)
		return func(name string) (*TrackProducer, *TrackConsumer) {
			asked := asking(testCtx(t), bc, name)
			q, err := f.Next(testCtx(t))
			require.NoError(t, err)
			tp, err := q.Accept(TrackInfo{MaxAge: time.Hour})
			require.NoError(t, err)
			return tp, (<-asked).c
		}
	}
	bad, good := feed("bad", b), feed("good", nil)
	goodTrack, _ := good("t")
	fill := func(tp *TrackProducer, seq uint64, n int) (*GroupProducer, error) {
		g, err := tp.CreateGroup(seq)
		require.NoError(t, err)
		return g, g.WriteOwned(Frame{Payload: make([]byte, n)})
	}
	_, err := fill(goodTrack, 0, 4*budget)
	require.NoError(t, err)
	idle, _ := bad("idle")
	for seq := range uint64(10) {
		_, err := fill(idle, seq, budget/20)
		require.NoError(t, err)
	}
	busy, reader := bad("busy")
	for seq := range uint64(100) {
		_, err := fill(busy, seq, budget/20)
		require.NoError(t, err)
		require.LessOrEqual(t, b.Held(), int64(budget))
	}
	g, err := fill(busy, 100, budget/2)
	require.NoError(t, err)
	require.Less(t, len(idle.t.cache.groups), 10, "an idle track gives back what is old too")
	require.NoError(t, g.WriteOwned(Frame{Payload: make([]byte, budget/4)}))
	err = g.WriteOwned(Frame{Payload: make([]byte, budget/2)})
	require.ErrorIs(t, err, streamError(moqerr.StreamEvicted))
	require.LessOrEqual(t, b.Held(), int64(budget))
	require.Error(t, g.WriteOwned(Frame{}))
	_, err = fill(busy, 101, budget/20)
	require.NoError(t, err)
	seq, _ := nextSeq(t, reader)
	require.Equal(t, uint64(101), seq)
	require.Len(t, goodTrack.t.cache.groups, 1)
	require.False(t, b.Take(budget))
	require.True(t, b.Take(budget/8))
	b.Give(budget / 8)
	require.True(t, (*Budget)(nil).Take(1<<60))
}

// TestIdleTracksGiveBack: what a track that is not written any more keeps does not stay when
// others need the room.
func TestIdleTracksGiveBack(t *testing.T) {
	const budget = 4 << 20
	o := NewOriginWith(OriginOptions{Budget: budget, TrackBudget: -1})
	b := announced(t, o, "b")
	fill := func(name string) *TrackProducer {
		tp, err := b.CreateTrack(name, TrackInfo{MaxAge: time.Hour})
		require.NoError(t, err)
		for range 100 {
			require.NoError(t, tp.WriteFrame(Frame{Payload: make([]byte, budget/50)}))
		}
		return tp
	}
	idle := fill("idle")
	require.Greater(t, len(idle.t.cache.groups), 40)
	busy := fill("busy")
	require.InDelta(t, 25, len(idle.t.cache.groups), 4, "its share stays")
	require.InDelta(t, 25, len(busy.t.cache.groups), 4)
	require.LessOrEqual(t, o.held.Load(), int64(budget+budget/20))
	require.NoError(t, b.Close())
	require.Empty(t, o.tracks)
	require.Zero(t, o.held.Load())
}
