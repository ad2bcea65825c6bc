package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSlope(t *testing.T) {
	x := []float64{1, 10, 100, 1000}
	require.InDelta(t, 0, slope(x, []float64{7, 7, 7, 7}), 1e-9)
	require.InDelta(t, 1, slope(x, []float64{3, 30, 300, 3000}), 1e-9)
	require.InDelta(t, 2, slope(x, []float64{1, 100, 1e4, 1e6}), 1e-9)
}

// TestSmallSections runs what is quick, to see that it still runs.
func TestSmallSections(t *testing.T) {
	var out bytes.Buffer
	small := growthOf("tracks", tracks, 1, 10)
	require.NoError(t, small(t.Context(), &out, 1))
	small = growthOf("groups", groups, 1, 10)
	require.NoError(t, small(t.Context(), &out, 1))
	small = growthOf("announcements", announcements, 1, 10)
	require.NoError(t, small(t.Context(), &out, 1))
	require.Contains(t, out.String(), "slope")
	for _, arm := range []open{openSession, openRaw} {
		for _, alone := range []bool{true, false} {
			w, err := newWriter(t.Context(), arm, 3, pattern{frames: func(int) int { return 5 }, alone: alone})
			require.NoError(t, err)
			p, err := w.measure(t.Context(), 60)
			w.close()
			require.NoError(t, err)
			require.Positive(t, p.time)
			require.Positive(t, p.packets)
		}
	}
}

// TestPatternIsFair: however many tracks share the frames, as many groups begin, and all along.
func TestPatternIsFair(t *testing.T) {
	p := pattern{frames: func(int) int { return groupFrames }}
	for _, n := range subscriptionCounts {
		warm := max(n, rate/5)
		total, most := 0, 0
		for second := range 6 {
			begun := 0
			for i := range rate {
				if _, first := p.at(warm+second*rate+i, n); first {
					begun++
				}
			}
			total, most = total+begun, max(most, begun)
		}
		require.InDelta(t, 6*rate/groupFrames, total, 1, "%d tracks", n)
		require.LessOrEqual(t, most, rate/groupFrames+10, "%d tracks", n)
	}
}

func TestJudge(t *testing.T) {
	require.Equal(t, "target 1.3: met", verdict(1.3, 1.3))
	require.Equal(t, "target 1.3: missed", verdict(1.31, 1.3))
	surely := []float64{1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2}
	require.Equal(t, "target 1.3: met", judge(surely, 1.3))
	require.Equal(t, "target 1.1: missed", judge(surely, 1.1))
	require.Equal(t, "target 1.3: met, not for sure", judge([]float64{1.1, 1.1, 1.1, 1.1, 1.2, 1.4, 1.4, 1.4, 1.4}, 1.3))
	require.Equal(t, "target 1.3: met, not for sure", judge(surely[:3], 1.3))
}
