package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/remoq/moq/pubsub"
)

// work does something n times and returns what it leaves behind.
type work func(ctx context.Context, n int) (left any, err error)

// maxSlope is the target of P14.
const maxSlope = 1.05

// growthOf measures work at growing sizes.
func growthOf(name string, do work, sizes ...int) func(context.Context, io.Writer, int) error {
	return func(ctx context.Context, out io.Writer, repeat int) error {
		fmt.Fprintf(out, "%s\tCPU\tCPU/each\tlive heap\theap/each\t\n", name)
		var x, times, heaps []float64
		for _, n := range sizes {
			spent, held, err := cost(ctx, do, n, repeat)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "%d\t%v\t%v\t%.0f KiB\t%.0f B\t\n", n, spent, spent/time.Duration(n), held/1024, held/float64(n))
			x, times, heaps = append(x, float64(n)), append(times, float64(max(spent, 1))), append(heaps, max(held, 1))
		}
		cpu, heap := slope(x, times), slope(x, heaps)
		fmt.Fprintf(out, "slope\t%.2f\t%s\t%.2f\t%s\t\n", cpu, verdict(cpu, maxSlope), heap, verdict(heap, maxSlope))
		return nil
	}
}

// cost returns the least processor time and live heap of several runs. Small work is done
// often enough in a run for the clock to tell.
func cost(ctx context.Context, do work, n, repeat int) (spent time.Duration, held float64, err error) {
	rounds := max(1, 20_000/n)
	for i := range repeat {
		before := live()
		begin := cpu()
		left := make([]any, rounds)
		for j := range left {
			if left[j], err = do(ctx, n); err != nil {
				return 0, 0, err
			}
		}
		took := (cpu() - begin) / time.Duration(rounds)
		grown := (live() - before) / float64(rounds)
		runtime.KeepAlive(left)
		if i == 0 || took < spent {
			spent = took
		}
		if i == 0 || grown < held {
			held = grown
		}
	}
	return spent, held, nil
}

// live returns the bytes of the live heap.
func live() float64 {
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// tracks makes n tracks in one broadcast, with a reader each, and one group in each.
func tracks(ctx context.Context, n int) (any, error) {
	o := pubsub.NewOrigin()
	b, err := announced(o)
	if err != nil {
		return nil, err
	}
	c, err := o.Broadcast(ctx, path)
	if err != nil {
		return nil, err
	}
	left := []any{o}
	for i := range n {
		name := fmt.Sprint(i)
		tp, err := b.CreateTrack(name, pubsub.TrackInfo{})
		if err != nil {
			return nil, err
		}
		tc, err := c.Subscribe(ctx, name, pubsub.SubscribeOptions{})
		if err != nil {
			return nil, err
		}
		if err := tp.WriteFrame(pubsub.Frame{Payload: []byte("x")}); err != nil {
			return nil, err
		}
		if _, err := tc.NextGroup(ctx); err != nil {
			return nil, err
		}
		left = append(left, tp, tc)
	}
	return left, nil
}

// groups writes n groups of one frame to one track, a millisecond apart, and reads them.
func groups(ctx context.Context, n int) (any, error) {
	o := pubsub.NewOrigin()
	tp, tc, err := track(ctx, o)
	if err != nil {
		return nil, err
	}
	for i := range n {
		at := time.Duration(i) * time.Millisecond
		if err := tp.WriteFrame(pubsub.Frame{Timestamp: at, Payload: []byte("x")}); err != nil {
			return nil, err
		}
		if _, err := tc.NextGroup(ctx); err != nil {
			return nil, err
		}
	}
	return []any{o, tp, tc}, nil
}

// announcements attaches n routes, as a session does, and reads them, as another does.
func announcements(ctx context.Context, n int) (any, error) {
	o := pubsub.NewOrigin()
	a, f := o.Announcements("", 0), o.Feed()
	for i := range n {
		r := pubsub.Route{Prefix: fmt.Sprintf("room/%d/cam", i), Hops: []uint64{5}}
		if _, err := f.Attach(r); err != nil {
			return nil, err
		}
	}
	for a.Ready() {
		if _, err := a.Next(ctx); err != nil {
			return nil, err
		}
	}
	return []any{o, a, f}, nil
}

const (
	path = "growth"
	name = "frames"
)

func announced(o *pubsub.Origin) (*pubsub.BroadcastProducer, error) {
	b, err := o.CreateBroadcast(path)
	if err != nil {
		return nil, err
	}
	return b, b.Announce()
}

// track makes one track with one reader.
func track(ctx context.Context, o *pubsub.Origin) (*pubsub.TrackProducer, *pubsub.TrackConsumer, error) {
	b, err := announced(o)
	if err != nil {
		return nil, nil, err
	}
	tp, err := b.CreateTrack(name, pubsub.TrackInfo{})
	if err != nil {
		return nil, nil, err
	}
	tc, err := reader(ctx, o)
	return tp, tc, err
}

func reader(ctx context.Context, o *pubsub.Origin) (*pubsub.TrackConsumer, error) {
	c, err := o.Broadcast(ctx, path)
	if err != nil {
		return nil, err
	}
	return c.Subscribe(ctx, name, pubsub.SubscribeOptions{})
}
