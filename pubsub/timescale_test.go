package pubsub

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		d     time.Duration
		scale uint64
		ticks uint64
	}{
		{0, 1000, 0},
		{time.Second, 90_000, 90_000},
		{499 * time.Microsecond, 1000, 0},
		{500 * time.Microsecond, 1000, 1},
		{1499 * time.Microsecond, 1000, 1},
		{math.MaxInt64, 1_000_000_000, maxTicks},            // saturates at 2^61-1
		{math.MaxInt64, maxVarint, maxTicks},                // needs 128 bits
		{time.Nanosecond, maxVarint, 4611686018},            // 2^62 / 10^9
		{math.MaxInt64, 1000, 9223372036855},                // rounds up
		{365 * 24 * time.Hour, 1_000_000, 31536000_000_000}, // a year
	} {
		require.Equal(t, c.ticks, toTicks(c.d, c.scale), "%v at %d", c.d, c.scale)
	}
}

func TestDuration(t *testing.T) {
	for _, c := range []struct {
		ticks, scale uint64
		d            time.Duration
	}{
		{0, 1, 0},
		{1, 3, 333333333},
		{2, 3, 666666667},
		{90_000, 90_000, time.Second},
		{maxVarint, 1, math.MaxInt64},
		{maxVarint, maxVarint, time.Second},
	} {
		require.Equal(t, c.d, toDuration(c.ticks, c.scale), "%d at %d", c.ticks, c.scale)
	}
}

func TestTicksRoundTrip(t *testing.T) {
	for _, scale := range []uint64{1, 25, 1000, 44_100, 48_000, 90_000, 1_000_000} {
		for ticks := uint64(0); ticks < 1<<40; ticks = ticks*3 + 1 {
			if ticks/scale < math.MaxInt64/uint64(time.Second) {
				require.Equal(t, ticks, toTicks(toDuration(ticks, scale), scale), "scale %d", scale)
			}
		}
	}
}

func TestAddTicks(t *testing.T) {
	require.Equal(t, uint64(5), addTicks(2, 3))
	require.Equal(t, uint64(math.MaxUint64), addTicks(math.MaxUint64-1, 2))
}
