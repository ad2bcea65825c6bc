package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var trackRows = []row{
	{
		name: "clock/seconds", versions: both,
		wire: `0e // length
			05 // length: broadcast
			63 6c 6f 63 6b // clock
			07 // length: track
			73 65 63 6f 6e 64 73 // seconds`,
		value: Track{Broadcast: "clock", Name: "seconds"},
	},
	{
		name: "nothing at all", versions: both,
		wire: `02 // length
			00 // length: broadcast
			00 // length: track`,
		value: Track{},
	},
	{
		name: "a track name keeps its slashes, and may be a star", versions: both,
		wire: `0a // length
			01 // length: broadcast
			61 // a
			07 // length: track
			2f 2f 2a 2f c3 a9 2f // //*/é/`,
		value: Track{Broadcast: "a", Name: "//*/é/"},
	},
	{
		name: "a broadcast loses them", versions: both,
		wire: `0b // length
			07 // length: broadcast
			2f 61 2f 2f 2f 62 2f // /a///b/
			02 // length: track
			74 31 // t1`,
		value:   Track{Broadcast: "a/b", Name: "t1"},
		written: `07 03 61 2f 62 02 74 31`,
	},
}

func TestTrackMalformed(t *testing.T) {
	deep := hex.EncodeToString([]byte(strings.Repeat("/a", 33)))
	testMalformed(t, []malformed{
		{
			name: "broadcast is no text", versions: both, like: Track{},
			body: `01 80 00`, message: "TRACK", field: "broadcast", err: ErrUTF8,
		},
		{
			name: "broadcast of 33 parts", versions: both, like: Track{},
			body: `40 42` + deep + `00`, message: "TRACK", field: "broadcast", err: ErrTooLarge,
		},
		{
			name: "track is no text", versions: both, like: Track{},
			body: `00 03 ed a0 80`, message: "TRACK", field: "track", err: ErrUTF8,
		},
		{
			name: "no track", versions: both, like: Track{},
			body: `01 61`, message: "TRACK", field: "track", err: ErrShort,
		},
	})
}

// The first thing that is wrong is the one that is reported.
func TestTrackFirstErrorIsKept(t *testing.T) {
	_, err := ParseTrack(unhex(`01 80 01 80 00`), Lite06)
	require.Equal(t, &Error{Message: "TRACK", Field: "broadcast", Err: ErrUTF8}, err)
}
