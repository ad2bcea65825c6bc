package schedule_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestExpandRepeats: a seed is one schedule, whenever it expands, and no other seed's.
func TestExpandRepeats(t *testing.T) {
	seen := make(map[string]uint64)
	for seed := range uint64(2000) {
		s := expand(seed)
		require.Equal(t, s, expand(seed))
		s.seed = 0
		other, twice := seen[s.String()]
		require.False(t, twice, "%d and %d are the same", seed, other)
		seen[s.String()] = seed
	}
}

// TestExpandIsLegal: each kind of fault occurs, those of one lane come one after the other,
// and all of them end.
func TestExpandIsLegal(t *testing.T) {
	var seen [kinds]int
	for seed := range uint64(500) {
		s := expand(seed)
		n := 0
		for i, lane := range s.lanes {
			at := time.Duration(0)
			for _, f := range lane {
				require.Contains(t, lanes[i], f.kind)
				require.GreaterOrEqual(t, f.at, at, "%v", s)
				require.GreaterOrEqual(t, f.till, f.at, "%v", s)
				require.Less(t, f.till, time.Minute, "%v", s)
				at = f.till
				seen[f.kind]++
				n++
			}
		}
		require.NotZero(t, n, "seed %d is no schedule", seed)
		require.NotEmpty(t, s.readers)
	}
	for k, n := range seen {
		require.NotZero(t, n, "%v", kind(k))
	}
}
