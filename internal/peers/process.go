package peers

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
	"time"
)

// Process is a peer that runs as a child. Its output is kept. On Linux it is killed when
// this process dies. All methods may be called concurrently.
type Process struct {
	name  string
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // closed when it has ended and its output was read
	lines chan string   // stdout, line by line; closed at its end

	mu  sync.Mutex
	log strings.Builder
}

// What of a log is kept for a line, and in all: a chatty peer must not fill the memory.
const (
	logWidth = 600
	logSize  = 4 << 20
)

// Start runs binary. Whoever starts it must read [Process.Line], or leave no more there
// than its buffer of 65,536 lines holds (logs belong on stderr), and must end it by
// [Process.Kill] or [Process.Terminate].
func Start(name, binary string, args ...string) (*Process, error) {
	p := &Process{name: name, done: make(chan struct{}), lines: make(chan string, 1<<16)}
	p.cmd = exec.Command(binary, args...)
	p.cmd.Env = append(os.Environ(), "NO_COLOR=1", "RUST_BACKTRACE=0", "PYTHONUNBUFFERED=1")
	p.cmd.SysProcAttr = endWithParent()
	stdin, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	p.stdin = stdin
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s does not start: %w", name, err)
	}
	p.follow(stdout, stderr)
	return p, nil
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
	if p.log.Len() < logSize {
		fmt.Fprintf(&p.log, "%s %s%s\n", time.Now().Format("15:04:05.000"), mark, line)
	}
}

// Name returns what it was called when it was started.
func (p *Process) Name() string { return p.name }

// Log returns what it printed so far, on both streams, with the times.
func (p *Process) Log() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// Tell writes one line to its stdin.
func (p *Process) Tell(line string) error {
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		return fmt.Errorf("%s is gone: %w", p.name, err)
	}
	return nil
}

// Line returns the next line of its stdout, and io.EOF after the last. One goroutine
// reads at a time.
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

// Kill ends it with SIGKILL and waits for it. It may be called again.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

// Terminate ends it with SIGTERM and waits for it.
func (p *Process) Terminate() { p.signal(syscall.SIGTERM) }

func (p *Process) signal(s os.Signal) {
	_ = p.cmd.Process.Signal(s) // an error means that it has ended already
	<-p.done
}

// Done is closed when it has ended and its output was read.
func (p *Process) Done() <-chan struct{} { return p.done }

// ExitCode waits for its end and returns its status; -1 if a signal ended it.
func (p *Process) ExitCode(ctx context.Context) (int, error) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("%s still runs: %w", p.name, context.Cause(ctx))
	}
}
