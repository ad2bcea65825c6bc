package wire

import (
	"bytes"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

var subscribeReplyRows = []row{
	{
		name: "start 42", versions: both,
		wire: `00 // start
			01 // length
			2a // group 42`,
		value: SubscribeReply{Kind: ReplyStart, Group: 42},
	},
	{
		name: "start 1, as relay 0.17.10 sends it", versions: both,
		wire:  `00 01 01`,
		value: SubscribeReply{Kind: ReplyStart, Group: 1},
	},
	{
		name: "the last start", versions: both,
		wire:  `00 08 ff ff ff ff ff ff ff fe`,
		value: SubscribeReply{Kind: ReplyStart, Group: MaxSequence},
	},
	{
		name: "end 90", versions: both,
		wire: `01 // end
			02 // length
			40 5a // group 90, the last is 89`,
		value: SubscribeReply{Kind: ReplyEnd, Group: 90},
	},
	{
		name: "end of a track without groups", versions: both,
		wire:  `01 01 00`,
		value: SubscribeReply{Kind: ReplyEnd},
	},
	{
		name: "end after the last sequence", versions: both,
		wire:  `01 08 ff ff ff ff ff ff ff ff`,
		value: SubscribeReply{Kind: ReplyEnd, Group: MaxVarint},
	},
	{
		name: "drop of 5 to 7", versions: both,
		wire: `02 // drop
			03 // length
			05 // start
			07 // end, inclusive
			02 // code`,
		value: SubscribeReply{Kind: ReplyDrop, Group: 5, End: 7, Code: 2},
	},
	{
		name: "drop of one group", versions: both,
		wire:  `02 04 05 05 40 64`,
		value: SubscribeReply{Kind: ReplyDrop, Group: 5, End: 5, Code: 100},
	},
	{
		name: "a type longer than needed", versions: both,
		wire: `c0 00 00 00 00 00 00 01 // end
			40 01 // length
			05 // group`,
		value:   SubscribeReply{Kind: ReplyEnd, Group: 5},
		written: `01 01 05`,
	},
}

func TestSubscribeReplyMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "start of nothing", versions: both, like: SubscribeReply{},
			body: ``, message: "SUBSCRIBE_START", field: "group", err: ErrShort,
		},
		{
			name: "start with a group above", versions: both, like: SubscribeReply{},
			body: `ffffffffffffffff`, message: "SUBSCRIBE_START", field: "group", err: ErrRange,
		},
		{
			name: "end of nothing", versions: both, like: SubscribeReply{}, typ: 1,
			body: ``, message: "SUBSCRIBE_END", field: "group", err: ErrShort,
		},
		{
			name: "end with more", versions: both, like: SubscribeReply{}, typ: 1,
			body: `05 05`, message: "SUBSCRIBE_END", field: "end", err: ErrLong,
		},
		{
			name: "drop backwards", versions: both, like: SubscribeReply{}, typ: 2,
			body: `07 05 02`, message: "SUBSCRIBE_DROP", field: "end", err: ErrRange,
		},
		{
			name: "drop without code", versions: both, like: SubscribeReply{}, typ: 2,
			body: `05 07`, message: "SUBSCRIBE_DROP", field: "code", err: ErrShort,
		},
		{
			name: "drop to the end of numbers", versions: both, like: SubscribeReply{}, typ: 2,
			body: `05 ffffffffffffffff 02`, message: "SUBSCRIBE_DROP", field: "end", err: ErrRange,
		},
	})
}

// A type of the future is skipped, whatever its body.
func TestSubscribeReplyUnknownIsSkipped(t *testing.T) {
	for _, v := range Versions() {
		r := NewReader(bytes.NewReader(unhex(`03 | 02 ff ff · 40 40 | 00 · 00 01 2a`)))
		for range 2 {
			m, err := ReadSubscribeReply(r, v)
			require.NoError(t, err)
			require.Equal(t, SubscribeReply{Kind: ReplyUnknown}, m)
		}
		m, err := ReadSubscribeReply(r, v)
		require.NoError(t, err)
		require.Equal(t, SubscribeReply{Group: 42}, m)
		_, err = ReadSubscribeReply(r, v)
		require.Equal(t, io.EOF, err)
	}
}

func TestSubscribeReplyOutOfRangePanics(t *testing.T) {
	for name, m := range map[string]SubscribeReply{
		"unknown kind": {Kind: ReplyUnknown},
		"start":        {Kind: ReplyStart, Group: MaxVarint},
		"end":          {Kind: ReplyEnd, Group: MaxVarint + 1},
		"drop":         {Kind: ReplyDrop, End: MaxVarint},
		"code":         {Kind: ReplyDrop, Code: MaxVarint + 1},
	} {
		require.Panics(t, func() { m.Append(nil, Lite06) }, name)
	}
}
