package wire

import (
	"testing"

	"github.com/stretchr/testify/require"
)

var datagramRows = []row{
	{
		name: "world", versions: both, openEnd: true,
		wire: `01 // subscribe id
			02 // sequence
			03 // timestamp
			77 6f 72 6c 64 // world`,
		value: Datagram{Subscribe: 1, Sequence: 2, Ticks: 3, Payload: []byte("world")},
	},
	{
		name: "empty", versions: both, openEnd: true,
		wire:  `01 02 03`,
		value: Datagram{Subscribe: 1, Sequence: 2, Ticks: 3},
	},
	{
		name: "the largest numbers", versions: both, openEnd: true,
		wire: `ff ff ff ff ff ff ff ff // subscribe id 2^62-1
			ff ff ff ff ff ff ff fe // sequence 2^62-2
			df ff ff ff ff ff ff ff // timestamp 2^61-1
			00`,
		value: Datagram{Subscribe: MaxVarint, Sequence: MaxSequence, Ticks: MaxTicks, Payload: []byte{0}},
	},
}

func TestDatagramMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "empty", versions: both, like: Datagram{},
			body: ``, message: "DATAGRAM", field: "subscribe id", err: ErrShort,
		},
		{
			name: "no sequence", versions: both, like: Datagram{},
			body: `00`, message: "DATAGRAM", field: "sequence", err: ErrShort,
		},
		{
			name: "no timestamp", versions: both, like: Datagram{},
			body: `00 00`, message: "DATAGRAM", field: "timestamp", err: ErrShort,
		},
		{
			name: "a sequence with none after it", versions: both, like: Datagram{},
			body: `00 ffffffffffffffff 00 00`, message: "DATAGRAM", field: "sequence", err: ErrRange,
		},
		{
			name: "a timestamp that cannot be sent on", versions: both, like: Datagram{},
			body: `00 00 e000000000000000 00`, message: "DATAGRAM", field: "timestamp", err: ErrRange,
		},
	})
}

func TestDatagramOutOfRangePanics(t *testing.T) {
	require.Panics(t, func() { Datagram{Sequence: MaxVarint}.Append(nil, Lite05) })
	require.Panics(t, func() { Datagram{Ticks: MaxVarint + 1}.Append(nil, Lite05) })
}
