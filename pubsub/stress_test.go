package pubsub

import (
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Many readers and one writer that does not wait for them: each reader gets every frame
// of every group, in order. A lost wake-up shows as a deadline.
func TestThousandReaders(t *testing.T) {
	const readers, groups, frames = 1000, 4, 10
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	ctx := testCtx(t)
	var wg sync.WaitGroup
	for range readers {
		c := subscribe(t, o, SubscribeOptions{})
		wg.Go(func() {
			n := uint64(0)
			for g, err := range c.Groups(ctx) {
				if err != nil {
					t.Error(err)
					return
				}
				for f, err := range g.Frames(ctx) {
					if err != nil || binary.BigEndian.Uint64(f.Payload) != n {
						t.Errorf("frame %d: %x %v", n, f.Payload, err)
						return
					}
					n++
				}
			}
			if n != groups*frames {
				t.Errorf("%d frames", n)
			}
		})
	}
	for i := range uint64(groups) {
		g, err := tp.AppendGroup()
		require.NoError(t, err)
		for j := range uint64(frames) {
			require.NoError(t, g.WriteFrame(Frame{Payload: binary.BigEndian.AppendUint64(nil, i*frames+j)}))
		}
		require.NoError(t, g.Close())
	}
	require.NoError(t, tp.Close())
	wg.Wait()
}

// Writer and reader take turns, so that each wake-up is needed.
func TestNoWakeUpIsLost(t *testing.T) {
	o := NewOrigin()
	there, back := newTestTrack(t, o, time.Hour), (*TrackProducer)(nil)
	b, err := o.CreateBroadcast("back")
	require.NoError(t, err)
	back, err = b.CreateTrack("t", TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, b.Announce())
	ctx := testCtx(t)
	in := subscribe(t, o, SubscribeOptions{})
	bc, err := o.Lookup("back", 0)
	require.NoError(t, err)
	out, err := bc.Subscribe(ctx, "t", SubscribeOptions{})
	require.NoError(t, err)

	const rounds = 5000
	var wg sync.WaitGroup
	wg.Go(func() {
		for range rounds {
			g, err := in.NextGroup(ctx)
			if err != nil {
				t.Error(err)
				return
			}
			if _, err := g.NextFrame(ctx); err != nil {
				t.Error(err)
				return
			}
			_ = back.WriteNow(nil)
		}
	})
	for range rounds {
		g, err := there.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(Frame{}))
		require.NoError(t, g.Close())
		_, err = out.NextGroup(ctx)
		require.NoError(t, err)
	}
	wg.Wait()
}

// One reader that stops costs the others nothing and is told what it lost.
func TestStalledReader(t *testing.T) {
	o := NewOriginWith(OriginOptions{Budget: 1 << 20})
	tp := newTestTrack(t, o, time.Hour)
	stalled, live := subscribe(t, o, SubscribeOptions{}), subscribe(t, o, SubscribeOptions{})
	payload := make([]byte, 10_000)
	for i := range uint64(1000) {
		require.NoError(t, tp.WriteFrame(Frame{Timestamp: time.Duration(i) * time.Millisecond, Payload: payload}))
		seq, gap := nextSeq(t, live)
		require.Equal(t, i, seq)
		require.Nil(t, gap)
		require.LessOrEqual(t, o.held.Load(), int64(1<<20+1<<20/20))
	}
	seq, gap := nextSeq(t, stalled)
	require.NotNil(t, gap)
	require.Zero(t, gap.First, "the oldest first")
	require.Equal(t, seq-1, gap.Last, "what was dropped is what was reported")
	require.Equal(t, sequences(tp)[0], seq)
}

// Everything at once, for the race detector.
func TestRaces(t *testing.T) {
	o := NewOriginWith(OriginOptions{Budget: 64 << 10})
	ctx := testCtx(t)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		wg.Go(func() {
			f := o.Follow("b", "t", FollowOptions{})
			defer f.Close()
			for g, err := range f.Groups(ctx) {
				if err != nil {
					return
				}
				for range g.Frames(ctx) {
				}
				select {
				case <-stop:
					return
				default:
				}
			}
		})
		wg.Go(func() {
			for a, err := range o.Announced(ctx, "") {
				_ = a
				select {
				case <-stop:
					return
				default:
				}
				if err != nil {
					return
				}
			}
		})
	}
	for range 100 {
		b, err := o.CreateBroadcast("b")
		require.NoError(t, err)
		tp, err := b.CreateTrack("t", TrackInfo{})
		require.NoError(t, err)
		require.NoError(t, b.Announce())
		var writers sync.WaitGroup
		for range 3 {
			writers.Go(func() {
				for range 20 {
					g, err := tp.AppendGroup()
					if err != nil {
						return
					}
					_ = g.WriteFrame(Frame{Payload: make([]byte, 500)})
					_ = g.Close()
				}
			})
		}
		l := connect(t, o, []uint64{5}, serving(t, []part{{0, 1, "."}}))
		writers.Wait()
		tp.Fail(errLost)
		require.NoError(t, b.Close())
		l.cut(errLost)
	}
	close(stop)
	o.Supervise()(io.ErrUnexpectedEOF)
	b := announced(t, o, "b")
	_, err := b.CreateTrack("t", TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, b.Close())
	wg.Wait()
	require.False(t, errors.Is(ctx.Err(), ctx.Err()) && ctx.Err() != nil, "nobody was left waiting")
}
