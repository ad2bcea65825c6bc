package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/remoq/moq/bench/figures"
)

// rate is how many frames a second all subscriptions carry together.
const rate = 5000

// carrier is one connection that carries tracks, with both ends of it in this process.
type carrier interface {
	// begin ends the group that the track has, if any, and begins the next.
	begin(track int) error
	// frame appends a frame to the track's group.
	frame(track int, at time.Duration, payload []byte) error
	// packets returns how many have come to the receiving end.
	packets() uint64
	close()
}

// open makes a carrier of so many tracks, whose frames are counted as they arrive.
type open func(ctx context.Context, tracks int, seen *arrivals) (carrier, error)

// arrivals counts the frames that have arrived.
type arrivals struct {
	count  atomic.Int64
	goal   atomic.Int64
	there  chan struct{} // capacity 1: the goal was reached
	failed chan error    // capacity 1: the first failure
}

func newArrivals() *arrivals {
	return &arrivals{there: make(chan struct{}, 1), failed: make(chan error, 1)}
}

func (a *arrivals) frame() {
	if a.count.Add(1) == a.goal.Load() {
		a.there <- struct{}{}
	}
}

func (a *arrivals) fail(err error) {
	select {
	case a.failed <- err:
	default:
	}
}

// wait returns when the goal is reached.
func (a *arrivals) wait(ctx context.Context) error {
	select {
	case <-a.there:
		return nil
	case err := <-a.failed:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// price is what a frame costs: processor time, and packets with frames in them.
type price struct{ time, packets float64 }

// subscriptions measures a frame's cost over one connection, with more and more tracks that
// share the same rate; ours and, beside it, the same streams on quic-go alone.
func subscriptions(ctx context.Context, out io.Writer, repeat int) error {
	same := func(int) int { return groupFrames }
	for _, l := range []pattern{
		{"a group each 30 frames, each frame alone", same, true, maxGrowth},
		{"a group each 30 frames, as the machine keeps up", same, false, maxGrowth},
		{"a group a second on each", func(n int) int { return rate / n }, true, 0},
	} {
		if err := compare(ctx, out, l, repeat); err != nil {
			return err
		}
	}
	return nil
}

// pattern is how frames are written.
type pattern struct {
	name   string
	frames func(tracks int) int // of a group
	// alone: each frame when the one before has arrived. Else frames that are late share
	// packets and wake-ups, the more the fewer tracks they are of.
	alone  bool
	target float64 // 0: none
}

// at returns which of so many tracks a frame is of, and whether it is the first of its group.
// Frames go to the tracks in turn, and their groups begin all along.
func (p pattern) at(frame, tracks int) (track int, first bool) {
	track, turn := frame%tracks, frame/tracks
	length := p.frames(tracks)
	return track, turn == 0 || (turn+track*max(1, length/tracks))%length == 0
}

var subscriptionCounts = []int{1, 10, 100, 1000}

// window is how many frames are measured at a time, and turns how often in each run.
const (
	window = 300
	turns  = 10
)

// compare prints a row for each number of tracks. The connections are all there at once and
// measured in turn, over short windows, so that what else the machine does is the same to all;
// ratios are those of one round.
func compare(ctx context.Context, out io.Writer, with pattern, repeat int) error {
	fmt.Fprintf(out, "%s\tgroups/s\tCPU a frame\tpackets\tagainst 1\traw quic-go\tpackets\tagainst 1\tours/raw\t\n", with.name)
	var writers []*writer // of each number of tracks: ours, raw
	defer func() {
		for _, w := range writers {
			w.close()
		}
	}()
	for _, n := range subscriptionCounts {
		for _, arm := range []open{openSession, openRaw} {
			w, err := newWriter(ctx, arm, n, with)
			if err != nil {
				return err
			}
			writers = append(writers, w)
		}
	}
	prices := make([][]price, len(writers))
	for range turns * repeat {
		for i, w := range writers {
			p, err := w.measure(ctx, window)
			if err != nil {
				return err
			}
			prices[i] = append(prices[i], p)
		}
	}
	for i, n := range subscriptionCounts {
		ours, raw := prices[2*i], prices[2*i+1]
		growth := ratios(ours, prices[0])
		said := ""
		if with.target > 0 && n > 1 {
			said = judge(growth, with.target)
		}
		fmt.Fprintf(out, "%d\t%d\t%.1f µs\t%.2f\t%s\t%.1f µs\t%.2f\t%s\t%s\t%s\n", n, rate/with.frames(n),
			middle(ours).time, middle(ours).packets, spread(growth),
			middle(raw).time, middle(raw).packets, spread(ratios(raw, prices[1])), spread(ratios(ours, raw)), said)
	}
	return nil
}

func middle(all []price) price {
	var times, packets []float64
	for _, p := range all {
		times, packets = append(times, p.time), append(packets, p.packets)
	}
	return price{figures.Median(times), figures.Median(packets)}
}

// ratios compares what was measured in the same round.
func ratios(a, b []price) []float64 {
	out := make([]float64, len(a))
	for i := range a {
		out[i] = a[i].time / b[i].time
	}
	return out
}

// writer writes the frames of a pattern.
type writer struct {
	carrier
	pattern
	seen   *arrivals
	tracks int
	next   int // frame
}

// newWriter opens a connection and begins every track.
func newWriter(ctx context.Context, arm open, n int, with pattern) (*writer, error) {
	seen := newArrivals()
	c, err := arm(ctx, n, seen)
	if err != nil {
		return nil, err
	}
	w := &writer{carrier: c, pattern: with, seen: seen, tracks: n}
	if err := w.write(ctx, max(n, rate/5)); err != nil {
		c.close()
		return nil, err
	}
	return w, nil
}

// measure writes so many frames and returns the price of each.
func (w *writer) measure(ctx context.Context, frames int) (price, error) {
	packets, used := w.packets(), cpu()
	if err := w.write(ctx, frames); err != nil {
		return price{}, err
	}
	used, packets = cpu()-used, w.packets()-packets
	return price{float64(used.Nanoseconds()) / 1e3 / float64(frames), float64(packets) / float64(frames)}, nil
}

// write writes so many frames at the rate, and waits for them.
func (w *writer) write(ctx context.Context, frames int) error {
	payload := make([]byte, frameSize)
	begin := time.Now()
	if !w.alone {
		w.seen.goal.Store(int64(w.next + frames))
	}
	for i := range frames {
		pause(time.Until(begin.Add(time.Duration(i) * time.Second / rate)))
		track, first := w.at(w.next, w.tracks)
		w.next++
		if first {
			if err := w.begin(track); err != nil {
				return err
			}
		}
		if w.alone {
			w.seen.goal.Store(int64(w.next))
		}
		if err := w.frame(track, time.Duration(w.next)*time.Second/rate, payload); err != nil {
			return err
		}
		if w.alone {
			if err := w.seen.wait(ctx); err != nil {
				return err
			}
		}
	}
	if w.alone {
		return nil
	}
	return w.seen.wait(ctx)
}
