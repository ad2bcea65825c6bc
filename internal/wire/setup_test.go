package wire

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var setupRows = []row{
	{
		name: "empty", versions: both,
		wire: `01 // length
			00 // count: parameter count`,
		value: Setup{},
	},
	{
		name: "probe, role and hop", versions: both,
		wire: `0a // length
			03 // count: parameter count
			01 // id
			01 // length: probe
			01 // report
			03 // id
			01 // length: role
			02 // subscriber
			05 // id
			01 // length: hop
			2a // 42`,
		value: Setup{Probe: ProbeReport, Role: RoleSubscriber, Hop: 42},
	},
	{
		name: "path and role", versions: both,
		wire: `13 // length
			02 // count: parameter count
			02 // id
			0d // length: path
			2f 61 6e 6f 6e 3f 6a 77 74 3d 61 62 63 // /anon?jwt=abc
			03 // id
			01 // length: role
			01 // publisher`,
		value: Setup{Path: "/anon?jwt=abc", Role: RolePublisher},
	},
	{
		name: "only a cost", versions: both,
		wire: `05 // length
			01 // count: parameter count
			04 // id
			02 // length: cost
			40 64 // 100`,
		value: Setup{Cost: 100, HasCost: true},
	},
	{
		name: "probe and hop of the transcripts", versions: both,
		wire: `07 // length
			02 // count: parameter count
			01 01 01 // probe: report
			05 01 07 // hop 7`,
		value: Setup{Probe: ProbeReport, Hop: 7},
	},
	{
		name: "as relay 0.17.10 sends it", versions: both,
		wire: `0e // length
			02 // count: parameter count
			01 01 01 // probe: report
			05 // id
			08 // length: hop
			c0 0f a1 b2 c3 d4 e5 f6`,
		value: Setup{Probe: ProbeReport, Hop: 0x0fa1b2c3d4e5f6},
	},
	{
		name: "everything at its largest", versions: both,
		wire: `1e // length
			05 // count: parameter count
			01 01 02 // probe: increase
			02 01 2f // path: /
			03 01 02 // role: subscriber
			04 08 ff ff ff ff ff ff ff ff // cost 2^62-1
			05 08 ff ff ff ff ff ff ff ff // hop 2^62-1`,
		value: Setup{
			Probe: ProbeIncrease, Path: "/", Role: RoleSubscriber,
			Cost: MaxVarint, HasCost: true, Hop: MaxVarint,
		},
	},
	{
		name: "a free link", versions: both,
		wire: `04 // length
			01 // count: parameter count
			04 01 00 // cost 0`,
		value: Setup{HasCost: true},
	},
	{
		name: "in another order", versions: both,
		wire: `0a // length
			03 // count: parameter count
			05 01 2a // hop 42
			01 01 01 // probe: report
			03 01 02 // role: subscriber`,
		value:   Setup{Probe: ProbeReport, Role: RoleSubscriber, Hop: 42},
		written: `0a 03 01 01 01 03 01 02 05 01 2a`,
	},
	{
		name: "unknown parameters", versions: both,
		wire: `0f // length
			04 // count: parameter count
			06 // id
			03 // length: unknown parameter
			61 62 63
			40 40 // id 64
			00 // length: unknown parameter
			05 01 07 // hop 7
			00 // id
			01 // length: unknown parameter
			ff`,
		value:   Setup{Hop: 7},
		written: `04 01 05 01 07`,
	},
	{
		name: "levels and roles of the future", versions: both,
		wire: `0a // length
			02 // count: parameter count
			01 04 80 00 00 07 // probe 7
			03 01 03 // role 3`,
		value:   Setup{Probe: ProbeIncrease},
		written: `04 01 01 01 02`,
	},
	{
		name: "spelled out defaults", versions: both,
		wire: `0c // length
			04 // count: parameter count
			01 01 00 // probe: none
			02 00 // path: empty
			03 01 00 // role: both
			05 01 00 // hop: none`,
		value:   Setup{},
		written: `01 00`,
	},
	{
		name: "numbers longer than needed", versions: both,
		wire: `10 // length
			40 01 // count: parameter count
			80 00 00 05 // id
			40 08 // length: hop
			c0 00 00 00 00 00 00 07 // hop 7`,
		value:   Setup{Hop: 7},
		written: `04 01 05 01 07`,
	},
}

func TestSetupMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "known parameter twice", versions: both, like: Setup{},
			body: `02 01 01 01 01 01 01`, message: "SETUP", field: "parameter id", err: ErrDuplicate,
		},
		{
			name: "unknown parameter twice", versions: both, like: Setup{},
			body: `03 07 00 01 01 01 07 00`, message: "SETUP", field: "parameter id", err: ErrDuplicate,
		},
		{
			name: "the same id in two spellings", versions: both, like: Setup{},
			body: `02 05 01 07 40 05 01 08`, message: "SETUP", field: "parameter id", err: ErrDuplicate,
		},
		{
			name: "65 parameters", versions: both, like: Setup{},
			body: `40 41` + manyParameters(65), message: "SETUP", field: "parameter count", err: ErrTooLarge,
		},
		{
			name: "bytes after a number", versions: both, like: Setup{},
			body: `01 01 02 01 00`, message: "SETUP", field: "probe", err: ErrLong,
		},
		{
			name: "a number that is cut", versions: both, like: Setup{},
			body: `01 04 01 40`, message: "SETUP", field: "cost", err: ErrShort,
		},
		{
			name: "no number", versions: both, like: Setup{},
			body: `01 05 00`, message: "SETUP", field: "hop", err: ErrShort,
		},
		{
			name: "no role", versions: both, like: Setup{},
			body: `01 03 00`, message: "SETUP", field: "role", err: ErrShort,
		},
		{
			name: "a path that is no text", versions: both, like: Setup{},
			body: `01 02 02 c3 28`, message: "SETUP", field: "path", err: ErrUTF8,
		},
		{
			name: "a count without parameters", versions: both, like: Setup{},
			body: `01`, message: "SETUP", field: "parameter id", err: ErrShort,
		},
	})
}

// manyParameters returns n unknown parameters, in hex.
func manyParameters(n int) string {
	var b strings.Builder
	const digits = "0123456789abcdef"
	for i := range n {
		id := 0x4100 + i // a varint of two bytes
		for shift := 12; shift >= 0; shift -= 4 {
			b.WriteByte(digits[id>>shift&15])
		}
		b.WriteString("00")
	}
	return b.String()
}

func TestSetupTakes64Parameters(t *testing.T) {
	m, err := ParseSetup(unhex(`40 40`+manyParameters(64)), Lite06)
	require.NoError(t, err)
	require.Equal(t, Setup{}, m)
}

// The request target keeps its slashes: it is not a path of §3.4.
func TestSetupPathIsNotCleaned(t *testing.T) {
	m := Setup{Path: "//a//b/?x=*"}
	got, err := decode(Setup{}, m.Append(nil, Lite06), Lite06)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

func TestSetupCostSaturates(t *testing.T) {
	b := Setup{Cost: MaxVarint + 5, HasCost: true}.Append(nil, Lite06)
	require.Equal(t, Setup{Cost: MaxVarint, HasCost: true}.Append(nil, Lite06), b)
}

func TestSetupCostNeedsHasCost(t *testing.T) {
	require.Equal(t, []byte{1, 0}, Setup{Cost: 5}.Append(nil, Lite06))
}

func TestSetupHopOutOfRangePanics(t *testing.T) {
	require.Panics(t, func() { Setup{Hop: MaxVarint + 1}.Append(nil, Lite06) })
}
