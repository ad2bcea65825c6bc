package moq

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// requireWithin asserts that a wait is one of a delay: random in [d/10, d].
func requireWithin(t *testing.T, wait, delay time.Duration) {
	t.Helper()
	require.GreaterOrEqual(t, wait, delay/10)
	require.LessOrEqual(t, wait, delay)
}

func TestPacerGrowth(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		name   string
		policy Backoff
		delays []time.Duration // the last one stays
	}{
		{"standard", Backoff{}, []time.Duration{s, 2 * s, 4 * s, 8 * s, 16 * s, 30 * s, 30 * s}},
		{"held", Backoff{Hold: 7, Max: 5 * s}, []time.Duration{s, s, s, s, s, s, s, 2 * s, 4 * s, 5 * s}},
		{"constant", Backoff{Initial: 5 * s, Multiplier: 1, Max: 9 * s}, []time.Duration{5 * s, 5 * s}},
		{"at the cap from the start", Backoff{Initial: 3 * s, Max: 3 * s}, []time.Duration{3 * s, 3 * s}},
		{"in one leap", Backoff{Multiplier: math.MaxFloat64, Max: math.MaxInt64}, []time.Duration{s, math.MaxInt64}},
		{"a fraction", Backoff{Multiplier: 1.5}, []time.Duration{s, 1500 * time.Millisecond, 2250 * time.Millisecond}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPacer(test.policy)
			for round := range 3 {
				for i, delay := range test.delays {
					wait, failures := p.next()
					require.Equal(t, i+1, failures)
					requireWithin(t, wait, delay)
				}
				require.Equal(t, len(test.delays), p.failures, "round %d", round)
				p.reset()
			}
		})
	}
}

func TestPacerSaturates(t *testing.T) {
	t.Parallel()
	for _, test := range []Backoff{
		{},
		{Initial: time.Hour, Max: math.MaxInt64},
		{Initial: math.MaxInt64 - 1, Multiplier: 1.0000001, Max: math.MaxInt64},
		{Initial: time.Second, Multiplier: 3.7, Max: math.MaxInt64/2 + 1},
	} {
		p := newPacer(test)
		for range 10_000 {
			wait, _ := p.next()
			require.Positive(t, wait)
			require.LessOrEqual(t, wait, p.policy.Max)
		}
		wait, failures := p.next()
		require.Equal(t, 10_001, failures)
		requireWithin(t, wait, p.policy.Max)
	}
}

// The spread is what keeps a fleet apart, so the whole range has to be in use, from
// the first wait on and at the cap as well.
func TestPacerSpread(t *testing.T) {
	t.Parallel()
	for _, before := range []int{0, 100} {
		counts := make([]int, 9) // tenths of the delay, from the second on
		const draws = 9000
		for range draws {
			p := newPacer(Backoff{Initial: 10 * time.Second, Max: 20 * time.Second})
			delay := 10 * time.Second
			for range before {
				p.next()
				delay = 20 * time.Second
			}
			wait, _ := p.next()
			requireWithin(t, wait, delay)
			counts[min(int(wait*10/delay)-1, 8)]++
		}
		for tenth, n := range counts {
			// 1,000 ± 30 each: 200 off is nearly seven deviations.
			require.InDelta(t, draws/9, n, 200, "tenth %d after %d failures", tenth+1, before)
		}
	}
}

func TestPacerBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPacer(Backoff{FirstTimeout: 3 * time.Second, Timeout: time.Minute})
		start := time.Now()
		require.Equal(t, start.Add(3*time.Second), p.deadline())
		time.Sleep(3*time.Second - 1)
		require.False(t, p.spent())
		time.Sleep(time.Nanosecond)
		require.True(t, p.spent())

		p.reset()
		require.Equal(t, start.Add(63*time.Second), p.deadline())
		require.False(t, p.spent())
		time.Sleep(time.Minute)
		require.True(t, p.spent())

		for _, never := range []Backoff{{}, {Timeout: -1}, {FirstTimeout: -1, Timeout: time.Second}} {
			p := newPacer(never)
			require.Zero(t, p.deadline())
			time.Sleep(1000 * time.Hour)
			require.False(t, p.spent())
		}
	})
}

func TestPacerStable(t *testing.T) {
	p := newPacer(Backoff{StableAfter: 5 * time.Second})
	require.False(t, p.stable(5*time.Second-1))
	require.True(t, p.stable(5*time.Second))

	p = newPacer(Backoff{StableAfter: -1})
	require.True(t, p.stable(0), "off: every session counts")
}

// A credential that is good for decades is no reason to hurry.
func TestRenewalOfALongLife(t *testing.T) {
	t.Parallel()
	since := time.Now()
	for _, years := range []int{1, 36, 37, 50, 73, 150, 290, 8000} {
		at := renewal(since, since.AddDate(years, 0, 0))
		require.Greater(t, at.Sub(since), time.Duration(min(years, 290))*290*24*time.Hour, "%d years", years)
	}
}
