package pubsub

import (
	"math"
	"math/bits"
	"time"
)

// What the wire can carry (moq-lite.md §3.1, §3.6). Of a sequence the one after it must
// fit too; the difference between two timestamps must fit into ±2^61.
const (
	maxVarint   = 1<<62 - 1
	maxSequence = maxVarint - 1
	maxTicks    = 1<<61 - 1
)

// toTicks converts a duration, which is not negative, to ticks of a timescale, rounded to
// the nearest and at most maxTicks.
func toTicks(d time.Duration, timescale uint64) uint64 {
	return scale(uint64(d), timescale, uint64(time.Second), maxTicks)
}

// toDuration converts ticks back, rounded to the nearest and at most the longest duration.
func toDuration(ticks, timescale uint64) time.Duration {
	return time.Duration(scale(ticks, uint64(time.Second), timescale, math.MaxInt64))
}

// scale returns v * num / den, rounded to the nearest, at most limit.
func scale(v, num, den, limit uint64) uint64 {
	hi, lo := bits.Mul64(v, num)
	lo, carry := bits.Add64(lo, den/2, 0)
	hi += carry
	if hi >= den {
		return limit
	}
	q, _ := bits.Div64(hi, lo, den)
	return min(q, limit)
}
