package wire

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var trackInfoRows = []row{
	{
		name: "defaults of November", versions: lite05,
		wire: `06 // length
			7f // priority
			00 // ordered
			53 88 // 5000 ms
			43 e8 // timescale 1000`,
		value: TrackInfo{Priority: 127, MaxAge: 5 * time.Second, Timescale: 1000},
	},
	{
		name: "defaults of August", versions: lite05,
		wire:  `06 00 00 53 88 43 e8`,
		value: TrackInfo{MaxAge: 5 * time.Second, Timescale: 1000},
	},
	{
		name: "ordered, which is read and never written", versions: lite05,
		wire: `08 // length
			07 // priority
			01 // ordered
			47 d0 // 2000 ms
			80 0f 42 40 // timescale 1000000`,
		value:   TrackInfo{Priority: 7, MaxAge: 2 * time.Second, Timescale: 1_000_000},
		written: `08 07 00 47 d0 80 0f 42 40`,
	},
	{
		name: "as relay 0.17.10 sends it", versions: lite05,
		wire:  `08 7f 00 53 88 80 0f 42 40`,
		value: TrackInfo{Priority: 127, MaxAge: 5 * time.Second, Timescale: 1_000_000},
	},
	{
		name: "defaults", versions: lite06,
		wire: `05 // length
			7f // priority
			53 88 // 5000 ms
			43 e8 // timescale 1000`,
		value: TrackInfo{Priority: 127, MaxAge: 5 * time.Second, Timescale: 1000},
	},
	{
		name: "as relay 0.17.10 sends it", versions: lite06,
		wire:  `07 7f 53 88 80 0f 42 40`,
		value: TrackInfo{Priority: 127, MaxAge: 5 * time.Second, Timescale: 1_000_000},
	},
	{
		name: "the least", versions: lite06,
		wire:  `03 00 00 01`,
		value: TrackInfo{Timescale: 1},
	},
	{
		name: "the longest that a Duration holds in milliseconds", versions: lite06,
		wire: `11 // length
			ff // priority
			c0 00 08 63 7b d0 5a f6 // 9223372036854 ms
			ff ff ff ff ff ff ff ff // timescale 2^62-1`,
		value: TrackInfo{Priority: 255, MaxAge: 9223372036854 * time.Millisecond, Timescale: MaxVarint},
	},
	{
		name: "longer than a Duration holds", versions: lite06,
		wire: `0a // length
			00 // priority
			ff ff ff ff ff ff ff ff // 2^62-1 ms
			01 // timescale`,
		value:   TrackInfo{MaxAge: maxDuration, Timescale: 1},
		written: `0a 00 c0 00 08 63 7b d0 5a f7 01`,
	},
}

func TestTrackInfoMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "timescale 0", versions: lite05, like: TrackInfo{},
			body: `00 00 00 00`, message: "TRACK_INFO", field: "timescale", err: ErrRange,
		},
		{
			name: "timescale 0", versions: lite06, like: TrackInfo{},
			body: `00 00 00`, message: "TRACK_INFO", field: "timescale", err: ErrRange,
		},
		{
			name: "no ordered byte", versions: lite05, like: TrackInfo{},
			body: `00`, message: "TRACK_INFO", field: "ordered", err: ErrShort,
		},
		{
			name: "no max age", versions: lite06, like: TrackInfo{},
			body: `00`, message: "TRACK_INFO", field: "max age", err: ErrShort,
		},
		{
			name: "no timescale", versions: lite06, like: TrackInfo{},
			body: `00 00`, message: "TRACK_INFO", field: "timescale", err: ErrShort,
		},
	})
}

func TestTrackInfoTimescale0CannotBeWritten(t *testing.T) {
	require.Panics(t, func() { TrackInfo{Priority: 1}.Append(nil, Lite06) })
}

// A duration is never made shorter by the wire, and none becomes nothing.
func TestDurationsAreRoundedUp(t *testing.T) {
	for _, c := range []struct {
		d, want time.Duration
	}{
		{0, 0},
		{1, time.Millisecond},
		{time.Microsecond, time.Millisecond},
		{time.Millisecond - 1, time.Millisecond},
		{time.Millisecond, time.Millisecond},
		{time.Millisecond + 1, 2 * time.Millisecond},
		{1500 * time.Microsecond, 2 * time.Millisecond},
		{-1, 0},
		{-time.Hour, 0},
		{maxDuration, maxDuration},
		{maxDuration - time.Millisecond, maxDuration - maxDuration%time.Millisecond},
	} {
		for _, v := range Versions() {
			got, err := decode(TrackInfo{}, TrackInfo{MaxAge: c.d, Timescale: 1}.Append(nil, v), v)
			require.NoError(t, err)
			require.Equal(t, c.want, got.(TrackInfo).MaxAge, "%d ns", c.d)
		}
	}
}
