package moq

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPhaseString(t *testing.T) {
	for phase, want := range map[Phase]string{
		Connecting: "connecting", Connected: "connected", Waiting: "waiting", Stopped: "stopped", Stopped + 1: "unknown",
	} {
		require.Equal(t, want, phase.String())
	}
}
