package wire

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// frame is one example of a frame (§4.12), the same on every version.
type frame struct {
	name    string
	wire    string
	delta   int64
	payload string
	written string // how it is written, if not as in wire
}

var frames = []frame{
	{
		name: "hello at 1000",
		wire: `47 d0 // delta 1000
			05 // length: size
			68 65 6c 6c 6f // hello`,
		delta: 1000, payload: "hello",
	},
	{
		name: "empty, at the same time",
		wire: `00 // delta 0
			00 // length: size`,
	},
	{
		name: "one tick back",
		wire: `01 // delta -1
			01 // length: size
			61 // a`,
		delta: -1, payload: "a",
	},
	{
		name: "5000 ticks back",
		wire: `67 0f 01 61`, delta: -5000, payload: "a",
	},
	{
		name: "as far ahead as can be",
		wire: `ff ff ff ff ff ff ff fe 00`, delta: 1<<61 - 1,
	},
	{
		name: "as far back as can be",
		wire: `ff ff ff ff ff ff ff ff 00`, delta: -1 << 61,
	},
	{
		name: "first of the clock group",
		wire: `c0 00 00 61 61 75 6e 2a // delta 209123456789
			11 // length: size
			32 30 32 36 2d 30 38 2d 32 32 20 32 30 3a 30 31 3a // 2026-08-22 20:01:`,
		delta: 209123456789, payload: "2026-08-22 20:01:",
	},
	{
		name: "numbers longer than needed",
		wire: `40 02 // delta 1
			80 00 00 01 // length: size
			61 // a`,
		delta: 1, payload: "a", written: `02 01 61`,
	},
}

func TestFrames(t *testing.T) {
	for _, c := range frames {
		t.Run(c.name, func(t *testing.T) {
			r := NewReader(bytes.NewReader(unhex(c.wire)))
			delta, payload, err := r.Frame()
			require.NoError(t, err)
			require.Equal(t, c.delta, delta)
			require.Equal(t, c.payload, string(payload))
			_, _, err = r.Frame()
			require.Equal(t, io.EOF, err)

			written := c.wire
			if c.written != "" {
				written = c.written
			}
			b := AppendFrameHeader([]byte("x"), c.delta, len(c.payload))
			require.Equal(t, append([]byte("x"), unhex(written)...), append(b, c.payload...))
		})
	}
}

func TestFrameEveryStrictPrefixFails(t *testing.T) {
	for _, c := range frames {
		wire := unhex(c.wire)
		for n := range wire {
			_, payload, err := NewReader(bytes.NewReader(wire[:n])).Frame()
			require.Nil(t, payload)
			if n == 0 {
				require.Equal(t, io.EOF, err)
				continue
			}
			var malformed *Error
			require.ErrorAs(t, err, &malformed)
			require.Equal(t, "FRAME", malformed.Message)
			require.Contains(t, []string{"timestamp delta", "size", "payload"}, malformed.Field)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestFrameTooLarge(t *testing.T) {
	head := AppendFrameHeader(nil, 0, MaxFrame+1)
	_, _, err := NewReader(bytes.NewReader(head)).Frame()
	require.Equal(t, &Error{Message: "FRAME", Field: "size", Err: ErrTooLarge}, err)
}

func TestLargestFrame(t *testing.T) {
	payload := bytes.Repeat([]byte("0123456789abcdef"), MaxFrame/16)
	stream := append(AppendFrameHeader(nil, 7, MaxFrame), payload...)
	r := NewReader(bytes.NewReader(stream))
	delta, got, err := r.Frame()
	require.NoError(t, err)
	require.EqualValues(t, 7, delta)
	require.True(t, bytes.Equal(payload, got))
	_, _, err = r.Frame()
	require.Equal(t, io.EOF, err)
}

func TestFrameHeaderOutOfRangePanics(t *testing.T) {
	require.Panics(t, func() { AppendFrameHeader(nil, 1<<61, 0) })
	require.Panics(t, func() { AppendFrameHeader(nil, -1<<61-1, 0) })
	require.Panics(t, func() { AppendFrameHeader(nil, 0, -1) })
}

func TestFrameHeaderAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 16)
	require.Zero(t, testing.AllocsPerRun(100, func() { buf = AppendFrameHeader(buf[:0], 1<<60, 1<<20) }))
}

func TestAddTicks(t *testing.T) {
	for _, c := range []struct {
		ticks uint64
		delta int64
		want  uint64
		ok    bool
	}{
		{0, 0, 0, true},
		{0, 1000, 1000, true},
		{1000, -1000, 0, true},
		{1000, -1001, 0, false},
		{0, -1, 0, false},
		{0, -1 << 61, 0, false},
		{MaxTicks, 0, MaxTicks, true},
		{MaxTicks - 1, 1, MaxTicks, true},
		{MaxTicks, 1, 0, false},
		{MaxTicks, 1<<61 - 1, 0, false},
		{MaxTicks, -MaxTicks, 0, true},
		{MaxTicks + 1, -5, 0, false},
		{1<<64 - 1, 2, 0, false},
	} {
		got, ok := AddTicks(c.ticks, c.delta)
		require.Equal(t, c.ok, ok, "%d + %d", c.ticks, c.delta)
		if ok {
			require.Equal(t, c.want, got)
		}
	}
}

// Whatever two timestamps are accepted, the step from one to the other can be written.
func TestStepsBetweenTicksFit(t *testing.T) {
	for _, from := range []int64{0, 1, MaxTicks - 1, MaxTicks} {
		for _, to := range []int64{0, 1, MaxTicks - 1, MaxTicks} {
			b := AppendFrameHeader(nil, to-from, 0)
			delta, _, err := NewReader(bytes.NewReader(b)).Frame()
			require.NoError(t, err)
			got, ok := AddTicks(uint64(from), delta)
			require.True(t, ok)
			require.EqualValues(t, to, got)
		}
	}
}
