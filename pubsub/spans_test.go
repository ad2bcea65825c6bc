package pubsub

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpans(t *testing.T) {
	var s spans
	s.add(5, 7)
	s.add(9, 8) // empty
	s.add(1, 2)
	require.Equal(t, spans{{1, 2}, {5, 7}}, s)
	s.add(3, 4)
	require.Equal(t, spans{{1, 7}}, s)
	require.Equal(t, uint64(8), s.past(3))
	require.Equal(t, uint64(8), s.past(8))
	require.Equal(t, uint64(0), s.past(0))
	s.add(0, maxVarint)
	require.Equal(t, spans{{0, maxVarint}}, s)
	s.cut(10)
	require.Len(t, s, 1)
	s.cut(maxVarint + 1)
	require.Empty(t, s)
}

func TestSpansAgainstSet(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var s spans
		set := map[uint64]bool{}
		for range 20 {
			first := r.Uint64N(100)
			last := first + r.Uint64N(10)
			s.add(first, last)
			for i := first; i <= last; i++ {
				set[i] = true
			}
		}
		for i := range uint64(120) {
			want := i
			for set[want] {
				want++
			}
			require.Equal(t, want, s.past(i))
		}
		rest := map[uint64]bool{}
		for _, p := range s.without(7, 103) {
			for i := p.first; i <= p.last; i++ {
				rest[i] = true
			}
		}
		for i := range uint64(120) {
			require.Equal(t, i >= 7 && i < 103 && !set[i], rest[i], i)
		}
	}
}

func TestSpansAreBounded(t *testing.T) {
	var s spans
	for i := range uint64(1000) {
		s.add(i*3, i*3)
	}
	require.Len(t, s, maxSpans)
	require.Equal(t, uint64(999*3+1), s.past(999*3), "the highest stay")
}
