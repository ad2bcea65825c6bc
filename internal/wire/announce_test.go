package wire

import (
	"bytes"
	"encoding/hex"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var announceRows = []row{
	{
		name: "active clock, no hops", versions: lite05,
		wire: `08 // length
			01 // active
			05 // length: suffix
			63 6c 6f 63 6b // clock
			00 // count: hop count`,
		value: Announce{Suffix: "clock", Cold: MaxVarint},
	},
	{
		name: "active cam through 7", versions: lite05,
		wire: `07 // length
			01 // active
			03 // length: suffix
			63 61 6d // cam
			01 // count: hop count
			07 // hop`,
		value: Announce{Suffix: "cam", Hops: []uint64{7}, Cold: MaxVarint},
	},
	{
		name: "ended cam", versions: lite05,
		wire: `06 // length
			00 // ended
			03 // length: suffix
			63 61 6d // cam
			00 // count: hop count`,
		value: Announce{Kind: AnnounceEnd, Suffix: "cam"},
	},
	{
		name: "active at the prefix itself, of the transcript", versions: lite05,
		wire: `04 // length
			01 // active
			00 // length: suffix
			01 // count: hop count
			09 // hop`,
		value: Announce{Hops: []uint64{9}, Cold: MaxVarint},
	},
	{
		name: "restart, which is written as a second active", versions: lite05,
		wire: `07 // length
			02 // restart
			03 // length: suffix
			63 61 6d // cam
			01 // count: hop count
			07 // hop`,
		value:   Announce{Kind: AnnounceUpdate, Suffix: "cam", Hops: []uint64{7}, Cold: MaxVarint},
		written: `07 01 03 63 61 6d 01 07`,
	},
	{
		name: "ended with hops that say nothing", versions: lite05,
		wire: `08 // length
			00 // ended
			03 // length: suffix
			63 61 6d // cam
			02 // count: hop count
			07 08 // hops`,
		value:   Announce{Kind: AnnounceEnd, Suffix: "cam"},
		written: `06 00 03 63 61 6d 00`,
	},
	{
		name: "start clock, free", versions: lite06,
		wire: `00 // start
			09 // length
			05 // length: suffix
			63 6c 6f 63 6b // clock
			00 // count: hop count
			00 // warm
			00 // cold`,
		value: Announce{Suffix: "clock"},
	},
	{
		name: "start cam through 7", versions: lite06,
		wire: `00 // start
			08 // length
			03 // length: suffix
			63 61 6d // cam
			01 // count: hop count
			07 // hop
			0c // warm 12
			14 // cold 20`,
		value: Announce{Suffix: "cam", Hops: []uint64{7}, Warm: 12, Cold: 20},
	},
	{
		name: "start at the prefix itself, of the transcript", versions: lite06,
		wire:  `00 05 00 01 09 00 01`,
		value: Announce{Hops: []uint64{9}, Warm: 0, Cold: 1},
	},
	{
		name: "start as relay 0.17.10 sends it", versions: lite06,
		wire: `00 // start
			12 // length
			06 // length: suffix
			64 65 6d 6f 2f 61 // demo/a
			01 // count: hop count
			c0 0f a1 b2 c3 d4 e5 f6 // hop
			01 // warm
			01 // cold`,
		value: Announce{Suffix: "demo/a", Hops: []uint64{0x0fa1b2c3d4e5f6}, Warm: 1, Cold: 1},
	},
	{
		name: "start with nobody known, as dear as can be", versions: lite06,
		wire: `00 // start
			15 // length
			00 // length: suffix
			03 // count: hop count
			00 00 00 // unknown hops
			ff ff ff ff ff ff ff fe // warm 2^62-2
			c0 00 00 00 40 00 00 00 // cold 2^30`,
		value: Announce{Hops: []uint64{0, 0, 0}, Warm: MaxVarint - 1, Cold: 1 << 30},
	},
	{
		name: "end of 42", versions: lite06,
		wire: `01 // end
			01 // length
			2a // id 42`,
		value: Announce{Kind: AnnounceEnd, ID: 42},
	},
	{
		name: "update of 3", versions: lite06,
		wire: `02 // update
			05 // length
			03 // id 3
			01 // count: hop count
			07 // hop
			0c // warm 12
			14 // cold 20`,
		value: Announce{Kind: AnnounceUpdate, ID: 3, Hops: []uint64{7}, Warm: 12, Cold: 20},
	},
	{
		name: "update without hops", versions: lite06,
		wire: `02 // update
			07 // length
			80 00 40 00 // id 16384
			00 // count: hop count
			00 // warm
			3f // cold 63`,
		value: Announce{Kind: AnnounceUpdate, ID: 16384, Cold: 63},
	},
	{
		name: "numbers longer than needed", versions: lite06,
		wire: `40 00 // start
			40 0a // length
			40 01 // length: suffix
			61 // a
			40 01 // count: hop count
			40 07 // hop
			00 // warm
			40 01 // cold`,
		value:   Announce{Suffix: "a", Hops: []uint64{7}, Cold: 1},
		written: `00 06 01 61 01 07 00 01`,
	},
	{
		name: "32 hops", versions: lite06,
		wire: `00 // start
			25 // length
			01 // length: suffix
			61 // a
			20 // count: hop count
			01 02 03 04 05 06 07 08 09 0a 0b 0c 0d 0e 0f 10
			11 12 13 14 15 16 17 18 19 1a 1b 1c 1d 1e 1f 20
			00 // warm
			00 // cold`,
		value: Announce{Suffix: "a", Hops: countTo(32)},
	},
}

func countTo(n int) []uint64 {
	hops := make([]uint64, n)
	for i := range hops {
		hops[i] = uint64(i + 1)
	}
	return hops
}

func TestAnnounceMalformed(t *testing.T) {
	deep := hex.EncodeToString([]byte(strings.Repeat("/a", 33)))
	testMalformed(t, []malformed{
		{
			name: "status of no meaning", versions: lite05, like: Announce{},
			body: `03 00 00`, message: "ANNOUNCE", field: "status", err: ErrRange,
		},
		{
			name: "33 hops", versions: lite05, like: Announce{},
			body: `01 00 21` + strings.Repeat("00", 33), message: "ANNOUNCE", field: "hop count", err: ErrTooLarge,
		},
		{
			name: "33 hops in an end", versions: lite05, like: Announce{},
			body: `00 00 21` + strings.Repeat("00", 33), message: "ANNOUNCE", field: "hop count", err: ErrTooLarge,
		},
		{
			name: "33 hops", versions: lite06, like: Announce{},
			body: `00 21` + strings.Repeat("00", 35), message: "ANNOUNCE_START", field: "hop count", err: ErrTooLarge,
		},
		{
			name: "33 hops in an update", versions: lite06, like: Announce{}, typ: 2,
			body: `00 21` + strings.Repeat("00", 35), message: "ANNOUNCE_UPDATE", field: "hop count", err: ErrTooLarge,
		},
		{
			name: "a hop twice", versions: lite05, like: Announce{},
			body: `01 00 03 07 08 07`, message: "ANNOUNCE", field: "hop", err: ErrDuplicate,
		},
		{
			name: "a hop twice", versions: lite06, like: Announce{},
			body: `00 03 07 00 07 00 00`, message: "ANNOUNCE_START", field: "hop", err: ErrDuplicate,
		},
		{
			name: "no text", versions: lite06, like: Announce{},
			body: `02 c0 80 00 00 00`, message: "ANNOUNCE_START", field: "suffix", err: ErrUTF8,
		},
		{
			name: "33 parts", versions: lite06, like: Announce{},
			body: `40 42` + deep + `00 00 00`, message: "ANNOUNCE_START", field: "suffix", err: ErrTooLarge,
		},
		{
			name: "one cost", versions: lite06, like: Announce{},
			body: `00 00 0c`, message: "ANNOUNCE_START", field: "cold cost", err: ErrShort,
		},
		{
			name: "no cost", versions: lite06, like: Announce{}, typ: 2,
			body: `00 00`, message: "ANNOUNCE_UPDATE", field: "warm cost", err: ErrShort,
		},
		{
			name: "no id", versions: lite06, like: Announce{}, typ: 1,
			body: ``, message: "ANNOUNCE_END", field: "announce id", err: ErrShort,
		},
		{
			name: "an end with hops", versions: lite06, like: Announce{}, typ: 1,
			body: `00 00`, message: "ANNOUNCE_END", field: "end", err: ErrLong,
		},
	})
}

// A type of the future is skipped, whatever its body; the stream goes on behind it.
func TestAnnounceUnknownIsSkipped(t *testing.T) {
	stream := unhex(`03 | 02 ff ff · ff ff ff ff ff ff ff ff | 00 · 01 01 2a`)
	r := NewReader(bytes.NewReader(stream))
	for range 2 {
		m, err := ReadAnnounce(r, Lite06)
		require.NoError(t, err)
		require.Equal(t, Announce{Kind: AnnounceUnknown}, m)
	}
	m, err := ReadAnnounce(r, Lite06)
	require.NoError(t, err)
	require.Equal(t, Announce{Kind: AnnounceEnd, ID: 42}, m)
	_, err = ReadAnnounce(r, Lite06)
	require.Equal(t, io.EOF, err)
}

// lite-05 has no type varint: whatever is given for it is ignored.
func TestAnnounceTypeIsIgnoredWhereThereIsNone(t *testing.T) {
	for _, typ := range []uint64{0, 1, 7} {
		m, err := ParseAnnounce(typ, unhex(`00 01 61 00`), Lite05)
		require.NoError(t, err)
		require.Equal(t, Announce{Kind: AnnounceEnd, Suffix: "a"}, m)
	}
}

func TestAnnounceUnknownCannotBeWritten(t *testing.T) {
	for _, v := range Versions() {
		require.Panics(t, func() { Announce{Kind: AnnounceUnknown}.Append(nil, v) })
	}
}

// Costs are sums, and a sum that is too large for the wire means "as dear as can be".
func TestAnnounceCostsSaturate(t *testing.T) {
	got, err := decode(Announce{}, Announce{Warm: MaxVarint + 1, Cold: 1<<64 - 1}.Append(nil, Lite06), Lite06)
	require.NoError(t, err)
	require.Equal(t, Announce{Warm: MaxVarint, Cold: MaxVarint}, got)
}

// What a version has no field for is left out.
func TestAnnounceWritesOnlyItsFields(t *testing.T) {
	full := Announce{ID: 5, Suffix: "a", Hops: []uint64{1}, Warm: 2, Cold: 3}
	for _, c := range []struct {
		kind    AnnounceKind
		version Version
		want    string
	}{
		{AnnounceStart, Lite05, `05 01 01 61 01 01`},
		{AnnounceUpdate, Lite05, `05 01 01 61 01 01`},
		{AnnounceEnd, Lite05, `04 00 01 61 00`},
		{AnnounceStart, Lite06, `00 06 01 61 01 01 02 03`},
		{AnnounceUpdate, Lite06, `02 05 05 01 01 02 03`},
		{AnnounceEnd, Lite06, `01 01 05`},
	} {
		m := full
		m.Kind = c.kind
		require.Equal(t, unhex(c.want), m.Append(nil, c.version), "%d on %s", c.kind, c.version)
	}
}

func TestReadAnnounceCut(t *testing.T) {
	for _, c := range []struct {
		version Version
		stream  string
		field   string
	}{
		{Lite06, `40`, "type"},
		{Lite06, `00`, "length"},
		{Lite06, `00 05 00`, "body"},
		{Lite05, `40`, "length"},
		{Lite05, `05 00`, "body"},
	} {
		_, err := ReadAnnounce(NewReader(bytes.NewReader(unhex(c.stream))), c.version)
		require.Equal(t, &Error{Message: "message", Field: c.field, Err: io.ErrUnexpectedEOF}, err)
	}
}
