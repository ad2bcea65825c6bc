package pubsub

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

// pair returns both ends of a new group.
func pair(t testing.TB) (*GroupProducer, *GroupConsumer) {
	t.Helper()
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	p, err := tp.AppendGroup()
	require.NoError(t, err)
	c, err := subscribe(t, o, SubscribeOptions{}).NextGroup(testCtx(t))
	require.NoError(t, err)
	return p, c
}

func TestGroupReadsWhatWasWritten(t *testing.T) {
	p, c := pair(t)
	payload := []byte("copied")
	require.NoError(t, p.WriteFrame(Frame{Timestamp: time.Second, Payload: payload}))
	payload[0] = 'X'
	owned := []byte("owned")
	require.NoError(t, p.WriteOwned(Frame{Timestamp: 500 * time.Millisecond, Payload: owned}))
	require.NoError(t, p.WriteRaw(RawFrame{Ticks: 77, Payload: nil}))

	f, err := c.NextFrame(bg)
	require.NoError(t, err)
	require.Equal(t, Frame{Timestamp: time.Second, Payload: []byte("copied")}, f)
	require.Equal(t, 1, c.Index())
	f, err = c.NextFrame(bg)
	require.NoError(t, err)
	require.Same(t, &owned[0], &f.Payload[0], "WriteOwned does not copy")
	f, err = c.AppendFrame(bg, []byte("x"))
	require.NoError(t, err)
	require.Equal(t, Frame{Timestamp: 77 * time.Millisecond, Payload: []byte("x")}, f)

	_, err = c.NextFrame(expired())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.False(t, c.Complete())
	require.NoError(t, p.Close())
	require.NoError(t, p.Close())
	require.True(t, c.Complete())
	_, err = c.NextFrame(bg)
	require.Equal(t, io.EOF, err)
	require.ErrorIs(t, p.WriteFrame(Frame{}), moqerr.ErrClosed)
}

func TestGroupReadRaw(t *testing.T) {
	p, c := pair(t)
	for i := range 5 {
		require.NoError(t, p.WriteRaw(RawFrame{Ticks: uint64(i)}))
	}
	dst := make([]RawFrame, 3)
	n, err := c.ReadRaw(bg, dst)
	require.NoError(t, err)
	require.Equal(t, 3, n)
	require.Equal(t, []RawFrame{{Ticks: 0}, {Ticks: 1}, {Ticks: 2}}, dst)
	n, err = c.ReadRaw(bg, dst)
	require.NoError(t, err)
	require.Equal(t, 2, n, "what is ready, not what fits")
	require.NoError(t, p.Close())
	n, err = c.ReadRaw(bg, dst)
	require.Equal(t, io.EOF, err)
	require.Zero(t, n)
}

func TestGroupAbort(t *testing.T) {
	p, c := pair(t)
	putFrame(t, p, 0, 0)
	p.Abort(moqerr.StreamApplication + 1)
	p.Abort(moqerr.StreamCancelled) // the first counts
	require.ErrorIs(t, p.WriteFrame(Frame{}), moqerr.ErrClosed)
	got, err := readAll(t, c)
	require.Equal(t, []string{"0/0"}, got, "frames that are here come first")
	require.Equal(t, &moqerr.StreamError{Code: moqerr.StreamApplication + 1}, err)
}

func TestGroupFailIsNeverAnEnd(t *testing.T) {
	for _, cause := range []error{nil, io.EOF} {
		p, c := pair(t)
		p.Fail(cause)
		_, err := c.NextFrame(bg)
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamInternal})
	}
	p, c := pair(t)
	p.Fail(io.ErrUnexpectedEOF)
	_, err := c.NextFrame(bg)
	require.Equal(t, io.ErrUnexpectedEOF, err)
}

func TestGroupLimits(t *testing.T) {
	p, c := pair(t)
	err := p.WriteOwned(Frame{Payload: make([]byte, maxFrameBytes+1)})
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamFrameTooLarge})
	require.NoError(t, p.WriteOwned(Frame{Payload: make([]byte, maxFrameBytes-1)}))
	require.NoError(t, p.WriteFrame(Frame{Payload: []byte("x")}))
	err = p.WriteFrame(Frame{Payload: []byte("y")})
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamGroupTooLarge}, "bytes")
	require.NoError(t, p.Close())
	got, err := readAll(t, c)
	require.NoError(t, err)
	require.Len(t, got, 2, "what was written stays valid")

	p, c = pair(t)
	for range maxGroupFrames {
		require.NoError(t, p.WriteOwned(Frame{}))
	}
	err = p.WriteOwned(Frame{})
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamGroupTooLarge}, "frames")
	require.NoError(t, p.Close())
	got, err = readAll(t, c)
	require.NoError(t, err)
	require.Len(t, got, maxGroupFrames)
}

func TestGroupRefusesTimestamps(t *testing.T) {
	p, _ := pair(t)
	for _, write := range []func(Frame) error{p.WriteFrame, p.WriteOwned} {
		var conf *moqerr.ConfigError
		require.ErrorAs(t, write(Frame{Timestamp: -1}), &conf)
		require.Equal(t, "Frame.Timestamp", conf.Field)
	}
	err := p.WriteRaw(RawFrame{Ticks: maxTicks + 1})
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamTimestamp})
	require.NoError(t, p.WriteRaw(RawFrame{Ticks: maxTicks}))
}

// Every index of the largest group leads to its own frame.
func TestGroupIndex(t *testing.T) {
	p, c := pair(t)
	for i := range maxGroupFrames {
		require.NoError(t, p.WriteRaw(RawFrame{Ticks: uint64(i)}))
	}
	for i := range maxGroupFrames {
		if c.g.frame(i).Ticks != uint64(i) {
			require.Equal(t, i, c.g.frame(i).Ticks)
		}
	}
}

func TestGroupCloseUnblocks(t *testing.T) {
	_, c := pair(t)
	done := make(chan error)
	go func() {
		_, err := c.NextFrame(testCtx(t))
		done <- err
	}()
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-done, moqerr.ErrClosed)
	_, err := c.ReadRaw(bg, make([]RawFrame, 1))
	require.ErrorIs(t, err, moqerr.ErrClosed)
	require.NoError(t, c.Close())
}

func TestGroupFramesIterator(t *testing.T) {
	p, c := pair(t)
	for i := range 3 {
		putFrame(t, p, 0, i)
	}
	var got []string
	for f, err := range c.Frames(testCtx(t)) {
		require.NoError(t, err)
		got = append(got, string(f.Payload))
		if len(got) == 2 {
			break
		}
	}
	require.Equal(t, []string{"0/0", "0/1"}, got)
	_, err := c.NextFrame(bg)
	require.ErrorIs(t, err, moqerr.ErrClosed, "leaving the loop closes the group")

	p, c = pair(t)
	putFrame(t, p, 0, 0)
	p.Abort(moqerr.StreamCancelled)
	var errs []error
	for _, err := range c.Frames(testCtx(t)) {
		errs = append(errs, err)
	}
	require.Equal(t, []error{nil, &moqerr.StreamError{Code: moqerr.StreamCancelled}}, errs, "an error is yielded once, last")
}
