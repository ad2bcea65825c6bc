package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/session"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// ours is a session with a relay that publishes the tracks.
type ours struct {
	producers []*pubsub.TrackProducer
	groups    []*pubsub.GroupProducer
	conn      transport.Conn
	session   *session.Session
	relay     *relay.Relay
	stop      context.CancelFunc
	reading   sync.WaitGroup
}

func openSession(ctx context.Context, tracks int, seen *arrivals) (carrier, error) {
	near := pubsub.NewOrigin()
	b, err := announced(near)
	if err != nil {
		return nil, err
	}
	c := &ours{groups: make([]*pubsub.GroupProducer, tracks)}
	for i := range tracks {
		tp, err := b.CreateTrack(fmt.Sprint(i), pubsub.TrackInfo{})
		if err != nil {
			return nil, err
		}
		c.producers = append(c.producers, tp)
	}
	far, err := c.connect(ctx, near)
	if err != nil {
		return nil, err
	}
	ctx, c.stop = context.WithCancel(ctx)
	if err := c.read(ctx, far, seen); err != nil {
		c.close()
		return nil, err
	}
	return c, nil
}

// connect returns an origin that is fed from near by one session over loopback.
func (c *ours) connect(ctx context.Context, near *pubsub.Origin) (far *pubsub.Origin, err error) {
	if c.relay, err = relay.New(relay.Config{Origin: near}); err != nil {
		return nil, err
	}
	address, err := c.relay.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	target, err := transport.ParseURL("moqt://" + address.String())
	if err != nil {
		return nil, err
	}
	var pin [sha256.Size]byte
	if _, err := hex.Decode(pin[:], []byte(c.relay.Fingerprint())); err != nil {
		return nil, err
	}
	dialer := &transport.Dialer{
		Protocols: []string{wire.Lite06.ALPN()}, Fingerprints: [][sha256.Size]byte{pin}, QUIC: quicConfig(),
	}
	if c.conn, err = dialer.Dial(ctx, target, transport.Trial{}); err != nil {
		return nil, err
	}
	far = pubsub.NewOrigin()
	c.session, err = session.Start(ctx, c.conn, session.Config{Subscribe: far, Version: wire.Lite06})
	return far, err
}

// read subscribes to every track and counts what comes.
func (c *ours) read(ctx context.Context, far *pubsub.Origin, seen *arrivals) error {
	b, err := far.Broadcast(ctx, path)
	if err != nil {
		return err
	}
	for i := range c.producers {
		tc, err := b.Subscribe(ctx, fmt.Sprint(i), pubsub.SubscribeOptions{Start: new(uint64)})
		if err != nil {
			return err
		}
		c.reading.Go(func() {
			if err := drain(ctx, tc, func(pubsub.Frame) { seen.frame() }); err != nil {
				seen.fail(err)
			}
		})
	}
	return nil
}

func (c *ours) begin(track int) (err error) {
	if g := c.groups[track]; g != nil {
		_ = g.Close() // never fails
	}
	c.groups[track], err = c.producers[track].AppendGroup()
	return err
}

func (c *ours) frame(track int, at time.Duration, payload []byte) error {
	return c.groups[track].WriteFrame(pubsub.Frame{Timestamp: at, Payload: payload})
}

func (c *ours) packets() uint64 { return c.conn.Stats().PacketsReceived }

func (c *ours) close() {
	c.stop()
	c.reading.Wait()
	_ = c.session.Close()
	_ = c.relay.Close()
}

// quicConfig is every connection's: what the zero moq.Config comes to.
func quicConfig() *quic.Config {
	return &quic.Config{
		MaxIncomingStreams: 1024, MaxIncomingUniStreams: 1024,
		MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 3 * time.Second,
		EnableDatagrams: true, EnableStreamResetPartialDelivery: true,
	}
}
