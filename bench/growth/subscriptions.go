package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/session"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// rate is how many frames a second all subscriptions carry together.
const rate = 5000

// subscriptions measures a frame's cost over one session, with more and more subscriptions
// that share the same rate. Both ends are in this process.
func subscriptions(ctx context.Context, out io.Writer, repeat int) error {
	fmt.Fprintf(out, "subscriptions, %d frames/s in all\tCPU a frame\tagainst 1\t\n", rate)
	var base time.Duration
	for _, n := range []int{1, 10, 100, 1000} {
		var best time.Duration
		for i := range repeat {
			each, err := subscribed(ctx, n, 2*rate)
			if err != nil {
				return err
			}
			if i == 0 || each < best {
				best = each
			}
		}
		if n == 1 {
			base = best
		}
		fmt.Fprintf(out, "%d\t%v\t%.2fx\ttarget 1.3\n", n, best, float64(best)/float64(base))
	}
	return nil
}

// subscribed returns what each of so many frames costs over n subscriptions.
func subscribed(ctx context.Context, n, frames int) (time.Duration, error) {
	near := pubsub.NewOrigin()
	far, done, err := connect(ctx, near)
	if err != nil {
		return 0, err
	}
	defer done()
	b, err := announced(near)
	if err != nil {
		return 0, err
	}
	c, err := far.Broadcast(ctx, path)
	if err != nil {
		return 0, err
	}
	var producers []*pubsub.TrackProducer
	var readers []*pubsub.TrackConsumer
	for i := range n {
		tp, err := b.CreateTrack(fmt.Sprint(i), pubsub.TrackInfo{})
		if err != nil {
			return 0, err
		}
		tc, err := c.Subscribe(ctx, fmt.Sprint(i), pubsub.SubscribeOptions{Start: new(uint64)})
		if err != nil {
			return 0, err
		}
		producers, readers = append(producers, tp), append(readers, tc)
	}
	var wg sync.WaitGroup
	arrived := make(chan error, frames)
	reading, stop := context.WithCancel(ctx)
	defer stop()
	for _, c := range readers {
		wg.Go(func() {
			err := drain(reading, c, func(pubsub.Frame) { arrived <- nil })
			if reading.Err() == nil && err != nil {
				arrived <- err
			}
		})
	}
	begin := cpu()
	if err := spread(producers, frames); err != nil {
		return 0, err
	}
	for range frames {
		if err := <-arrived; err != nil {
			return 0, err
		}
	}
	spent := cpu() - begin
	stop()
	wg.Wait()
	return spent / time.Duration(frames), nil
}

// spread writes frames to the tracks in turn, in groups that begin all along.
func spread(all []*pubsub.TrackProducer, frames int) error {
	payload := make([]byte, frameSize)
	timer := time.NewTimer(0)
	defer timer.Stop()
	open := make([]*pubsub.GroupProducer, len(all))
	begin := time.Now()
	for i := range frames {
		timer.Reset(time.Until(begin.Add(time.Duration(i) * time.Second / rate)))
		<-timer.C
		at, turn := i%len(all), i/len(all)
		if open[at] == nil || turn%groupFrames == 0 {
			if open[at] != nil {
				_ = open[at].Close()
			}
			g, err := all[at].AppendGroup()
			if err != nil {
				return err
			}
			open[at] = g
		}
		if err := open[at].WriteFrame(pubsub.Frame{Timestamp: time.Since(begin), Payload: payload}); err != nil {
			return err
		}
	}
	for _, g := range open {
		if g != nil {
			_ = g.Close()
		}
	}
	return nil
}

// connect returns an origin that is fed from near by one session over loopback.
func connect(ctx context.Context, near *pubsub.Origin) (far *pubsub.Origin, done func(), err error) {
	r, err := relay.New(relay.Config{Origin: near})
	if err != nil {
		return nil, nil, err
	}
	address, err := r.Listen("127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	target, err := transport.ParseURL("moqt://" + address.String())
	if err != nil {
		return nil, nil, err
	}
	var pin [sha256.Size]byte
	if _, err := hex.Decode(pin[:], []byte(r.Fingerprint())); err != nil {
		return nil, nil, err
	}
	dialer := &transport.Dialer{
		Protocols:    []string{wire.Lite06.ALPN()},
		Fingerprints: [][sha256.Size]byte{pin},
		QUIC:         &quic.Config{MaxIncomingStreams: 1024, MaxIncomingUniStreams: 1024, MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 3 * time.Second},
	}
	conn, err := dialer.Dial(ctx, target, transport.Trial{})
	if err != nil {
		return nil, nil, err
	}
	far = pubsub.NewOrigin()
	s, err := session.Start(ctx, conn, session.Config{Subscribe: far, Version: wire.Lite06})
	if err != nil {
		return nil, nil, err
	}
	return far, func() {
		_ = s.Close()
		_ = r.Close()
	}, nil
}
