package wire

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var probeRows = []row{
	{
		name: "1 Mbit/s, 40 ms", versions: both,
		wire: `05 // length
			80 0f 42 40 // bitrate
			28 // 40 ms`,
		value: Probe{Bitrate: 1_000_000, RTT: 40 * time.Millisecond},
	},
	{
		name: "bitrate unknown, 40 ms", versions: both,
		wire:  `02 00 28`,
		value: Probe{RTT: 40 * time.Millisecond},
	},
	{
		name: "retraction", versions: both,
		wire:  `02 00 00`,
		value: Probe{},
	},
	{
		name: "more than can be", versions: both,
		wire: `10 // length
			ff ff ff ff ff ff ff ff // bitrate 2^62-1
			ff ff ff ff ff ff ff ff // 2^62-1 ms`,
		value:   Probe{Bitrate: MaxVarint, RTT: maxDuration},
		written: `10 ff ff ff ff ff ff ff ff c0 00 08 63 7b d0 5a f7`,
	},
}

func TestProbeMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "empty", versions: both, like: Probe{},
			body: ``, message: "PROBE", field: "bitrate", err: ErrShort,
		},
		{
			name: "of lite-03", versions: both, like: Probe{},
			body: `80 0f 42 40`, message: "PROBE", field: "rtt", err: ErrShort,
		},
	})
}

// A measured round trip never reads as an unknown one (§3.3).
func TestProbeKeepsAShortRTT(t *testing.T) {
	got, err := decode(Probe{}, Probe{RTT: 30 * time.Microsecond}.Append(nil, Lite06), Lite06)
	require.NoError(t, err)
	require.Equal(t, Probe{RTT: time.Millisecond}, got)
}
