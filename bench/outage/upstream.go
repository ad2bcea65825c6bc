package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/remoq/moq/internal/peers"
)

//go:embed upstream.py
var script string

// upstream is a publisher and a subscriber of the Python package moq-rs, each in a
// process of its own.
type upstream struct {
	arrivals  *timeline
	processes []*peers.Process
	life

	mu     sync.Mutex
	epochs [2]uint64
	last   [2]string // what each told last, other than frames
}

// startUpstream connects both to url; backoff is the wait between their attempts, zero
// for the default.
func startUpstream(backoff time.Duration, url, fingerprint string, arrivals *timeline) (*upstream, error) {
	python, err := peers.Path(peers.Python)
	if err != nil {
		return nil, err
	}
	pacing := "default"
	if backoff > 0 {
		pacing = strconv.FormatInt(backoff.Microseconds(), 10)
	}
	u := &upstream{arrivals: arrivals, life: begin()}
	for i, role := range []string{"publish", "subscribe"} {
		p, err := peers.Start("upstream's "+names[i], python, "-c", script, role, url, fingerprint, pacing)
		if err != nil {
			u.close()
			return nil, err
		}
		u.processes = append(u.processes, p)
		u.pump(func(ctx context.Context) error { return u.listen(ctx, i, p) })
	}
	return u, nil
}

// listen takes what a client tells.
func (u *upstream) listen(ctx context.Context, i int, p *peers.Process) error {
	for {
		line, err := p.Line(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w; last: %s", p.Name(), err, u.told(i))
		}
		if err := u.take(i, line); err != nil {
			return fmt.Errorf("%s: %w", p.Name(), err)
		}
	}
}

func (u *upstream) take(i int, line string) error {
	event, rest, _ := strings.Cut(line, " ")
	switch event {
	case "frame":
		number, err := strconv.ParseUint(rest, 10, 64)
		if err != nil {
			return fmt.Errorf("a payload that nobody wrote: %w", err)
		}
		u.arrivals.add(number)
		return nil
	case "epoch":
		number, err := strconv.ParseUint(rest, 10, 64)
		if err != nil {
			return err
		}
		u.mu.Lock()
		u.epochs[i] = number
		u.mu.Unlock()
	case "stopped":
		return errors.New(line)
	}
	u.mu.Lock()
	u.last[i] = time.Now().Format("15:04:05.000 ") + line
	u.mu.Unlock()
	return nil
}

func (u *upstream) told(i int) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last[i]
}

// generations are upstream's epochs.
func (u *upstream) generations() [2]uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.epochs
}

func (u *upstream) states() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var s strings.Builder
	for i, name := range names {
		fmt.Fprintf(&s, "%s: epoch %d, told last: %s\n", name, u.epochs[i], u.last[i])
	}
	return s.String()
}

// exactly: a subscription that is made anew begins with the live group's first frame.
func (u *upstream) exactly() bool { return false }

func (u *upstream) close() {
	u.stop()
	for _, p := range u.processes {
		p.Kill()
	}
	u.wait()
}
