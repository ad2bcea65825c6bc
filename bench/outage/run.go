package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
)

// result is what an arm went through, by the number of the outage.
type result struct {
	arm     arm
	samples []sample
}

// runner lets the outages of a row happen to its arms.
type runner struct {
	slots    chan struct{} // as many as there may be outages at a time
	progress io.Writer

	mu  sync.Mutex
	bad int // of what was reported as wrong
}

func newRunner(parallel int, progress io.Writer) *runner {
	return &runner{slots: make(chan struct{}, parallel), progress: progress}
}

// row runs the arms of one row. All of them live all the time. Their outages come in
// rounds, one for each arm in random order, so that all see the same hours of the machine.
func (n *runner) row(ctx context.Context, arms []arm, outages []outage) []result {
	results, rigs := make([]result, len(arms)), make([]*rig, len(arms))
	for i, a := range arms {
		results[i].arm = a
	}
	for _, o := range outages {
		var round sync.WaitGroup
		for _, i := range rand.Perm(len(arms)) {
			round.Go(func() {
				var s sample
				rigs[i], s = n.strike(ctx, arms[i], rigs[i], o)
				if !errors.Is(s.err, errInterrupted) {
					results[i].samples = append(results[i].samples, s)
				}
			})
		}
		round.Wait()
		if ctx.Err() != nil {
			break
		}
	}
	var closing sync.WaitGroup
	for _, r := range rigs {
		if r != nil {
			closing.Go(func() { n.report(ctx, r.arm, r.close()) })
		}
	}
	closing.Wait()
	return results
}

// strike lets one outage happen to an arm. r is its rig, nil where it has none, and the
// next one is returned: nil after a failure, since clients that do not come back, or have
// stopped, tell nothing about the next outage.
func (n *runner) strike(ctx context.Context, a arm, r *rig, o outage) (*rig, sample) {
	if r == nil {
		var err error
		if r, err = a.open(ctx); err != nil {
			n.report(ctx, a, err)
			return nil, sample{outage: o, err: err}
		}
	}
	select {
	case n.slots <- struct{}{}:
	case <-ctx.Done():
		return r, sample{outage: o, err: errInterrupted}
	}
	release := sync.OnceFunc(func() { <-n.slots })
	defer release()
	s := r.strike(ctx, o, release)
	if errors.Is(s.err, errInterrupted) {
		return r, s
	}
	n.tell(a, s, r.clients.exactly())
	if s.err == nil {
		return r, s
	}
	n.report(ctx, a, r.close())
	return nil, s
}

// tell shows what an outage cost.
func (n *runner) tell(a arm, s sample, exactly bool) {
	line := fmt.Sprintf("%v %d: dark %.2f s", a, s.outage.number, s.dark.Seconds())
	err := s.err
	if err == nil {
		line += fmt.Sprintf(", hole %.3f s, back %+.3f s, sessions +%d +%d", s.hole.Seconds(), s.back.Seconds(), s.rises[0], s.rises[1])
		err = s.wrong(exactly)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if err != nil {
		n.bad++
		line += fmt.Sprintf(": ERROR: %v", err)
	}
	fmt.Fprintln(n.progress, line)
}

// report shows an error that belongs to no outage.
func (n *runner) report(ctx context.Context, a arm, err error) {
	if err == nil || ctx.Err() != nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.bad++
	fmt.Fprintf(n.progress, "%v: ERROR: %v\n", a, err)
}

// wrong is how many errors there were.
func (n *runner) wrong() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.bad
}
