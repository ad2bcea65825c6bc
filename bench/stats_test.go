package main

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		in   []float64
		want float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1}, 5},
		{[]float64{3, 1, 2}, 2},
		{[]float64{4, 1, 3, 2}, 2.5},
	} {
		before := append([]float64(nil), c.in...)
		require.Equal(t, c.want, median(c.in))
		require.Equal(t, before, c.in, "the samples keep their order")
	}
}

// The ranks are those of every table of the sign test.
func TestIntervalRanks(t *testing.T) {
	for n, rank := range map[int]int{6: 1, 8: 1, 9: 2, 11: 2, 12: 3, 15: 4, 20: 6, 30: 10} {
		v := make([]float64, n)
		for i := range v {
			v[i] = float64(i + 1)
		}
		rand.Shuffle(n, func(i, j int) { v[i], v[j] = v[j], v[i] })
		low, high, ok := interval(v)
		require.True(t, ok, n)
		require.Equal(t, float64(rank), low, n)
		require.Equal(t, float64(n+1-rank), high, n)
	}
	_, _, ok := interval([]float64{1, 2, 3, 4, 5})
	require.False(t, ok, "five samples lie all on one side of the median in 6 % of cases")
}

// An interval of 95 % misses the median of a skewed distribution in at most 5 %.
func TestIntervalCovers(t *testing.T) {
	const runs = 4000
	random := rand.New(rand.NewPCG(1, 2))
	missed := 0
	for range runs {
		v := make([]float64, 9)
		for i := range v {
			v[i] = random.ExpFloat64()
		}
		low, high, ok := interval(v)
		require.True(t, ok)
		if low > math.Ln2 || high < math.Ln2 {
			missed++
		}
	}
	require.Less(t, missed, runs*6/100)
	require.Greater(t, missed, runs*2/100, "and it is no wider than it must be")
}
