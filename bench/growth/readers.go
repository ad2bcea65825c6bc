package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/remoq/moq/pubsub"
)

const (
	frameSize   = 128
	groupFrames = 30
)

// publish writes frames of a track, in groups, at a pace; zero is as fast as it goes. The
// track is closed in the end.
func publish(tp *pubsub.TrackProducer, frames int, pace time.Duration) error {
	payload := make([]byte, frameSize)
	timer := time.NewTimer(0)
	defer timer.Stop()
	begin := time.Now()
	var g *pubsub.GroupProducer
	for i := range frames {
		if pace > 0 {
			timer.Reset(time.Until(begin.Add(time.Duration(i) * pace)))
			<-timer.C
		}
		if i%groupFrames == 0 {
			if g != nil {
				_ = g.Close()
			}
			var err error
			if g, err = tp.AppendGroup(); err != nil {
				return err
			}
		}
		// The time says when it was written, so that a reader knows how late it is.
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

// readers measures one track with more and more readers in this process.
func readers(ctx context.Context, out io.Writer, repeat int) error {
	fmt.Fprintln(out, "readers of one track\tdeliveries\tCPU a delivery\tdeliveries a second of CPU\t")
	for _, n := range []int{1, 10, 100, 1000} {
		var best time.Duration
		frames := max(3000, 300_000/n)
		for i := range repeat {
			o := pubsub.NewOrigin()
			tp, tc, err := track(ctx, o)
			if err != nil {
				return err
			}
			all := []*pubsub.TrackConsumer{tc}
			for range n - 1 {
				if tc, err = reader(ctx, o); err != nil {
					return err
				}
				all = append(all, tc)
			}
			begin := cpu()
			delivered, err := fan(ctx, tp, all, frames)
			if err != nil {
				return err
			}
			if delivered != n*frames {
				return fmt.Errorf("%d of %d frames delivered", delivered, n*frames)
			}
			if each := (cpu() - begin) / time.Duration(delivered); i == 0 || each < best {
				best = each
			}
		}
		fmt.Fprintf(out, "%d\t%d\t%v\t%.2f M\ttarget 1 M\n", n, n*frames, best, 1e3/float64(max(best, 1)))
	}
	return nil
}

// fan publishes frames to all readers and counts what they get. A reader that is a thousand
// groups behind would lose some: the publisher waits for the slowest in between.
func fan(ctx context.Context, tp *pubsub.TrackProducer, all []*pubsub.TrackConsumer, frames int) (int, error) {
	var wg sync.WaitGroup
	counts := make([]int, len(all))
	errs := make(chan error, len(all)+1)
	for i, c := range all {
		wg.Go(func() {
			errs <- drain(ctx, c, func(pubsub.Frame) { counts[i]++ })
		})
	}
	errs <- publish(tp, frames, 0)
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

// stalled compares how late frames are to 99 readers while the hundredth stands still, with
// how late they are while it reads.
func stalled(ctx context.Context, out io.Writer, repeat int) error {
	fmt.Fprintln(out, "one of 100 readers\tp50\tp99\t")
	var with, without [2]time.Duration
	for i := range repeat {
		for _, still := range []bool{false, true} {
			late, err := lateness(ctx, still)
			if err != nil {
				return err
			}
			into := &without
			if still {
				into = &with
			}
			for j, share := range []int{50, 99} {
				v := late[len(late)*share/100]
				if i == 0 || v < into[j] {
					into[j] = v
				}
			}
		}
	}
	fmt.Fprintf(out, "reads\t%v\t%v\t\nstands still\t%v\t%v\tp99 %+.1f %%, target below 5\n",
		without[0], without[1], with[0], with[1], 100*(float64(with[1])/float64(without[1])-1))
	return nil
}

func lateness(ctx context.Context, still bool) ([]time.Duration, error) {
	o := pubsub.NewOrigin()
	tp, last, err := track(ctx, o)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	var mu sync.Mutex
	var all []time.Duration
	var wg sync.WaitGroup
	for i := range 100 {
		c := last
		if i > 0 {
			if c, err = reader(ctx, o); err != nil {
				return nil, err
			}
		} else if still {
			continue
		}
		wg.Go(func() {
			var mine []time.Duration
			_ = drain(ctx, c, func(f pubsub.Frame) { mine = append(mine, time.Since(begin)-f.Timestamp) })
			mu.Lock()
			defer mu.Unlock()
			if i > 0 {
				all = append(all, mine...)
			}
		})
	}
	err = publish(tp, 1000, time.Millisecond)
	wg.Wait()
	slices.Sort(all)
	return all, err
}
