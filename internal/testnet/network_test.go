package testnet

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var loaded = time.Now()

// TestClockStandsAboveZero: quic-go counts time from when the process began.
func TestClockStandsAboveZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		New(t, time.Millisecond)
		require.Positive(t, time.Since(loaded))
	})
}
