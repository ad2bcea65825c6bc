//go:build interop

package interop

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Process is a peer that runs as a child. Its output is kept, and shown when the
// test fails; it is killed and waited for when the test ends, and by the kernel
// when this process dies.
type Process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when it has ended and its output was read
	lines chan string   // stdout, line by line; closed at its end

	mu  sync.Mutex
	log strings.Builder
}

// What of a log is kept for a line, and shown in the end.
const (
	logWidth = 600
	logTail  = 32 << 10
)

// start runs binary. Whoever starts it must read Lines, or leave no more there
// than its buffer holds: logs belong on stderr.
func start(t *testing.T, name, binary string, args ...string) *Process {
	t.Helper()
	p := &Process{name: name, done: make(chan struct{}), lines: make(chan string, 1<<16)}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = append(os.Environ(), "NO_COLOR=1", "RUST_BACKTRACE=0", "PYTHONUNBUFFERED=1")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdin, err := p.cmd.StdinPipe()
	require.NoError(t, err)
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start(), "a real peer does not start: run ci/peers")
	p.follow(stdout, stderr)
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			log := p.Log()
			t.Logf("log of %s:\n%s", p.name, log[max(0, len(log)-logTail):])
		}
	})
	return p
}

func (p *Process) follow(stdout, stderr io.Reader) {
	var readers sync.WaitGroup
	readers.Go(func() {
		defer close(p.lines)
		for line := range each(stdout) {
			p.note("| ", line)
			p.lines <- line
		}
	})
	readers.Go(func() {
		for line := range each(stderr) {
			p.note("", line)
		}
	})
	go func() {
		defer close(p.done)
		readers.Wait()
		p.note("", fmt.Sprintf("ended: %v", p.cmd.Wait()))
	}()
}

func each(r io.Reader) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() && yield(lines.Text()) {
		}
	}
}

func (p *Process) note(mark, line string) {
	limit := logWidth
	if mark != "" {
		limit = logWidth / 8 // frames: their beginning will do
	}
	if len(line) > limit {
		line = line[:limit] + "…"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(&p.log, "%s %s%s\n", time.Now().Format("15:04:05.000"), mark, line)
}

// Log returns what it printed so far.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Say writes one line to its stdin.
func (p *Process) Say(t *testing.T, line string) {
	t.Helper()
	require.NoError(t, p.Tell(line))
}

// Tell is Say for goroutines other than the test's.
func (p *Process) Tell(line string) error {
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		return fmt.Errorf("%s is gone: %w", p.name, err)
	}
	return nil
}

// Line returns the next line of its stdout, and io.EOF after the last.
func (p *Process) Line(ctx context.Context) (string, error) {
	select {
	case line, ok := <-p.lines:
		if !ok {
			return "", io.EOF
		}
		return line, nil
	case <-ctx.Done():
		return "", fmt.Errorf("%s: no further line: %w", p.name, context.Cause(ctx))
	}
}

// Kill ends it with SIGKILL and waits for it.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

// Terminate ends it with SIGTERM and waits for it.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

func (p *Process) signal(s os.Signal) {
	_ = p.cmd.Process.Signal(s) // an error means that it has ended already
	<-p.done
}

// ExitCode waits for its end and returns its status; -1 if a signal ended it.
func (p *Process) ExitCode(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s still runs: %w", p.name, context.Cause(ctx))
	}
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
