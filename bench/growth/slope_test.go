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
	cost, err := subscribed(t.Context(), 3, 30)
	require.NoError(t, err)
	require.Positive(t, cost)
}
