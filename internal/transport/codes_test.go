package transport

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func TestMapStreamCode(t *testing.T) {
	// The table of moq-lite.md §5.2, and the ends of the range.
	for code, mapped := range map[moqerr.StreamCode]uint64{
		0: 0x52e4a40fa8db, 2: 0x52e4a40fa8dd, 5: 0x52e4a40fa8e0, 15: 0x52e4a40fa8ea, 26: 0x52e4a40fa8f5,
		30: 0x52e4a40fa8fa, 31: 0x52e4a40fa8fb, 468: 0x52e4a40faabe, math.MaxUint32: 0x52e5ac983162,
	} {
		require.Equal(t, mapped, MapStreamCode(code))
		back, ok := UnmapStreamCode(mapped)
		require.True(t, ok)
		require.Equal(t, code, back)
	}
	require.Equal(t, uint64(0x52e5ac983162), MapStreamCode(math.MaxUint64), "clamped")
}

func TestUnmapStreamCodeRefuses(t *testing.T) {
	for _, x := range []uint64{0, 1, 0x10c, 0x52e4a40fa8da, 0x52e5ac983163, math.MaxUint64, 0x52e4a40fa8f9} {
		_, ok := UnmapStreamCode(x)
		require.False(t, ok, "%x", x)
	}
}

func TestReceivedCode(t *testing.T) {
	require.Equal(t, moqerr.StreamOld, receivedCode(0x52e4a40fa910))
	require.Equal(t, moqerr.StreamOld, receivedCode(0x34), "plain codes are taken as they are")
	require.Equal(t, moqerr.StreamSessionClosed, receivedCode(wtSessionGone))
	require.Equal(t, moqerr.StreamSessionClosed, receivedCode(wtStreamRejected))
}

func TestLegacy(t *testing.T) {
	for protocol, want := range map[string]bool{
		"": true, "moql": true, "moq-lite-03": true, "moq-lite-05": true, "moqt-22": true, "moqt-22-and-longer": true,
		"moq-lite-06": false, "moq-lite-06-wip": false, "moq-lite-07": false, "moq-lite-10": false,
	} {
		require.Equal(t, want, legacy(protocol), protocol)
	}
}
