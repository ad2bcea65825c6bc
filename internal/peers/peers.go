// Package peers runs the real peers, which the script ci/peers installs, as child
// processes: a moq-relay on loopback that can be killed and started again, and a
// proxy for what a network can do to its packets. It serves tests and benchmarks.
package peers

import (
	"fmt"
	"os"
	"path/filepath"
)

// The peers that ci/peers installs, as paths below its cache. The versions stand
// here and there: a peer that was built from another version is not found.
const (
	MoqRelay   = "moq-relay-0.17.10/bin/moq-relay" // November: lite-06 and older
	MoqRelay14 = "moq-relay-0.14.12/bin/moq-relay" // August: lite-05 and older
	Clock      = "moq-tokio-0.19.31/bin/clock"
	Python     = "venv/bin/python" // with the packages moq-rs and moq-ffi
)

// Path returns the absolute path of an installed peer. The error says how to get one
// that is missing.
func Path(name string) (string, error) {
	dir, err := cache()
	if err != nil {
		return "", err
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("a real peer is missing: run ci/peers: %w", err)
	}
	return path, nil
}

// cache is where ci/peers puts them, by the same rule.
func cache() (string, error) {
	if dir := os.Getenv("MOQ_PEERS"); dir != "" {
		return dir, nil
	}
	dir := os.Getenv("XDG_CACHE_HOME")
	if dir == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", err
		}
		dir = filepath.Join(home, ".cache")
	}
	return filepath.Join(dir, "remoq-peers"), nil
}
