//go:build interop

package interop

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The peers that ci/peers installs, as paths below its cache. The versions stand
// here and there: a peer that was built from another version is not found.
const (
	relayNew = "moq-relay-0.17.10/bin/moq-relay" // November: lite-06 and older
	relayOld = "moq-relay-0.14.12/bin/moq-relay" // August: lite-05 and older
	clockBin = "moq-tokio-0.19.31/bin/clock"
	python   = "venv/bin/python"
)

func peersDir() string {
	if dir := os.Getenv("MOQ_PEERS"); dir != "" {
		return dir
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	return filepath.Join(cache, "remoq-peers")
}

// peer returns the path of an installed peer, and fails the test without it.
func peer(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(peersDir(), name))
	require.NoError(t, err)
	_, err = os.Stat(path)
	require.NoError(t, err, "a real peer is missing: run ci/peers")
	return path
}

func TestPeersAreInstalled(t *testing.T) {
	for _, name := range []string{relayNew, relayOld, clockBin, python} {
		require.FileExists(t, filepath.Join(peersDir(), name), "a real peer is missing: run ci/peers")
	}
}
