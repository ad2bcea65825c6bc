//go:build interop

package interop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/peers"
)

// Relay is a moq-relay on loopback, or what stands in for one. It is ended when the
// test ends, and its log is shown when the test fails.
type Relay struct{ *peers.Relay }

func startRelay(t *testing.T, o peers.RelayOptions) *Relay {
	t.Helper()
	inner, err := peers.NewRelay(o)
	require.NoError(t, err)
	r := &Relay{inner}
	t.Cleanup(func() {
		require.NoError(t, r.Close())
		showLog(t, "the relay", r.Log())
	})
	r.Start(t)
	return r
}

// Start runs the relay and waits until it answers.
func (r *Relay) Start(t *testing.T) {
	t.Helper()
	require.NoError(t, r.Relay.Start(within(t, 20*time.Second)))
}

// Restart starts the ended relay again after a while.
func (r *Relay) Restart(t *testing.T, after time.Duration) {
	t.Helper()
	pause(t.Context(), after)
	r.Start(t)
}
