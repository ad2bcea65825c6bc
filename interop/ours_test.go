//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// newClient makes a client of ours that pins the relay's certificate. Its log is
// shown when the test fails.
func newClient(t *testing.T, r *Relay, name string, c moq.Config) *moq.Client {
	t.Helper()
	c.Fingerprints = []string{r.Certificate.Fingerprint}
	log := new(logBuffer)
	c.Logger = slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	client, err := moq.NewClient(c)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, client.Close())
		if t.Failed() {
			t.Logf("log of our %s:\n%s", name, log)
		}
	})
	return client
}

// logBuffer keeps a log.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

// Ours is one session of ours with a hub.
type Ours struct {
	hub     *Relay
	carrier string
	version moq.Version
}

// dial connects, and checks that the session is what was asked for.
func (o Ours) dial(t *testing.T, name string, c moq.Config) {
	t.Helper()
	c.Versions = []moq.Version{o.version}
	session, err := newClient(t, o.hub, name, c).Connect(within(t, 10*time.Second), o.hub.URL(o.carrier))
	require.NoError(t, err)
	require.Equal(t, o.version, session.Version())
	require.Equal(t, map[string]string{"https": "webtransport", "moqt": "quic"}[o.carrier], session.Transport())
}

// OurWriter publishes with this library.
type OurWriter struct {
	Ours
	forClock bool // write what upstream's clock can read

	broadcast *pubsub.BroadcastProducer
	track     *pubsub.TrackProducer
}

// Announce implements [Writer].
func (w *OurWriter) Announce(t *testing.T) {
	origin := pubsub.NewOrigin()
	var err error
	w.broadcast, err = origin.CreateBroadcast(broadcast)
	require.NoError(t, err)
	w.track, err = w.broadcast.CreateTrack(track, pubsub.TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, w.broadcast.Announce())
	w.dial(t, "writer", moq.Config{Publish: origin})
}

