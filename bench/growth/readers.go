package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/remoq/moq/pubsub"
)

const (
	frameSize   = 128
	groupFrames = 30
)

// publish writes frames of a track, in groups, as fast as it goes. The track is closed in the
// end.
func publish(tp *pubsub.TrackProducer, frames int) error {
	payload := make([]byte, frameSize)
	begin := time.Now()
	var g *pubsub.GroupProducer
	for i := range frames {
		if i%groupFrames == 0 {
			if g != nil {
				_ = g.Close()
			}
			var err error
			if g, err = tp.AppendGroup(); err != nil {
				return err
			}
		}
		if err := g.WriteFrame(pubsub.Frame{Timestamp: time.Since(begin), Payload: payload}); err != nil {
			return err
		}
	}
	_ = g.Close()
	return tp.Close()
}

// drain reads a track to its end and calls each for every frame.
func drain(ctx context.Context, c *pubsub.TrackConsumer, each func(f pubsub.Frame)) error {
	for g, err := range c.Groups(ctx) {
		if err != nil {
			return err
		}
		for f, err := range g.Frames(ctx) {
			if err != nil {
				return err
			}
			each(f)
		}
	}
	return nil
}

// The targets of P10: what a frame costs against one subscription, or reader, how long a
// delivery may take, and how much one reader that stands still may delay the others.
const (
	maxGrowth   = 1.3
	maxDelivery = time.Microsecond // a million a second of CPU
	maxDelay    = 1.05
)

// readers measures one track with more and more readers in this process.
func readers(ctx context.Context, out io.Writer, repeat int) error {
	fmt.Fprintln(out, "readers of one track\tdeliveries\tCPU a delivery\tagainst 1\tdeliveries a second of CPU\t")
	var one float64
	for _, n := range []int{1, 10, 100, 1000} {
		var best float64
		frames := max(3000, 300_000/n)
		for i := range repeat {
			each, err := fanOut(ctx, n, frames)
			if err != nil {
				return err
			}
			if i == 0 || each < best {
				best = each
			}
		}
		if n == 1 {
			one = best
		}
		fmt.Fprintf(out, "%d\t%d\t%.0f ns\t%.2fx, %s\t%.2f M, target 1 M: %s\n", n, n*frames, best,
			best/one, verdict(best/one, maxGrowth), 1e3/best, metIf(best <= float64(maxDelivery)))
	}
	return nil
}

// fanOut returns the nanoseconds of processor time that each delivery to n readers takes.
func fanOut(ctx context.Context, n, frames int) (float64, error) {
	o := pubsub.NewOrigin()
	tp, tc, err := track(ctx, o)
	if err != nil {
		return 0, err
	}
	all := []*pubsub.TrackConsumer{tc}
	for range n - 1 {
		if tc, err = reader(ctx, o); err != nil {
			return 0, err
		}
		all = append(all, tc)
	}
	begin := cpu()
	delivered, err := fan(ctx, tp, all, frames)
	if err != nil {
		return 0, err
	}
	if delivered != n*frames {
		return 0, fmt.Errorf("%d of %d frames delivered", delivered, n*frames)
	}
	return float64(max(cpu()-begin, 1)) / float64(delivered), nil
}

// fan publishes frames to all readers and counts what they get: less than all, if one of them
// falls so far behind that it loses some.
func fan(ctx context.Context, tp *pubsub.TrackProducer, all []*pubsub.TrackConsumer, frames int) (int, error) {
	var wg sync.WaitGroup
	counts := make([]int, len(all))
	errs := make(chan error, len(all)+1)
	for i, c := range all {
		wg.Go(func() {
			errs <- drain(ctx, c, func(pubsub.Frame) { counts[i]++ })
		})
	}
	errs <- publish(tp, frames)
	wg.Wait()
	for range len(all) + 1 {
		if err := <-errs; err != nil {
			return 0, err
		}
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	return total, nil
}
