package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"time"
)

const sampleRole = "sample"

// order is what the process of a sample is told.
type order struct {
	Arm    string
	N      int           // how many of them
	Rest   time.Duration // to leave them alone for, first
	Window time.Duration // of CPU and packets; 0: they are not measured

	Addr, Fingerprint string // the relay's
}

// reading is what it tells.
type reading struct {
	Goroutines  float64 // for each of them
	Heap, Stack float64 // bytes for each of them, after a garbage collection
	CPU         float64 // of all of them, in cores
	Sent        float64 // packets for each of them, a second
	Lost        int     // sessions that did not last
}

// answer takes one sample, and prints the reading.
func answer(ctx context.Context, args string, out io.Writer) error {
	var o order
	if err := json.Unmarshal([]byte(args), &o); err != nil {
		return err
	}
	make, ok := arms[o.Arm]
	if !ok {
		return fmt.Errorf("there is no arm %q", o.Arm)
	}
	c, err := make(o)
	if err != nil {
		return err
	}
	defer c.close()
	r, err := o.read(ctx, c)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(r)
}

// read lets a crowd come together, and observes it.
func (o order) read(ctx context.Context, c crowd) (reading, error) {
	// One more, before: what is needed only once is not counted.
	if err := c.grow(ctx, 1); err != nil {
		return reading{}, err
	}
	if err := sleep(ctx, o.Rest/4); err != nil {
		return reading{}, err
	}
	before := holding()
	if err := c.grow(ctx, o.N); err != nil {
		return reading{}, err
	}
	if err := sleep(ctx, o.Rest); err != nil {
		return reading{}, err
	}
	after, n := holding(), float64(o.N)
	r := reading{
		Goroutines: (after.goroutines - before.goroutines) / n,
		Heap:       (after.heap - before.heap) / n,
		Stack:      (after.stack - before.stack) / n,
	}
	if o.Window > 0 {
		began, sent, used := time.Now(), c.sent(), processorTime()
		if err := sleep(ctx, o.Window); err != nil {
			return reading{}, err
		}
		used, passed := processorTime()-used, time.Since(began).Seconds()
		r.CPU = used.Seconds() / passed
		r.Sent = float64(c.sent()-sent) / passed / n
	}
	r.Lost = c.lost()
	return r, nil
}

// holdings are what a process has, in bytes.
type holdings struct{ goroutines, heap, stack float64 }

// holding counts after everything that is not used was let go of, pools too.
func holding() holdings {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return holdings{float64(runtime.NumGoroutine()), float64(m.HeapAlloc), float64(m.StackInuse)}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