// Write implements [Writer].
func (w *OurWriter) Write(ctx context.Context, begun chan<- uint64, goOn <-chan struct{}) error {
	if err := demanded(ctx, w.track); err != nil {
		return err
	}
	start := time.Now()
	for i := range groups {
		if i == holdBefore {
			select {
			case <-goOn:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		}
		group, err := w.track.AppendGroup()
		if err != nil {
			return err
		}
		begun <- group.Sequence()
		if err := w.writeGroup(ctx, group, start); err != nil {
			return err
		}
	}
	return w.track.Close()
}

func (w *OurWriter) writeGroup(ctx context.Context, group *pubsub.GroupProducer, start time.Time) error {
	first := 0
	if w.forClock {
		head := pubsub.Frame{Timestamp: time.Since(start), Payload: fmt.Appendf(nil, "%d ", group.Sequence())}
		if err := group.WriteFrame(head); err != nil {
			return err
		}
		first = 1
	}
	for f := first; f < first+frames; f++ {
		content := payload(group.Sequence(), f, padding)
		if w.forClock {
			content = []byte(body(f, padding))
		}
		if err := group.WriteFrame(pubsub.Frame{Timestamp: time.Since(start), Payload: content}); err != nil {
			return err
		}
		pause(ctx, time.Second/rate)
	}
	if err := group.Close(); err != nil {
		return err
	}
	if w.forClock {
		// Its reader takes the live group only: what has not left when the next begins is dropped.
		pause(ctx, 100*time.Millisecond)
	}
	return ctx.Err()
}

// demanded waits for a reader of the track.
func demanded(ctx context.Context, track *pubsub.TrackProducer) error {
	return untilDemand(ctx, track, func(d pubsub.Demand) bool { return d.Readers > 0 })
}

// demandedAt waits for readers that want the track with a priority.
func demandedAt(ctx context.Context, track *pubsub.TrackProducer, priority uint8) error {
	return untilDemand(ctx, track, func(d pubsub.Demand) bool { return d.Priority == priority })
}

func untilDemand(ctx context.Context, track *pubsub.TrackProducer, enough func(pubsub.Demand) bool) error {
	for {
		demand := track.Demand()
		if enough(demand) {
			return nil
		}
		select {
		case <-demand.Changed:
		case <-ctx.Done():
			return fmt.Errorf("nobody reads so: %w", context.Cause(ctx))
		}
	}
}

// Retract implements [Writer].
func (w *OurWriter) Retract(t *testing.T) { require.NoError(t, w.broadcast.Close()) }

// OurReader subscribes with this library.
type OurReader struct {
	Ours
	name string
	take func(group uint64, index int, content []byte) error // default: the ledger's Add

	ledger    Ledger
	retracted chan struct{} // closed when the broadcast was seen to go
	joined    chan struct{} // closed at the first frame
	done      chan error    // the end of the track
}

// Subscribe implements [Reader].
func (r *OurReader) Subscribe(t *testing.T) string {
	if r.take == nil {
		r.take = r.ledger.Add
	}
	origin := pubsub.NewOrigin()
	r.dial(t, r.name, moq.Config{Subscribe: origin})
	r.retracted, r.joined, r.done = make(chan struct{}), make(chan struct{}), make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var pumps sync.WaitGroup
	t.Cleanup(func() { cancel(); pumps.Wait() })
	pumps.Go(func() { r.watch(ctx, origin) })

	limited := within(t, 20*time.Second)
	b, err := origin.Broadcast(limited, broadcast)
	require.NoError(t, err)
	_, err = b.Subscribe(limited, unknown, pubsub.SubscribeOptions{})
	var refused *moqerr.StreamError
	require.ErrorAs(t, err, &refused, "a track that nobody makes was found")
	require.Contains(t, []moqerr.StreamCode{moqerr.StreamNotFound, moqerr.StreamUnroutable}, refused.Code)
	consumer, err := b.Subscribe(limited, track, pubsub.SubscribeOptions{})
	require.NoError(t, err)
	pumps.Go(func() { r.done <- r.read(ctx, consumer) })
	return fmt.Sprintf("%v 0x%x", refused.Code, uint64(refused.Code))
}

// watch waits for the broadcast to come and to go.
func (r *OurReader) watch(ctx context.Context, origin *pubsub.Origin) {
	there := false
	for a, err := range origin.Announced(ctx, "") {
		if err != nil {
			return
		}
		if a.Path != broadcast || a.Synced {
			continue
		}
		if there && !a.Active {
			close(r.retracted)
			return
		}
		there = a.Active
	}
}

func (r *OurReader) read(ctx context.Context, consumer *pubsub.TrackConsumer) error {
	joined := false
	for {
		group, err := consumer.NextGroup(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d frames: %w", r.ledger.Len(), err)
		}
		if gap := group.Gap(); gap != nil {
			return fmt.Errorf("before group %d: %v", group.Sequence(), gap)
		}
		index := 0
		for frame, err := range group.Frames(ctx) {
			if err != nil {
				return fmt.Errorf("group %d, frame %d: %w", group.Sequence(), index, err)
			}
			if err := r.take(group.Sequence(), index, frame.Payload); err != nil {
				return err
			}
			if !joined {
				close(r.joined)
			}
			joined = true
			index++
		}
	}
}

// Joined implements [Reader].
func (r *OurReader) Joined(t *testing.T) {
	select {
	case <-r.joined:
	case err := <-r.done:
		require.FailNow(t, "the track ended", "%v", err)
	case <-within(t, 10*time.Second).Done():
		require.FailNow(t, "no frame came")
	}
}

// Finish implements [Reader].
func (r *OurReader) Finish(t *testing.T, _ uint64) *Ledger {
	select {
	case err := <-r.done:
		require.NoError(t, err)
	case <-within(t, 20*time.Second).Done():
		require.FailNow(t, "the track does not end", "%d frames came", r.ledger.Len())
	}
	return &r.ledger
}

// Retracted implements [Reader].
func (r *OurReader) Retracted(t *testing.T) {
	await(t, r.retracted, 40*time.Second, "the retraction was not seen")
}

// await waits for a channel to be closed.
func await(t *testing.T, c <-chan struct{}, limit time.Duration, otherwise string) {
	t.Helper()
	select {
	case <-c:
	case <-within(t, limit).Done():
		require.FailNow(t, otherwise)
	}
}
