package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVersionNames(t *testing.T) {
	require.Equal(t, []Version{Lite06, Lite05}, Versions(), "newest first")
	require.Equal(t, "moq-lite-05", Lite05.ALPN())
	require.Equal(t, "moq-lite-06", Lite06.ALPN())
	for _, v := range Versions() {
		require.Equal(t, v.ALPN(), v.String())
		got, ok := ParseVersion(v.ALPN())
		require.True(t, ok)
		require.Equal(t, v, got)
	}
}

func TestParseVersionUnknown(t *testing.T) {
	for _, alpn := range []string{"", "h3", "moql", "moq-lite", "moq-lite-04", "moq-lite-06-wip", "MOQ-LITE-06", "moq-lite-066"} {
		v, ok := ParseVersion(alpn)
		require.False(t, ok, alpn)
		require.Zero(t, v)
	}
}

func TestVersionZero(t *testing.T) {
	require.Equal(t, "Version(0)", Version(0).String())
	require.Equal(t, "Version(99)", Version(99).String())
	require.PanicsWithValue(t, "wire: Version(0) is no version", func() { Version(0).ALPN() })
}

// The caller's list is its own.
func TestVersionsIsACopy(t *testing.T) {
	Versions()[0] = 0
	require.Equal(t, Lite06, Versions()[0])
}

func TestVersionDifferences(t *testing.T) {
	for _, c := range []struct {
		version                                   Version
		announceIDs, excludeHop, floor, frameEnds bool
	}{
		{Lite05, false, true, false, false},
		{Lite06, true, false, true, true},
	} {
		require.Equal(t, c.announceIDs, c.version.AnnounceIDs(), c.version)
		require.Equal(t, c.excludeHop, c.version.ExcludeHop(), c.version)
		require.Equal(t, c.floor, c.version.StartFloor(), c.version)
		require.Equal(t, c.frameEnds, c.version.FrameBounds(), c.version)
	}
}

// The numbers of §4.1 are the wire's.
func TestStreamTypes(t *testing.T) {
	require.Equal(t,
		[]StreamType{1, 2, 3, 4, 5, 6},
		[]StreamType{StreamAnnounce, StreamSubscribe, StreamFetch, StreamProbe, StreamGoaway, StreamTrack})
	require.Equal(t, []UniType{0, 1}, []UniType{UniGroup, UniSetup})
}
