package moq

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// rivals are the policies of others, each as its code has it. A failed attempt takes no
// time.
var rivals = []struct {
	name string
	wait func(random *rand.Rand, failures int) time.Duration // failures counts from 0
}{
	{"upstream", func(random *rand.Rand, failures int) time.Duration { // moq-tokio 0.19.31
		return between(random, 0.5, 1, grown(time.Second, 2, 5*time.Second, failures))
	}},
	{"nats.go", func(random *rand.Rand, _ int) time.Duration { // one server, no TLS
		return 2*time.Second + between(random, 0, 1, 100*time.Millisecond)
	}},
	{"grpc-go", func(random *rand.Rand, failures int) time.Duration { // tries at once, and after 1 s sharp
		if failures < 2 {
			return time.Duration(failures) * time.Second
		}
		return between(random, 0.8, 1.2, grown(time.Second, 1.6, 2*time.Minute, failures-1))
	}},
	{"full jitter", func(random *rand.Rand, failures int) time.Duration {
		return between(random, 0, 1, grown(2*time.Second, 2, 30*time.Second, failures))
	}},
}

// grown is the delay after so many failures.
func grown(initial time.Duration, multiplier float64, limit time.Duration, failures int) time.Duration {
	return time.Duration(min(float64(initial)*math.Pow(multiplier, float64(failures)), float64(limit)))
}

// between is a random time from a times d to b times d.
func between(random *rand.Rand, a, b float64, d time.Duration) time.Duration {
	return time.Duration((a + random.Float64()*(b-a)) * float64(d))
}

// rival lets a fleet of others pass through an outage.
func rival(name string, wait func(random *rand.Rand, failures int) time.Duration, outage time.Duration) herd {
	return once(fmt.Sprint(name, outage), func() herd {
		return endure(outage, func(random *rand.Rand) func() time.Duration {
			failures := -1
			return func() time.Duration {
				failures++
				return wait(random, failures)
			}
		})
	})
}

// TestHerdTable prints a line of JSON for each policy, from which bench/supervisors makes
// row P13. What the figures of ours have to be stands in the tests of backoff_herd_test.go.
func TestHerdTable(t *testing.T) {
	t.Parallel()
	show := func(policy string, pass func(outage time.Duration) herd) {
		short, long := pass(hiccup), pass(breakage)
		line, err := json.Marshal(map[string]any{
			"policy": policy,
			"short":  short.figures(),
			"long":   long.figures(),
			"steady": long.steadiness(breakage/2, breakage),
		})
		require.NoError(t, err)
		fmt.Fprintf(t.Output(), "herd %s\n", line)
		require.Len(t, long.back, fleet)
	}
	for _, ours := range []struct {
		name   string
		policy Backoff
	}{{"Standard", Backoff{}}, {"Eager", Eager()}, {"Gentle", Gentle()}} {
		show(ours.name, func(outage time.Duration) herd { return stampede(ours.policy, outage) })
	}
	for _, other := range rivals {
		show(other.name, func(outage time.Duration) herd { return rival(other.name, other.wait, outage) })
	}
}

// figures are percent of the fleet, and seconds.
func (h herd) figures() map[string]float64 {
	return map[string]float64{
		"busiest": h.crowd(0),
		"late":    h.crowd(10 * time.Second),
		"p50":     h.quantile(0.5).Seconds(),
		"p99":     h.quantile(0.99).Seconds(),
	}
}

// The models of others give the figures by which our defaults were chosen.
func TestRivals(t *testing.T) {
	t.Parallel()
	for i, want := range []struct {
		crowd                        float64
		shortP50, shortP99, p50, p99 time.Duration
	}{
		{20, 2260 * time.Millisecond, 3610 * time.Millisecond, 1880 * time.Millisecond, 4560 * time.Millisecond},
		{100, 1100 * time.Millisecond, 1190 * time.Millisecond, 1500 * time.Millisecond, 1870 * time.Millisecond},
		{100, 2130 * time.Millisecond, 2900 * time.Millisecond, 9950 * time.Millisecond, 18700 * time.Millisecond},
		{7.7, 1660 * time.Millisecond, 13200 * time.Millisecond, 8700 * time.Millisecond, 27 * time.Second},
	} {
		other := rivals[i]
		short, long := rival(other.name, other.wait, hiccup), rival(other.name, other.wait, breakage)
		near := func(got, want time.Duration) {
			t.Helper()
			require.InEpsilon(t, want.Seconds(), got.Seconds(), 0.05, other.name)
		}
		require.InEpsilon(t, want.crowd, short.crowd(0), 0.05, other.name)
		near(short.quantile(0.5), want.shortP50)
		near(short.quantile(0.99), want.shortP99)
		near(long.quantile(0.5), want.p50)
		near(long.quantile(0.99), want.p99)
	}
}
