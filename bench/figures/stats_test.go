package figures

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
		require.Equal(t, c.want, Median(c.in))
		require.Equal(t, before, c.in, "the samples keep their order")
	}
}

func TestQuantile(t *testing.T) {
	hundred := make([]float64, 100)
	for i := range hundred {
		hundred[i] = float64(100 - i)
	}
	for _, c := range []struct {
		in   []float64
		q    float64
		want float64
	}{
		{[]float64{7}, 0.5, 7},
		{[]float64{7}, 0.99, 7},
		{[]float64{2, 1}, 0.5, 1},
		{[]float64{3, 1, 2}, 0.5, 2},
		{hundred, 0, 1},
		{hundred, 0.07, 7},
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred[:40], 0.99, 100},
		{hundred, 1, 100},
	} {
		require.Equal(t, c.want, Quantile(c.in, c.q), "%v", c.q)
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
		low, high, ok := Interval(v)
		require.True(t, ok, n)
		require.Equal(t, float64(rank), low, n)
		require.Equal(t, float64(n+1-rank), high, n)
	}
	_, _, ok := Interval([]float64{1, 2, 3, 4, 5})
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
		low, high, ok := Interval(v)
		require.True(t, ok)
		if low > math.Ln2 || high < math.Ln2 {
			missed++
		}
	}
	require.Less(t, missed, runs*6/100)
	require.Greater(t, missed, runs*2/100, "and it is no wider than it must be")
}
