package pubsub

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func datagram(t *testing.T, tp *TrackProducer, payload string) uint64 {
	t.Helper()
	seq, err := tp.WriteDatagram(Frame{Timestamp: time.Second, Payload: []byte(payload)})
	require.NoError(t, err)
	return seq
}

// TestDatagramsShareTheNumbers of groups, which are neither waited for nor lost.
func TestDatagramsShareTheNumbers(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{})
	require.Equal(t, uint64(0), datagram(t, tp, "a"))
	putGroup(t, tp, 1, 0, 1)
	require.Equal(t, uint64(2), datagram(t, tp, "b"))
	require.Equal(t, uint64(3), datagram(t, tp, "c"))
	putGroup(t, tp, 4, 0, 1)
	_, err := tp.CreateGroup(3)
	require.ErrorIs(t, err, moqerr.ErrDuplicate)
	for _, want := range []uint64{1, 4} {
		seq, gap := nextSeq(t, c)
		require.Equal(t, want, seq)
		require.Nil(t, gap)
	}
	require.NoError(t, tp.Close())
	var got []string
	for d, err := range c.Datagrams(testCtx(t)) {
		require.NoError(t, err)
		require.Equal(t, time.Second, d.Timestamp)
		got = append(got, string(d.Payload))
	}
	require.Equal(t, []string{"a", "b", "c"}, got)
	_, err = tp.WriteDatagram(Frame{})
	require.ErrorIs(t, err, moqerr.ErrClosed)
	_, err = c.NextArrival(testCtx(t))
	require.NoError(t, err)
	_, err = c.NextArrival(testCtx(t))
	require.NoError(t, err)
	_, err = c.NextArrival(testCtx(t))
	require.Equal(t, io.EOF, err)
}

// TestSlowDatagramReader finds the last 64 and is told how many it missed.
func TestSlowDatagramReader(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	datagram(t, tp, "before it came")
	c := subscribe(t, o, SubscribeOptions{})
	for range 100 {
		datagram(t, tp, "x")
	}
	d, err := c.NextDatagram(testCtx(t))
	require.NoError(t, err)
	require.Equal(t, uint64(101-keptDatagrams), d.Sequence)
	require.Equal(t, uint64(100-keptDatagrams), d.Missed)
	d, err = c.NextDatagram(testCtx(t))
	require.NoError(t, err)
	require.Zero(t, d.Missed)
}

// TestDatagramsOfPeers: each is delivered once, in whatever order and however often it comes.
func TestDatagramsOfPeers(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(3), End: ptr(1000)})
	put := func(seq uint64) error { return tp.PutDatagram(seq, RawFrame{}) }
	for _, seq := range []uint64{5, 3, 2, 500, 1001, 4, 999} {
		err := put(seq)
		if seq == 4 {
			require.ErrorIs(t, err, moqerr.ErrTooOld, "it cannot be told any more whether it came")
			continue
		}
		require.NoError(t, err)
	}
	require.ErrorIs(t, put(999), moqerr.ErrDuplicate)
	require.ErrorIs(t, put(1001), moqerr.ErrDuplicate)
	require.NoError(t, put(1000))
	require.Error(t, put(maxSequence+1))
	for _, want := range []uint64{5, 3, 500, 999, 1000} {
		d, err := c.NextDatagram(testCtx(t))
		require.NoError(t, err)
		require.Equal(t, want, d.Sequence, "within what was asked for")
	}
	_, err := c.NextDatagram(expired())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorIs(t, tp.PutDatagram(2000, RawFrame{Payload: make([]byte, 1<<16)}), streamError(moqerr.StreamFrameTooLarge))
	_, err = tp.WriteDatagram(Frame{Payload: make([]byte, MaxDatagram+1)})
	require.ErrorIs(t, err, streamError(moqerr.StreamFrameTooLarge))
}

// TestDatagramReaderIsWoken by a datagram, by Close and by the track's failure.
func TestDatagramReaderIsWoken(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{})
	other := subscribe(t, o, SubscribeOptions{})
	results := make(chan error, 1)
	read := func(c *TrackConsumer) {
		go func() {
			_, err := c.NextDatagram(testCtx(t))
			results <- err
		}()
		for asleep := false; !asleep; {
			tp.t.mu.Lock()
			asleep = tp.t.listeners.asleep != nil && len(tp.t.listeners.asleep.list) > 0
			tp.t.mu.Unlock()
		}
	}
	read(c)
	datagram(t, tp, "x")
	require.NoError(t, <-results)
	read(c)
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-results, moqerr.ErrClosed)
	_, err := other.NextDatagram(testCtx(t))
	require.NoError(t, err)
	read(other)
	tp.Abort(moqerr.StreamMalformed)
	require.ErrorIs(t, <-results, streamError(moqerr.StreamMalformed))
}

// TestCompleteWithoutGroups: the end comes as soon as every sequence below it is here, came
// as a datagram, or is known never to come, also where that is known twice.
func TestCompleteWithoutGroups(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
	putGroup(t, tp, 0, 0, 1)
	require.NoError(t, tp.PutDatagram(2, RawFrame{}))
	tp.Drop(1, 3)
	putGroup(t, tp, 3, 0, 1) // all the same
	require.NoError(t, tp.EndAt(6))
	putGroup(t, tp, 5, 0, 1)
	for range 3 {
		_, err := c.NextArrival(testCtx(t))
		require.NoError(t, err)
	}
	requireNone(t, c.NextArrival)
	putGroup(t, tp, 4, 0, 1)
	_, err := c.NextArrival(testCtx(t))
	require.NoError(t, err)
	_, err = c.NextArrival(testCtx(t))
	require.Equal(t, io.EOF, err)
}

// TestDatagramsCount against the budgets, until they make room for others or their track is
// gone.
func TestDatagramsCount(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	for range 3 * keptDatagrams {
		_, err := tp.WriteDatagram(Frame{Payload: make([]byte, 1000)})
		require.NoError(t, err)
	}
	require.Equal(t, int64(1000*keptDatagrams), o.held.Load())
	require.NoError(t, tp.Close())
	tp.t.forget()
	tp.t.forget()
	require.Zero(t, o.held.Load())
}
