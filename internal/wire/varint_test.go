package wire

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

var varints = []struct {
	value uint64
	wire  string
}{
	{0, `00`},
	{63, `3f`},
	{64, `40 40`},
	{300, `41 2c`},
	{16383, `7f ff`},
	{16384, `80 00 40 00`},
	{1_000_000, `80 0f 42 40`},
	{1<<30 - 1, `bf ff ff ff`},
	{1 << 30, `c0 00 00 00 40 00 00 00`},
	{MaxVarint, `ff ff ff ff ff ff ff ff`},
}

func TestVarint(t *testing.T) {
	for _, c := range varints {
		wire := unhex(c.wire)
		require.Equal(t, wire, AppendVarint(nil, c.value))
		require.Equal(t, len(wire), VarintLen(c.value))

		v, n := cutVarint(append(wire, 0xff))
		require.Equal(t, c.value, v)
		require.Equal(t, len(wire), n)

		for short := range wire {
			_, n := cutVarint(wire[:short])
			require.Zero(t, n, "%d of %d bytes", short, len(wire))
		}
	}
}

// Any length is accepted (§3.1).
func TestVarintLongerThanNeeded(t *testing.T) {
	for _, wire := range []string{`25`, `40 25`, `80 00 00 25`, `c0 00 00 00 00 00 00 25`} {
		v, n := cutVarint(unhex(wire))
		require.Equal(t, uint64(37), v)
		require.Equal(t, len(unhex(wire)), n)
	}
}

func TestVarintOutOfRangePanics(t *testing.T) {
	for _, v := range []uint64{MaxVarint + 1, math.MaxUint64} {
		require.Panics(t, func() { AppendVarint(nil, v) })
		require.Panics(t, func() { VarintLen(v) })
	}
}

func TestZigzag(t *testing.T) {
	for _, c := range []struct {
		n int64
		v uint64
	}{
		{0, 0},
		{-1, 1},
		{1, 2},
		{-2, 3},
		{1000, 2000},
		{-5000, 9999},
		{1<<61 - 1, MaxVarint - 1},
		{-1 << 61, MaxVarint},
		{math.MaxInt64, math.MaxUint64 - 1},
		{math.MinInt64, math.MaxUint64},
	} {
		require.Equal(t, c.v, zigzag(c.n))
		require.Equal(t, c.n, unzigzag(c.v))
	}
}

func BenchmarkAppendVarint(b *testing.B) {
	buf := make([]byte, 0, 8)
	for i := 0; b.Loop(); i++ {
		buf = AppendVarint(buf[:0], uint64(i)&MaxVarint)
	}
}
