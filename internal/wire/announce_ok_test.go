package wire

import "testing"

var announceOKRows = []row{
	{
		name: "hop 42, one active", versions: both,
		wire: `02 // length
			2a // hop 42
			01 // active`,
		value: AnnounceOK{Hop: 42, Active: 1},
	},
	{
		name: "a long hop, none active", versions: both,
		wire: `09 // length
			c0 00 00 12 34 56 78 90 // hop
			00 // active`,
		value: AnnounceOK{Hop: 0x1234567890},
	},
	{
		name: "hop 7, of the transcripts", versions: both,
		wire:  `02 07 01`,
		value: AnnounceOK{Hop: 7, Active: 1},
	},
	{
		name: "as relay 0.17.10 sends it", versions: both,
		wire: `09 // length
			c0 0f a1 b2 c3 d4 e5 f6 // hop
			01 // active`,
		value: AnnounceOK{Hop: 0x0fa1b2c3d4e5f6, Active: 1},
	},
	{
		name: "unknown hop", versions: both,
		wire:  `02 00 00`,
		value: AnnounceOK{},
	},
	{
		name: "the largest numbers", versions: both,
		wire: `10 // length
			ff ff ff ff ff ff ff ff // hop 2^62-1
			ff ff ff ff ff ff ff ff // active 2^62-1`,
		value: AnnounceOK{Hop: MaxVarint, Active: MaxVarint},
	},
	{
		name: "numbers longer than needed", versions: both,
		wire: `40 06 // length
			80 00 00 2a // hop 42
			40 01 // active`,
		value:   AnnounceOK{Hop: 42, Active: 1},
		written: `02 2a 01`,
	},
}

func TestAnnounceOKMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "cut hop", versions: both, like: AnnounceOK{},
			body: `c0 00`, message: "ANNOUNCE_OK", field: "hop", err: ErrShort,
		},
		{
			name: "no count", versions: both, like: AnnounceOK{},
			body: `2a`, message: "ANNOUNCE_OK", field: "active count", err: ErrShort,
		},
	})
}
