package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var groupRows = []row{
	{
		name: "subscription 0, group 42", versions: lite05,
		wire: `02 // length
			00 // subscribe id
			2a // sequence`,
		value: Group{Sequence: 42},
	},
	{
		name: "minutes since 1970", versions: lite05,
		wire: `05 // length
			03 // subscribe id
			81 c2 22 60 // sequence 29500000`,
		value: Group{Subscribe: 3, Sequence: 29_500_000},
	},
	{
		name: "as relay 0.17.10 sends it", versions: lite05,
		wire:  `02 00 03`,
		value: Group{Sequence: 3},
	},
	{
		name: "whole", versions: lite06,
		wire: `03 // length
			00 // subscribe id
			2a // sequence
			00 // frame start`,
		value: Group{Sequence: 42},
	},
	{
		name: "from frame 4", versions: lite06,
		wire:  `03 00 2a 04`,
		value: Group{Sequence: 42, FrameStart: 4},
	},
	{
		name: "as relay 0.17.10 sends it", versions: lite06,
		wire:  `03 00 02 00`,
		value: Group{Sequence: 2},
	},
	{
		name: "resumed, as relay 0.17.10 sends it", versions: lite06,
		wire:  `03 00 02 32`,
		value: Group{Sequence: 2, FrameStart: 50},
	},
	{
		name: "the largest numbers", versions: lite06,
		wire: `18 // length
			ff ff ff ff ff ff ff ff // subscribe id 2^62-1
			ff ff ff ff ff ff ff fe // sequence 2^62-2
			ff ff ff ff ff ff ff fe // frame start 2^62-2`,
		value: Group{Subscribe: MaxVarint, Sequence: MaxSequence, FrameStart: MaxSequence},
	},
}

func TestGroupMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "no sequence", versions: both, like: Group{},
			body: `00`, message: "GROUP", field: "sequence", err: ErrShort,
		},
		{
			name: "a sequence with none after it", versions: both, like: Group{},
			body: `00 ffffffffffffffff 00`, message: "GROUP", field: "sequence", err: ErrRange,
		},
		{
			name: "as lite-05", versions: lite06, like: Group{},
			body: `00 2a`, message: "GROUP", field: "frame start", err: ErrShort,
		},
		{
			name: "as lite-06", versions: lite05, like: Group{},
			body: `00 2a 00`, message: "GROUP", field: "end", err: ErrLong,
		},
		{
			name: "a frame with none after it", versions: lite06, like: Group{},
			body: `00 00 ffffffffffffffff`, message: "GROUP", field: "frame start", err: ErrRange,
		},
	})
}

func TestGroupOutOfRangePanics(t *testing.T) {
	require.Panics(t, func() { Group{Subscribe: MaxVarint + 1}.Append(nil, Lite05) })
	require.Panics(t, func() { Group{Sequence: MaxVarint}.Append(nil, Lite05) })
	require.Panics(t, func() { Group{FrameStart: MaxVarint}.Append(nil, Lite06) })
}
