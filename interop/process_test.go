//go:build interop

package interop

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/peers"
)

// Process is a peer that runs as a child. It is killed and waited for when the test
// ends, and its log is shown when the test fails.
type Process struct{ *peers.Process }

// logTail is what of a log is shown.
const logTail = 32 << 10

// start runs binary. Whoever starts it must read Lines, or leave no more there
// than its buffer holds: logs belong on stderr.
func start(t *testing.T, name, binary string, args ...string) *Process {
	t.Helper()
	p, err := peers.Start(name, binary, args...)
	require.NoError(t, err)
	t.Cleanup(func() {
		p.Kill()
		showLog(t, name, p.Log())
	})
	return &Process{p}
}

// showLog shows the end of a peer's log when the test failed.
func showLog(t *testing.T, name, log string) {
	if t.Failed() {
		t.Logf("log of %s:\n%s", name, log[max(0, len(log)-logTail):])
	}
}

// Say writes one line to its stdin.
func (p *Process) Say(t *testing.T, line string) {
	t.Helper()
	require.NoError(t, p.Tell(line))
}

// within returns a context for one step of a test.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeoutCause(t.Context(), d, fmt.Errorf("took longer than %v", d))
	t.Cleanup(cancel)
	return ctx
}

// pause waits for d, or less if the test ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
