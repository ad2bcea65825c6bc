package pubsub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var bg = context.Background()

// testCtx ends long before the test binary does, so that a lost wake-up is a failure.
func testCtx(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// expired is a context for reads that must not find anything.
func expired() context.Context {
	ctx, cancel := context.WithTimeout(bg, time.Millisecond)
	_ = cancel
	return ctx
}

// inBubble runs a subtest on virtual time.
func inBubble(t *testing.T, name string, f func(t *testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

func ptr(v uint64) *uint64 { return &v }

// announced returns a broadcast that is visible at path.
func announced(t testing.TB, o *Origin, path string) *BroadcastProducer {
	t.Helper()
	b, err := o.CreateBroadcast(path)
	require.NoError(t, err)
	require.NoError(t, b.Announce())
	return b
}

// newTestTrack returns a track of an announced broadcast, with ticks of a millisecond.
func newTestTrack(t testing.TB, o *Origin, maxAge time.Duration) *TrackProducer {
	t.Helper()
	tp, err := announced(t, o, "b").CreateTrack("t", TrackInfo{MaxAge: maxAge, Timescale: 1000})
	require.NoError(t, err)
	return tp
}

// subscribe reads track "t" of broadcast "b".
func subscribe(t testing.TB, o *Origin, opts SubscribeOptions) *TrackConsumer {
	t.Helper()
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	c, err := b.Subscribe(testCtx(t), "t", opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// putGroup writes a whole group; its frames are a second apart, beginning at start.
func putGroup(t testing.TB, tp *TrackProducer, seq uint64, start time.Duration, frames int) {
	t.Helper()
	g := openAt(t, tp, seq, start, frames)
	require.NoError(t, g.Close())
}

// openAt is putGroup without the end.
func openAt(t testing.TB, tp *TrackProducer, seq uint64, start time.Duration, frames int) *GroupProducer {
	t.Helper()
	g, err := tp.CreateGroup(seq)
	require.NoError(t, err)
	for i := range frames {
		putFrame(t, g, start+time.Duration(i)*time.Second, i)
	}
	return g
}

// putFrame writes a frame that names its group and place.
func putFrame(t testing.TB, g *GroupProducer, at time.Duration, i int) {
	t.Helper()
	require.NoError(t, g.WriteFrame(Frame{Timestamp: at, Payload: []byte(label(g.Sequence(), i))}))
}

func label(seq uint64, i int) string { return fmt.Sprintf("%d/%d", seq, i) }

// readAll reads a group to its end, which must be io.EOF, or to the error it ends with.
func readAll(t testing.TB, g *GroupConsumer) (payloads []string, err error) {
	t.Helper()
	ctx := testCtx(t)
	for {
		f, err := g.NextFrame(ctx)
		if errors.Is(err, io.EOF) {
			return payloads, nil
		}
		if err != nil {
			return payloads, err
		}
		payloads = append(payloads, string(f.Payload))
	}
}

// nextSeq reads the next group in order and returns its sequence and gap.
func nextSeq(t testing.TB, c interface {
	NextGroup(context.Context) (*GroupConsumer, error)
},
) (uint64, *Gap) {
	t.Helper()
	g, err := c.NextGroup(testCtx(t))
	require.NoError(t, err)
	return g.Sequence(), g.Gap()
}

// requireNone asserts that nothing can be read at present.
func requireNone(t testing.TB, read func(context.Context) (*GroupConsumer, error)) {
	t.Helper()
	g, err := read(expired())
	require.ErrorIs(t, err, context.DeadlineExceeded, "got group %v", g)
}
