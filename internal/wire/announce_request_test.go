package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var announceRequestRows = []row{
	{
		name: "everything", versions: lite05,
		wire: `02 // length
			00 // length: prefix
			00 // exclude nobody`,
		value: AnnounceRequest{},
	},
	{
		name: "room, without what came through 42", versions: lite05,
		wire: `06 // length
			04 // length: prefix
			72 6f 6f 6d // room
			2a // exclude 42`,
		value: AnnounceRequest{Prefix: "room", Exclude: 42},
	},
	{
		name: "clock, of the transcript", versions: lite05,
		wire:  `07 05 63 6c 6f 63 6b 2a`,
		value: AnnounceRequest{Prefix: "clock", Exclude: 42},
	},
	{
		name: "the largest hop", versions: lite05,
		wire: `09 // length
			00 // length: prefix
			ff ff ff ff ff ff ff ff // exclude 2^62-1`,
		value: AnnounceRequest{Exclude: MaxVarint},
	},
	{
		name: "everything", versions: lite06,
		wire: `01 // length
			00 // length: prefix`,
		value: AnnounceRequest{},
	},
	{
		name: "room", versions: lite06,
		wire: `05 // length
			04 // length: prefix
			72 6f 6f 6d // room`,
		value: AnnounceRequest{Prefix: "room"},
	},
	{
		name: "clock, of the transcript", versions: lite06,
		wire:  `06 05 63 6c 6f 63 6b`,
		value: AnnounceRequest{Prefix: "clock"},
	},
	{
		name: "slashes that say nothing", versions: lite06,
		wire: `0d // length
			0c // length: prefix
			2f 72 6f 6f 6d 2f 2f 63 61 6d 2f 2f // /room//cam//`,
		value:   AnnounceRequest{Prefix: "room/cam"},
		written: `09 08 72 6f 6f 6d 2f 63 61 6d`,
	},
	{
		name: "only slashes", versions: lite05,
		wire: `04 // length
			02 // length: prefix
			2f 2f // //
			07 // exclude 7`,
		value:   AnnounceRequest{Exclude: 7},
		written: `02 00 07`,
	},
	{
		name: "a pattern, which can match nothing", versions: lite06,
		wire:  `03 02 61 2a`,
		value: AnnounceRequest{Prefix: "a*"},
	},
}

func TestAnnounceRequestMalformed(t *testing.T) {
	deep := hex.EncodeToString([]byte(strings.Repeat("a/", 33)))
	testMalformed(t, []malformed{
		{
			name: "no text", versions: both, like: AnnounceRequest{},
			body: `01 ff 00`, message: "ANNOUNCE_REQUEST", field: "prefix", err: ErrUTF8,
		},
		{
			name: "33 parts", versions: both, like: AnnounceRequest{},
			body: `40 42` + deep + `00`, message: "ANNOUNCE_REQUEST", field: "prefix", err: ErrTooLarge,
		},
		{
			name: "no hop", versions: lite05, like: AnnounceRequest{},
			body: `01 61`, message: "ANNOUNCE_REQUEST", field: "exclude hop", err: ErrShort,
		},
		{
			name: "a hop of lite-05", versions: lite06, like: AnnounceRequest{},
			body: `01 61 2a`, message: "ANNOUNCE_REQUEST", field: "end", err: ErrLong,
		},
	})
}

// The slash at the end of 32 parts does not make a 33rd.
func TestAnnounceRequestTakes32Parts(t *testing.T) {
	prefix := strings.Repeat("a/", 32)
	body := append([]byte{0x40, 64}, prefix...)
	m, err := ParseAnnounceRequest(body, Lite06)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSuffix(prefix, "/"), m.Prefix)
}

// lite-06 has no field for it.
func TestAnnounceRequestLeavesOutExclude(t *testing.T) {
	with := AnnounceRequest{Prefix: "a", Exclude: 9}.Append(nil, Lite06)
	require.Equal(t, AnnounceRequest{Prefix: "a"}.Append(nil, Lite06), with)
}

// An uncleaned path of the caller is cleaned on its way out.
func TestAnnounceRequestIsWrittenClean(t *testing.T) {
	dirty := AnnounceRequest{Prefix: "/a//b/"}.Append(nil, Lite05)
	require.Equal(t, AnnounceRequest{Prefix: "a/b"}.Append(nil, Lite05), dirty)
}
