package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/remoq/moq"
	"github.com/remoq/moq/pubsub"
)

const (
	broadcast = "outage"
	track     = "frames"
	rate      = 100 // frames a second
	perGroup  = 100
)

// ours is a publisher and a subscriber of this library, in this process.
type ours struct {
	arrivals              *timeline
	clients               []*moq.Client
	publisher, subscriber *moq.Reconnect
	log                   *tail
	life
}

// startOurs connects both to url. config holds what the arm is about.
func startOurs(config moq.Config, url, fingerprint string, arrivals *timeline) (*ours, error) {
	o := &ours{arrivals: arrivals, log: new(tail), life: begin()}
	config.Fingerprints = []string{fingerprint}
	if err := o.start(config, url); err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (o *ours) start(config moq.Config, url string) error {
	out, in := pubsub.NewOrigin(), pubsub.NewOrigin()
	b, err := out.CreateBroadcast(broadcast)
	if err != nil {
		return err
	}
	producer, err := b.CreateTrack(track, pubsub.TrackInfo{})
	if err != nil {
		return err
	}
	if err := b.Announce(); err != nil {
		return err
	}
	config.Publish = out
	if o.publisher, err = o.connect(names[0], config, url); err != nil {
		return err
	}
	config.Publish, config.Subscribe = nil, in
	if o.subscriber, err = o.connect(names[1], config, url); err != nil {
		return err
	}
	follower := in.Follow(broadcast, track, pubsub.FollowOptions{Resume: pubsub.ResumeLive})
	o.pump(func(ctx context.Context) error { return o.write(ctx, producer) })
	o.pump(func(ctx context.Context) error { return o.read(ctx, follower) })
	return nil
}

func (o *ours) connect(name string, config moq.Config, url string) (*moq.Reconnect, error) {
	config.Logger = slog.New(slog.NewTextHandler(o.log, &slog.HandlerOptions{Level: slog.LevelDebug})).With("client", name)
	client, err := moq.NewClient(config)
	if err != nil {
		return nil, err
	}
	o.clients = append(o.clients, client)
	r := client.Reconnect(context.Background(), url) // ends with its client
	o.pump(func(ctx context.Context) error { return fmt.Errorf("the %s stopped: %w", name, r.Wait(ctx)) })
	return r, nil
}

// write writes a frame each 10 ms, whose payload is its number, and a group each second.
// What is late is made up for.
func (o *ours) write(ctx context.Context, producer *pubsub.TrackProducer) error {
	start := time.Now()
	due := time.NewTimer(0)
	defer due.Stop()
	var group *pubsub.GroupProducer
	for sent := 0; ; sent++ {
		select {
		case <-due.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if sent%perGroup == 0 {
			var err error
			if group, err = producer.AppendGroup(); err != nil {
				return fmt.Errorf("the publisher: %w", err)
			}
		}
		frame := pubsub.Frame{Timestamp: time.Since(start), Payload: strconv.AppendInt(nil, int64(sent), 10)}
		err := group.WriteFrame(frame)
		if sent%perGroup == perGroup-1 {
			err = errors.Join(err, group.Close())
		}
		if err != nil {
			return fmt.Errorf("the publisher: %w", err)
		}
		due.Reset(time.Until(start.Add(time.Duration(sent+1) * (time.Second / rate))))
	}
}

func (o *ours) read(ctx context.Context, follower *pubsub.Follower) error {
	defer follower.Close()
	for group, err := range follower.Groups(ctx) {
		if err != nil {
			return fmt.Errorf("the subscriber: %w", err)
		}
		for frame, err := range group.Frames(ctx) {
			if err != nil {
				break // the group was cut by an outage
			}
			number, err := strconv.ParseUint(string(frame.Payload), 10, 64)
			if err != nil {
				return fmt.Errorf("the subscriber: a payload that nobody wrote: %w", err)
			}
			o.arrivals.add(number)
		}
	}
	return errors.New("the subscriber: the track ended")
}

func (o *ours) generations() [2]uint64 {
	return [2]uint64{o.publisher.State().Generation, o.subscriber.State().Generation}
}

func (o *ours) states() string {
	return fmt.Sprintf("publisher %+v\nsubscriber %+v\nlog of both:\n%s", o.publisher.State(), o.subscriber.State(), o.log)
}

// exactly: no frame is delivered twice.
func (o *ours) exactly() bool { return true }

func (o *ours) close() {
	o.stop()
	for _, c := range o.clients {
		_ = c.Close()
	}
	o.wait()
}

// tail keeps the end of a log.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 16 << 10

// Write implements [io.Writer].
func (l *tail) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p...)
	if len(l.text) > 2*tailSize {
		l.text = append(l.text[:0], l.text[len(l.text)-tailSize:]...)
	}
	return len(p), nil
}

// String returns what is kept.
func (l *tail) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return string(l.text)
}
