package pubsub

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDemandAggregates(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 3*time.Second)
	require.Zero(t, tp.Demand().Readers)

	steps := []struct {
		name string
		add  SubscribeOptions
		want Demand
	}{
		{"live only", SubscribeOptions{MaxAge: LiveOnly, Start: ptr(7), End: ptr(9)}, Demand{Readers: 1, Start: ptr(7), End: ptr(9)}},
		{"lower start", SubscribeOptions{MaxAge: time.Second, Priority: 3, Start: ptr(4), End: ptr(8)}, Demand{Readers: 2, Priority: 3, MaxAge: time.Second, Start: ptr(4), End: ptr(9)}},
		{"capped", SubscribeOptions{MaxAge: time.Hour, Priority: 1, Start: ptr(5), End: ptr(12)}, Demand{Readers: 3, Priority: 3, MaxAge: 3 * time.Second, Start: ptr(4), End: ptr(12)}},
		{"zero", SubscribeOptions{}, Demand{Readers: 4, Priority: 3, MaxAge: 3 * time.Second}},
	}
	var readers []*TrackConsumer
	for _, s := range steps {
		before := tp.Demand().Changed
		readers = append(readers, subscribe(t, o, s.add))
		got := tp.Demand()
		require.NotNil(t, got.Changed)
		requireClosed(t, before, s.name)
		got.Changed = nil
		require.Equal(t, s.want, got, s.name)
	}
	require.NoError(t, readers[3].Close())
	require.Equal(t, uint64(4), *tp.Demand().Start, "a reader that left does not count")
}

func TestDemandWakesOnChangeOnly(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	none := tp.Demand().Changed
	first := subscribe(t, o, SubscribeOptions{Priority: 5})
	requireClosed(t, none, "none to some")

	changed := tp.Demand().Changed
	second := subscribe(t, o, SubscribeOptions{Priority: 5})
	third := subscribe(t, o, SubscribeOptions{Priority: 2})
	require.NoError(t, third.Update(SubscribeOptions{Priority: 4}))
	require.NoError(t, third.Close())
	requireOpen(t, changed, "the sum is the same")
	require.Equal(t, 2, tp.Demand().Readers)

	require.NoError(t, second.Update(SubscribeOptions{Priority: 6}))
	requireClosed(t, changed, "priority rose")
	changed = tp.Demand().Changed
	require.NoError(t, first.Close())
	requireOpen(t, changed, "not the highest")
	require.NoError(t, second.Close())
	requireClosed(t, changed, "some to none")
	require.Equal(t, 0, tp.Demand().Readers)
}

func TestOptionsAreCopied(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	start := ptr(3)
	subscribe(t, o, SubscribeOptions{Start: start})
	*start = 9
	require.Equal(t, uint64(3), *tp.Demand().Start)
}

func requireClosed(t testing.TB, ch <-chan struct{}, msg string) {
	t.Helper()
	select {
	case <-ch:
	default:
		require.Fail(t, "channel is open", msg)
	}
}

func requireOpen(t testing.TB, ch <-chan struct{}, msg string) {
	t.Helper()
	select {
	case <-ch:
		require.Fail(t, "channel is closed", msg)
	default:
	}
}
