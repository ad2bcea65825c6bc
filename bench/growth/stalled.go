package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remoq/moq/bench/figures"
	"github.com/remoq/moq/pubsub"
)

// crowdSize is how many readers one track has.
const crowdSize = 100

// stalled compares how late frames are to 99 readers while the hundredth stands still, with
// how late they are while it reads. Both crowds are there at once and measured in turn.
func stalled(ctx context.Context, out io.Writer, repeat int) error {
	var crowds [2]*crowd // the hundredth reads, stands still
	for i := range crowds {
		c, err := newCrowd(ctx, i == 1)
		if err != nil {
			return err
		}
		defer c.close()
		crowds[i] = c
	}
	var p50, p99 [2][]float64
	for range turns * repeat {
		for i, c := range crowds {
			late, err := c.measure(ctx, window/3)
			if err != nil {
				return err
			}
			p50[i] = append(p50[i], figures.Quantile(late, 0.5))
			p99[i] = append(p99[i], figures.Quantile(late, 0.99))
		}
	}
	ratio := make([]float64, len(p99[0]))
	for i := range ratio {
		ratio[i] = p99[1][i] / p99[0][i]
	}
	fmt.Fprintf(out, "one of %d readers\tp50\tp99\tp99 against one that reads\t\n", crowdSize)
	fmt.Fprintf(out, "reads\t%.0f µs\t%.0f µs\t\t\n", figures.Median(p50[0]), figures.Median(p99[0]))
	fmt.Fprintf(out, "stands still\t%.0f µs\t%.0f µs\t%s\t%s\n",
		figures.Median(p50[1]), figures.Median(p99[1]), spread(ratio), judge(ratio, maxDelay))
	return nil
}

// crowd is a track with its readers, all but one of which are measured.
type crowd struct {
	track   *pubsub.TrackProducer
	group   *pubsub.GroupProducer
	begin   time.Time // frames say when, since then, they were written
	next    int
	seen    *arrivals
	late    []float64 // µs, of each delivery
	place   atomic.Int64
	stop    context.CancelFunc
	reading sync.WaitGroup
}

func newCrowd(ctx context.Context, still bool) (*crowd, error) {
	o := pubsub.NewOrigin()
	tp, last, err := track(ctx, o)
	if err != nil {
		return nil, err
	}
	c := &crowd{track: tp, begin: time.Now(), seen: newArrivals()}
	ctx, c.stop = context.WithCancel(ctx)
	if !still {
		c.read(ctx, last, func(pubsub.Frame) {})
	}
	for range crowdSize - 1 {
		tc, err := reader(ctx, o)
		if err != nil {
			c.close()
			return nil, err
		}
		c.read(ctx, tc, c.note)
	}
	return c, nil
}

func (c *crowd) read(ctx context.Context, tc *pubsub.TrackConsumer, each func(pubsub.Frame)) {
	c.reading.Go(func() {
		if err := drain(ctx, tc, each); err != nil {
			c.seen.fail(err)
		}
	})
}

func (c *crowd) note(f pubsub.Frame) {
	late := time.Since(c.begin) - f.Timestamp
	c.late[c.place.Add(1)-1] = float64(late.Nanoseconds()) / 1e3
	c.seen.frame()
}

// measure writes so many frames, a millisecond apart, and returns how late they came.
func (c *crowd) measure(ctx context.Context, frames int) ([]float64, error) {
	expected := frames * (crowdSize - 1)
	c.late = make([]float64, expected)
	c.place.Store(0)
	c.seen.goal.Add(int64(expected))
	payload := make([]byte, frameSize)
	begin := time.Now()
	for i := range frames {
		pause(time.Until(begin.Add(time.Duration(i) * time.Millisecond)))
		if c.next%groupFrames == 0 {
			if c.group != nil {
				_ = c.group.Close()
			}
			var err error
			if c.group, err = c.track.AppendGroup(); err != nil {
				return nil, err
			}
		}
		c.next++
		if err := c.group.WriteFrame(pubsub.Frame{Timestamp: time.Since(c.begin), Payload: payload}); err != nil {
			return nil, err
		}
	}
	return c.late, c.seen.wait(ctx)
}

func (c *crowd) close() {
	c.stop()
	c.reading.Wait()
}
