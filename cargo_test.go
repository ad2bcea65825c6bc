package moq

import (
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/pubsub"
)

// cargo is a track between a client under test and the relay's own origin: what one of
// them publishes the other one reads.
type cargo struct {
	track  *pubsub.TrackProducer
	cancel context.CancelFunc
	busy   sync.WaitGroup
	sent   atomic.Int64 // frames written
	came   atomic.Int64 // frames read
	newest atomic.Int64 // when the newest of them was written, in Unix nanoseconds
}

// carry sets config to publish or read a track that carries the load, until stop is called.
// The relay's origin outlives the relay.
func (b *bed) carry(t *testing.T, load traffic, config *Config) *cargo {
	t.Helper()
	ours, theirs := pubsub.NewOrigin(), b.up.Origin()
	b.conf.Origin = theirs
	source, from, sink, to := ours, "clock", theirs, "room/"+canary+"/clock"
	config.Publish = ours
	if load.read {
		config.Publish, config.Subscribe = nil, ours
		source, from, sink, to = sink, to, source, from
	}
	clock, err := source.CreateBroadcast(from)
	require.NoError(t, err)
	track, err := clock.CreateTrack("ticks", pubsub.TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, clock.Announce())
	ctx, cancel := context.WithCancel(t.Context())
	c := &cargo{track: track, cancel: cancel}
	if load.rate > 0 {
		c.busy.Go(func() {
			for ctx.Err() == nil {
				c.write()
				time.Sleep(time.Second / time.Duration(load.rate))
			}
		})
	}
	follower := sink.Follow(to, "ticks", pubsub.FollowOptions{})
	c.busy.Go(func() { c.read(ctx, follower) })
	return c
}

// laden connects a client that carries a load, on sockets that are noted, and returns when
// it has a session.
func (b *bed) laden(t *testing.T, load traffic, scheme string, config Config) (*Reconnect, *cargo, *sockets) {
	t.Helper()
	s := new(sockets)
	config.ListenPacket = s.listenOn(b.net)
	c := b.carry(t, load, &config)
	r := b.client(config).Reconnect(t.Context(), b.urlFor(scheme))
	_, err := r.Session(t.Context())
	require.NoError(t, err)
	return r, c, s
}

// write sends a frame of 100 bytes, in a group of its own.
func (c *cargo) write() {
	frame := make([]byte, 100)
	binary.BigEndian.PutUint64(frame, uint64(time.Now().UnixNano()))
	_ = c.track.WriteNow(frame)
	c.sent.Add(1)
}

func (c *cargo) read(ctx context.Context, follower *pubsub.Follower) {
	defer follower.Close()
	for group, err := range follower.Groups(ctx) {
		if err != nil {
			return
		}
		frame, err := group.NextFrame(ctx)
		if err != nil {
			continue
		}
		c.came.Add(1)
		c.newest.Store(max(c.newest.Load(), int64(binary.BigEndian.Uint64(frame.Payload))))
	}
}

// since returns after what time a frame came that was written later than at, and not
// before. It gives up after a minute.
func (c *cargo) since(at time.Time) time.Duration {
	for c.newest.Load() < at.UnixNano() && time.Since(at) < time.Minute {
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(at)
}

func (c *cargo) stop() {
	c.cancel()
	c.busy.Wait()
}
