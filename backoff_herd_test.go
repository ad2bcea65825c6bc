package moq

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	fleet = 100_000
	slot  = 100 * time.Millisecond
)

// herd is what a fleet that lost its relay at one moment does until all are back.
type herd struct {
	slots []int           // attempts in each slot since the loss
	back  []time.Duration // how long after the end of the outage each was back; sorted
}

// stampede lets a fleet of pacers pass through an outage.
func stampede(policy Backoff, outage time.Duration) herd {
	return once(fmt.Sprint(policy, outage), func() herd {
		return endure(outage, func(random *rand.Rand) func() time.Duration {
			p := newPacer(policy)
			p.random = func(n time.Duration) time.Duration { return time.Duration(random.Int64N(int64(n))) }
			return func() time.Duration {
				wait, _ := p.next()
				return wait
			}
		})
	})
}

var passed sync.Map // by what was passed through: func() herd

// once runs what several tests look at once: the seed is fixed, so it would come out the
// same again. What it returns is shared.
func once(name string, pass func() herd) herd {
	shared, _ := passed.LoadOrStore(name, sync.OnceValue(pass))
	return shared.(func() herd)()
}

// endure lets a fleet pass through an outage; client makes one that tells how long it waits
// before its next attempt. An attempt within the outage fails at once, the first one
// after it succeeds: the clients do not touch each other, so each runs through its own
// virtual time.
func endure(outage time.Duration, client func(*rand.Rand) func() time.Duration) herd {
	random := rand.New(rand.NewPCG(13, 100_000))
	h := herd{back: make([]time.Duration, 0, fleet)}
	for range fleet {
		wait := client(random)
		var now time.Duration
		for now < outage {
			now += wait()
			for int(now/slot) >= len(h.slots) {
				h.slots = append(h.slots, 0)
			}
			h.slots[now/slot]++
		}
		h.back = append(h.back, now-outage)
	}
	slices.Sort(h.back)
	return h
}

// quantile is how long after the outage that share of the fleet is back.
func (h herd) quantile(share float64) time.Duration {
	return h.back[int(share*float64(len(h.back)-1))]
}

// crowd is the busiest slot from that moment on, in percent of the fleet.
func (h herd) crowd(from time.Duration) float64 {
	most := 0
	for _, n := range h.slots[min(int(from/slot), len(h.slots)):] {
		most = max(most, n)
	}
	return 100 * float64(most) / fleet
}

// steadiness is the busiest slot of the stretch over the mean one.
func (h herd) steadiness(from, to time.Duration) float64 {
	stretch := h.slots[from/slot : to/slot]
	sum := 0
	for _, n := range stretch {
		sum += n
	}
	return float64(slices.Max(stretch)) * float64(len(stretch)) / float64(sum)
}

func (h herd) report(t *testing.T, name string, outage time.Duration) {
	round := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	t.Logf("%-18s outage %3v: busiest 100 ms %4.1f %%, from 10 s on %4.1f %%; back p50 %v, p99 %v, last %v",
		name, outage, h.crowd(0), h.crowd(10*time.Second), round(h.quantile(0.5)), round(h.quantile(0.99)), round(h.quantile(1)))
}

const (
	hiccup   = 3 * time.Second
	breakage = time.Minute
)

func TestHerdGentle(t *testing.T) {
	t.Parallel()
	h := stampede(Gentle(), hiccup)
	h.report(t, "Gentle", hiccup)
	require.LessOrEqual(t, h.crowd(0), 4.0)

	h = stampede(Gentle(), breakage)
	h.report(t, "Gentle", breakage)
	steady := h.steadiness(breakage/2, breakage)
	t.Logf("Gentle: in the second half of the outage the busiest 100 ms has %.2f times the mean", steady)
	require.LessOrEqual(t, h.quantile(0.99), 5*time.Second)
	require.LessOrEqual(t, steady, 1.10)
	require.LessOrEqual(t, h.crowd(10*time.Second), 4.0)
	// Who tried early and who tries late for the first time meet just before 5 s. No
	// constant delay with a p99 of 5 s keeps this one slot at 4 %.
	require.LessOrEqual(t, h.crowd(0), 5.2)
	require.LessOrEqual(t, h.crowd(5*time.Second), 4.0)
}

func TestHerdEager(t *testing.T) {
	t.Parallel()
	h := stampede(Eager(), hiccup)
	h.report(t, "Eager", hiccup)
	require.LessOrEqual(t, h.crowd(0), 25.0)
	require.LessOrEqual(t, h.quantile(0.5), 300*time.Millisecond)

	h = stampede(Eager(), breakage)
	h.report(t, "Eager", breakage)
	require.LessOrEqual(t, h.crowd(10*time.Second), 4.0)
	require.LessOrEqual(t, h.crowd(0), 25.0)
	require.LessOrEqual(t, h.quantile(0.99), 5*time.Second)
}

func TestHerdStandard(t *testing.T) {
	t.Parallel()
	for _, outage := range []time.Duration{hiccup, breakage} {
		h := stampede(Backoff{}, outage)
		h.report(t, "Standard", outage)
		require.Less(t, h.crowd(0), 16.0)
		require.LessOrEqual(t, h.quantile(1), defaultMax)
	}
}
