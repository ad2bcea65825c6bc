package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// calm is how long frames flow before the next outage: longer than a session must live
	// to be called stable, ours (StableAfter) and upstream's.
	calm = 3 * time.Second
	// pause is between frames that still flow.
	pause = 500 * time.Millisecond
	// patience is how long after the relay's return frames may take, and then to flow.
	patience = 60 * time.Second
)

// outage is what happens to the relay, the same for each arm of a row.
type outage struct {
	number   int
	phase    time.Duration // from when frames flow: within a second, which is also a group
	down     time.Duration // from the relay's end to its start
	graceful bool          // SIGTERM, not SIGKILL
}

// plan makes the n outages of a row. They depend on the seed only.
func plan(row string, n int, seed uint64) []outage {
	random := rand.New(rand.NewPCG(seed, uint64(row[1])))
	all := make([]outage, n)
	for i := range all {
		o := outage{number: i + 1, phase: time.Duration(random.Int64N(int64(time.Second))), down: 200 * time.Millisecond}
		if row == "P1" {
			o.graceful = true
			o.down += time.Duration(random.Int64N(int64(4300 * time.Millisecond)))
		}
		all[i] = o
	}
	return all
}

// sample is what one outage cost.
type sample struct {
	outage outage
	dark   time.Duration // from the signal until the relay answers again
	hole   time.Duration // longest time between two frames around it
	back   time.Duration // from when the relay answers to the first frame; below zero if that was sooner
	rises  [2]uint64     // of the generations: publisher, subscriber
	twice  int           // frames that came again
	err    error         // it did not go on, and what is above tells how far it came
}

// figure is what the row is about.
func (s sample) figure(row string) time.Duration {
	if row == "P1" {
		return s.back
	}
	return s.hole
}

// wrong is what should not be although it went on; nil if all is well.
func (s sample) wrong(exactly bool) error {
	if exactly && s.twice > 0 {
		return fmt.Errorf("%d frames came twice", s.twice)
	}
	return nil
}

// strike lets one outage happen to a rig in which frames flow, and waits until they
// flow again. back is called as soon as the first has come.
func (r *rig) strike(ctx context.Context, o outage, back func()) sample {
	s := sample{outage: o}
	generations, repeated := r.clients.generations(), r.arrivals.repeated()
	if s.err = sleep(ctx, o.phase); s.err != nil {
		return s
	}
	kill := time.Now()
	if o.graceful {
		r.relay.Terminate()
	} else {
		r.relay.Kill()
	}
	if s.err = sleep(ctx, o.down); s.err != nil {
		return s
	}
	started := time.Now() // whatever comes from now on, the new relay sent
	if s.err = r.startRelay(ctx); s.err != nil {
		return s
	}
	up := time.Now()
	s.dark = up.Sub(kill)
	s.err = r.await(ctx, "no frame came", func(at []time.Time) bool {
		came, ok := first(at, started)
		if ok {
			s.back = came.Sub(up)
		}
		return ok
	})
	back()
	if s.err == nil {
		s.err = r.await(ctx, "frames do not flow", func(at []time.Time) bool { return flowing(at, started, calm, pause) })
	}
	s.hole = hole(r.arrivals.times(), kill)
	for i, now := range r.clients.generations() {
		s.rises[i] = now - generations[i]
	}
	s.twice = r.arrivals.repeated() - repeated
	r.arrivals.forget(time.Now().Add(-time.Second))
	return s
}

// await waits until holds says so of the arrivals.
func (r *rig) await(ctx context.Context, otherwise string, holds func(at []time.Time) bool) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !holds(r.arrivals.times()) {
		var err error
		select {
		case <-r.arrivals.bell:
			continue
		case <-r.clients.ended():
			err = r.clients.err()
		case <-limit.C:
			err = fmt.Errorf("%s within %v", otherwise, patience)
		case <-ctx.Done():
			return errInterrupted
		}
		return fmt.Errorf("%w\n%s", err, r.clients.states())
	}
	return nil
}

// errInterrupted is why nothing is waited for any more.
var errInterrupted = errors.New("interrupted")

// sleep waits for d.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errInterrupted
	}
}
