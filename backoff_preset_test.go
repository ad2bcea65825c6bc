package moq

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The policies as they are promised, wait by wait.
func TestPresets(t *testing.T) {
	const s = time.Second
	for _, test := range []struct {
		policy Backoff
		delays []time.Duration
	}{
		{Eager(), []time.Duration{s, s, s, s, s, s, s, s, s, 2 * s, 4 * s, 5 * s, 5 * s, 5 * s}},
		{Gentle(), []time.Duration{5 * s, 5 * s, 5 * s, 5 * s, 5 * s, 5 * s, 5 * s, 5 * s, 5 * s}},
	} {
		require.NoError(t, test.policy.validate())
		p := newPacer(test.policy)
		p.random = func(n time.Duration) time.Duration { return n - 1 } // the longest wait there is
		for i, delay := range test.delays {
			wait, _ := p.next()
			require.Equal(t, delay, wait, "wait %d of %+v", i+1, test.policy)
		}
		require.Zero(t, p.deadline(), "a preset never gives up")
	}
}

// Who changes what a preset returned changes nobody else's.
func TestPresetsAreCopies(t *testing.T) {
	mine := Eager()
	mine.Timeout = time.Minute
	require.Zero(t, Eager().Timeout)

	var named Backoff
	require.NoError(t, named.UnmarshalText([]byte("eager")))
	require.Equal(t, Eager(), named)
	require.NoError(t, named.UnmarshalText([]byte("gentle")))
	require.Equal(t, Gentle(), named)
}
