package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var fetchRows = []row{
	{
		name: "group 5", versions: lite05,
		wire: `10 // length
			05 // length: broadcast
			63 6c 6f 63 6b // clock
			07 // length: track
			73 65 63 6f 6e 64 73 // seconds
			00 // priority
			05 // group 5`,
		value: Fetch{Broadcast: "clock", Track: "seconds", Group: 5},
	},
	{
		name: "the largest numbers", versions: lite05,
		wire:  `0b 00 00 ff ff ff ff ff ff ff ff fe`,
		value: Fetch{Priority: 255, Group: MaxSequence},
	},
	{
		name: "group 5, whole", versions: lite06,
		wire: `12 // length
			05 // length: broadcast
			63 6c 6f 63 6b // clock
			07 // length: track
			73 65 63 6f 6e 64 73 // seconds
			00 // priority
			05 // group 5
			00 // frame start
			00 // frame end: none`,
		value: Fetch{Broadcast: "clock", Track: "seconds", Group: 5},
	},
	{
		name: "frames 2 to 6 of group 5", versions: lite06,
		wire: `12 05 63 6c 6f 63 6b 07 73 65 63 6f 6e 64 73 00 05
			02 // frame start 2
			07 // frame end 6`,
		value: Fetch{
			Broadcast: "clock", Track: "seconds", Group: 5,
			FrameStart: 2, FrameEnd: 6, HasFrameEnd: true,
		},
	},
	{
		name: "frame 0 alone", versions: lite06,
		wire:  `06 00 00 09 05 00 01`,
		value: Fetch{Priority: 9, Group: 5, HasFrameEnd: true},
	},
	{
		name: "from frame 2 on", versions: lite06,
		wire:  `06 00 00 09 05 02 00`,
		value: Fetch{Priority: 9, Group: 5, FrameStart: 2},
	},
}

func TestFetchMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "end before start", versions: lite06, like: Fetch{},
			body: `00 00 00 05 03 03`, message: "FETCH", field: "frame end", err: ErrRange,
		},
		{
			name: "no frames", versions: lite06, like: Fetch{},
			body: `00 00 00 05`, message: "FETCH", field: "frame start", err: ErrShort,
		},
		{
			name: "frames", versions: lite05, like: Fetch{},
			body: `00 00 00 05 00 00`, message: "FETCH", field: "end", err: ErrLong,
		},
		{
			name: "no group", versions: both, like: Fetch{},
			body: `00 00 00`, message: "FETCH", field: "group", err: ErrShort,
		},
		{
			name: "a group with none after it", versions: both, like: Fetch{},
			body: `00 00 00 ffffffffffffffff 00 00`, message: "FETCH", field: "group", err: ErrRange,
		},
		{
			name: "broadcast is no text", versions: both, like: Fetch{},
			body: `01 ff 00 00 05 00 00`, message: "FETCH", field: "broadcast", err: ErrUTF8,
		},
		{
			name: "track is no text", versions: both, like: Fetch{},
			body: `00 01 ff 00 05 00 00`, message: "FETCH", field: "track", err: ErrUTF8,
		},
	})
}

func TestFetchLeavesOutFrames(t *testing.T) {
	whole := Fetch{Broadcast: "a", Track: "b", Group: 5}
	part := whole
	part.FrameStart, part.FrameEnd, part.HasFrameEnd = 1, 2, true
	require.Equal(t, whole.Append(nil, Lite05), part.Append(nil, Lite05))
	require.NotEqual(t, whole.Append(nil, Lite06), part.Append(nil, Lite06))
}

func TestFetchOutOfRangePanics(t *testing.T) {
	require.Panics(t, func() { Fetch{Group: MaxVarint}.Append(nil, Lite05) })
	require.Panics(t, func() { Fetch{FrameStart: MaxVarint}.Append(nil, Lite06) })
	require.Panics(t, func() { Fetch{FrameEnd: MaxVarint, HasFrameEnd: true}.Append(nil, Lite06) })
}
