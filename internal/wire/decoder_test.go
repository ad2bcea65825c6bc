package wire

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// After the first failure a decoder reads nothing any more, and gives zero for all.
func TestDecoderAfterAFailure(t *testing.T) {
	d := &decoder{message: "TEST", rest: unhex(`02 c3 28 | 05 01 61 07 07`)}
	require.Empty(t, d.text("first"))
	require.Zero(t, d.varint("second"))
	require.Zero(t, d.byte("third"))
	require.Empty(t, d.bytes("fourth"))
	require.Empty(t, d.text("fifth"))
	require.Empty(t, d.path("sixth"))
	require.Zero(t, d.sequence("seventh"))
	_, ok := d.bound("eighth")
	require.False(t, ok)
	require.Zero(t, d.millis("ninth"))
	require.Nil(t, d.hops())
	require.Equal(t, &Error{Message: "TEST", Field: "first", Err: ErrUTF8}, d.done())
}

func TestDecoderFields(t *testing.T) {
	d := &decoder{message: "TEST", rest: unhex(`07 | 40 08 | 02 61 62 | 03 c3 a9 63 | 04 2f 61 2f 62 | 09 | 00 | 01 | 0a | 02 05 00`)}
	require.EqualValues(t, 7, d.byte("byte"))
	require.EqualValues(t, 8, d.varint("varint"))
	require.Equal(t, []byte("ab"), d.bytes("bytes"))
	require.Equal(t, "éc", d.text("text"))
	require.Equal(t, "a/b", d.path("path"))
	require.EqualValues(t, 9, d.sequence("sequence"))

	_, ok := d.bound("none")
	require.False(t, ok)
	v, ok := d.bound("zero")
	require.True(t, ok)
	require.Zero(t, v)

	require.Equal(t, 10*time.Millisecond, d.millis("millis"))
	require.Equal(t, []uint64{5, 0}, d.hops())
	require.NoError(t, d.done())
}
