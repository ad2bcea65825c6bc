package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var epoch = time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)

func ms(n int) time.Time { return epoch.Add(time.Duration(n) * time.Millisecond) }

// arrivals are moments in milliseconds.
func arrivals(at ...int) []time.Time {
	var times []time.Time
	for _, n := range at {
		times = append(times, ms(n))
	}
	return times
}

func TestHole(t *testing.T) {
	for name, c := range map[string]struct {
		at   []time.Time
		kill int
		want time.Duration
	}{
		"across the kill":                {arrivals(0, 10, 20, 920, 930), 25, 900 * time.Millisecond},
		"a frame was on its way":         {arrivals(0, 10, 20, 30, 930), 25, 900 * time.Millisecond},
		"it stops again":                 {arrivals(0, 10, 300, 310, 1310, 1320), 15, time.Second},
		"what was before does not count": {arrivals(0, 5000, 5010, 5310, 5320), 5015, 300 * time.Millisecond},
		"killed between two frames":      {arrivals(0, 10), 5, 10 * time.Millisecond},
		"killed as a frame came":         {arrivals(0, 10, 500), 10, 490 * time.Millisecond},
		"none after the kill":            {arrivals(0, 10), 10, 0},
		"none before the kill":           {arrivals(100, 110), 50, 10 * time.Millisecond},
		"no frames":                      {nil, 0, 0},
	} {
		require.Equal(t, c.want, hole(c.at, ms(c.kill)), name)
	}
}

func TestFirst(t *testing.T) {
	at := arrivals(0, 10, 20)
	got, ok := first(at, ms(10))
	require.True(t, ok)
	require.Equal(t, ms(20), got, "a frame at the moment itself is not after it")
	got, ok = first(at, ms(-1))
	require.True(t, ok)
	require.Equal(t, ms(0), got)
	_, ok = first(at, ms(20))
	require.False(t, ok)
	_, ok = first(nil, ms(0))
	require.False(t, ok)
}

func TestFlowing(t *testing.T) {
	const calm, pause = 30 * time.Millisecond, 15 * time.Millisecond
	for name, c := range map[string]struct {
		at   []time.Time
		want bool
	}{
		"long enough":            {arrivals(10, 20, 30, 40), true},
		"not yet":                {arrivals(10, 20, 30, 39), false},
		"a pause at the start":   {arrivals(10, 30, 40, 50), false},
		"and then long enough":   {arrivals(10, 30, 40, 50, 60), true},
		"a pause at the end":     {arrivals(10, 20, 30, 40, 56), false},
		"old frames":             {arrivals(-50, -40, -30, -20, -10, 0), false},
		"old frames do not help": {arrivals(-20, -10, 0, 10, 20), false},
		"one frame":              {arrivals(10), false},
		"none":                   {nil, false},
	} {
		require.Equal(t, c.want, flowing(c.at, epoch, calm, pause), name)
	}
}

func TestTimelineCountsAFrameOnce(t *testing.T) {
	l := newTimeline()
	for _, frame := range []uint64{0, 1, 2, 1, 2, 3} {
		l.add(frame)
	}
	require.Len(t, l.times(), 4)
	require.Equal(t, 2, l.repeated())
	require.Len(t, l.bell, 1)
}

func TestTimelineForgets(t *testing.T) {
	l := newTimeline()
	l.at = arrivals(0, 10, 20, 30)
	l.forget(ms(-1))
	require.Equal(t, arrivals(0, 10, 20, 30), l.times())
	l.forget(ms(20))
	require.Equal(t, arrivals(20, 30), l.times(), "the last one before it begins the hole")
	l.forget(ms(99))
	require.Equal(t, arrivals(30), l.times())
}
