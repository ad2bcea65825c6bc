//go:build interop

package interop

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/peers"
)

// peer returns the path of an installed peer, and fails the test without it.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := peers.Path(name)
	require.NoError(t, err)
	return path
}

func TestPeersAreInstalled(t *testing.T) {
	for _, name := range []string{peers.MoqRelay, peers.MoqRelay14, peers.Clock, peers.Python} {
		require.FileExists(t, peer(t, name))
	}
}
