package wire

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var subscribeRows = []row{
	{
		name: "all defaults", versions: lite05,
		wire: `14 // length
			00 // subscribe id
			05 // length: broadcast
			63 6c 6f 63 6b // clock
			07 // length: track
			73 65 63 6f 6e 64 73 // seconds
			00 // priority
			00 // ordered
			00 // max age
			00 // group start: latest
			00 // group end: none`,
		value: Subscribe{Broadcast: "clock", Track: "seconds"},
	},
	{
		name: "ordered, groups 5 to 9", versions: lite05,
		wire: `16 // length
			03 // subscribe id
			08 // length: broadcast
			72 6f 6f 6d 2f 63 61 6d // room/cam
			05 // length: track
			76 69 64 65 6f // video
			3c // priority 60
			01 // ordered
			41 f4 // 500 ms
			06 // group start 5
			0a // group end 9`,
		value: Subscribe{
			ID: 3, Broadcast: "room/cam", Track: "video",
			SubscribeParams: SubscribeParams{
				Priority: 60, MaxAge: 500 * time.Millisecond,
				Start: 5, HasStart: true, End: 9, HasEnd: true,
			},
		},
		written: `16 03 08 72 6f 6f 6d 2f 63 61 6d 05 76 69 64 65 6f 3c 00 41 f4 06 0a`,
	},
	{
		name: "from group 0", versions: lite05,
		wire: `08 // length
			07 // subscribe id
			00 // length: broadcast
			00 // length: track
			00 // priority
			00 // ordered
			00 // max age
			01 // group start 0
			01 // group end 0`,
		value: Subscribe{ID: 7, SubscribeParams: SubscribeParams{HasStart: true, HasEnd: true}},
	},
	{
		name: "the largest numbers", versions: lite05,
		wire: `1e // length
			ff ff ff ff ff ff ff ff // subscribe id 2^62-1
			00 // length: broadcast
			01 // length: track
			74 // t
			ff // priority
			00 // ordered
			00 // max age
			ff ff ff ff ff ff ff ff // group start 2^62-2
			ff ff ff ff ff ff ff ff // group end 2^62-2`,
		value: Subscribe{
			ID: MaxVarint, Track: "t",
			SubscribeParams: SubscribeParams{
				Priority: 255, Start: MaxSequence, HasStart: true, End: MaxSequence, HasEnd: true,
			},
		},
	},
	{
		name: "no bounds", versions: lite06,
		wire: `15 // length
			00 // subscribe id
			05 // length: broadcast
			63 6c 6f 63 6b // clock
			07 // length: track
			73 65 63 6f 6e 64 73 // seconds
			00 // priority
			00 // max age
			00 // group start: no floor
			00 // group end: none
			00 // frame start
			00 // frame end: none`,
		value: Subscribe{Broadcast: "clock", Track: "seconds"},
	},
	{
		name: "groups 5 to 9", versions: lite06,
		wire: `17 // length
			03 // subscribe id
			08 // length: broadcast
			72 6f 6f 6d 2f 63 61 6d // room/cam
			05 // length: track
			76 69 64 65 6f // video
			3c // priority 60
			41 f4 // 500 ms
			05 // group start 5
			0a // group end 9
			00 // frame start
			00 // frame end: none`,
		value: Subscribe{
			ID: 3, Broadcast: "room/cam", Track: "video",
			SubscribeParams: SubscribeParams{
				Priority: 60, MaxAge: 500 * time.Millisecond,
				Start: 5, HasStart: true, End: 9, HasEnd: true,
			},
		},
	},
	{
		name: "from frame 4 of group 5 to frame 2 of group 9", versions: lite06,
		wire: `17 03 08 72 6f 6f 6d 2f 63 61 6d 05 76 69 64 65 6f 3c 41 f4
			05 // group start 5
			0a // group end 9
			04 // frame start 4
			03 // frame end 2`,
		value: Subscribe{
			ID: 3, Broadcast: "room/cam", Track: "video",
			SubscribeParams: SubscribeParams{
				Priority: 60, MaxAge: 500 * time.Millisecond,
				Start: 5, HasStart: true, End: 9, HasEnd: true,
				FrameStart: 4, FrameEnd: 2, HasFrameEnd: true,
			},
		},
	},
	{
		name: "from frame 50 of group 2, to resume", versions: lite06,
		wire: `0a // length
			01 // subscribe id
			01 61 // broadcast a
			00 // track
			00 00 // priority, max age
			02 // group start 2
			00 // group end: none
			32 // frame start 50
			00 // frame end: none`,
		value: Subscribe{
			ID: 1, Broadcast: "a",
			SubscribeParams: SubscribeParams{Start: 2, HasStart: true, FrameStart: 50},
		},
	},
	{
		name: "the largest numbers", versions: lite06,
		wire: `2d // length
			ff ff ff ff ff ff ff ff // subscribe id 2^62-1
			00 // length: broadcast
			01 // length: track
			74 // t
			ff // priority
			00 // max age
			ff ff ff ff ff ff ff fe // group start 2^62-2
			ff ff ff ff ff ff ff ff // group end 2^62-2
			ff ff ff ff ff ff ff fe // frame start 2^62-2
			ff ff ff ff ff ff ff ff // frame end 2^62-2`,
		value: Subscribe{
			ID: MaxVarint, Track: "t",
			SubscribeParams: SubscribeParams{
				Priority: 255, Start: MaxSequence, HasStart: true, End: MaxSequence, HasEnd: true,
				FrameStart: MaxSequence, FrameEnd: MaxSequence, HasFrameEnd: true,
			},
		},
	},
}

func TestSubscribeMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "broadcast is no text", versions: both, like: Subscribe{},
			body: `00 01 ff 00 00 00 00 00 00`, message: "SUBSCRIBE", field: "broadcast", err: ErrUTF8,
		},
		{
			name: "track is no text", versions: both, like: Subscribe{},
			body: `00 00 01 ff 00 00 00 00 00`, message: "SUBSCRIBE", field: "track", err: ErrUTF8,
		},
		{
			name: "no priority", versions: both, like: Subscribe{},
			body: `00 00 00`, message: "SUBSCRIBE", field: "priority", err: ErrShort,
		},
		{
			name: "no ordered byte", versions: lite05, like: Subscribe{},
			body: `00 00 00 00`, message: "SUBSCRIBE", field: "ordered", err: ErrShort,
		},
		{
			name: "as lite-05", versions: lite06, like: Subscribe{},
			body: `00 00 00 00 00 00 00 00`, message: "SUBSCRIBE", field: "frame end", err: ErrShort,
		},
		{
			name: "as lite-06", versions: lite05, like: Subscribe{},
			body: `00 00 00 00 00 00 00 00 00`, message: "SUBSCRIBE", field: "end", err: ErrLong,
		},
		{
			name: "frame end without group end", versions: lite06, like: Subscribe{},
			body: `00 00 00 00 00 05 00 00 01`, message: "SUBSCRIBE", field: "frame end", err: ErrRange,
		},
		{
			name: "a floor with nothing above", versions: lite06, like: Subscribe{},
			body: `00 00 00 00 00 ffffffffffffffff 00 00 00`, message: "SUBSCRIBE", field: "group start", err: ErrRange,
		},
		{
			name: "a frame with none after it", versions: lite06, like: Subscribe{},
			body: `00 00 00 00 00 00 00 ffffffffffffffff 00`, message: "SUBSCRIBE", field: "frame start", err: ErrRange,
		},
	})
}

// On lite-06 a floor of 0 is no floor. On lite-05 group 0 and "latest" are two things.
func TestSubscribeFromGroup0(t *testing.T) {
	m := Subscribe{SubscribeParams: SubscribeParams{HasStart: true}}

	got, err := decode(m, m.Append(nil, Lite06), Lite06)
	require.NoError(t, err)
	require.Equal(t, Subscribe{}, got)

	got, err = decode(m, m.Append(nil, Lite05), Lite05)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

// Numbers without their Has are not there.
func TestSubscribeHasDecides(t *testing.T) {
	m := Subscribe{SubscribeParams: SubscribeParams{Start: 5, End: 6, FrameEnd: 7}}
	for _, v := range Versions() {
		require.Equal(t, Subscribe{}.Append(nil, v), m.Append(nil, v))
	}
}

// lite-05 has no frames in its bounds.
func TestSubscribeLeavesOutFrames(t *testing.T) {
	p := SubscribeParams{Start: 5, HasStart: true, End: 9, HasEnd: true}
	q := p
	q.FrameStart, q.FrameEnd, q.HasFrameEnd = 4, 2, true
	require.Equal(t,
		Subscribe{SubscribeParams: p}.Append(nil, Lite05),
		Subscribe{SubscribeParams: q}.Append(nil, Lite05))
	require.NotEqual(t,
		Subscribe{SubscribeParams: p}.Append(nil, Lite06),
		Subscribe{SubscribeParams: q}.Append(nil, Lite06))
}

func TestSubscribeOutOfRangePanics(t *testing.T) {
	for name, p := range map[string]SubscribeParams{
		"start":       {Start: MaxVarint, HasStart: true},
		"end":         {End: MaxVarint, HasEnd: true},
		"frame start": {FrameStart: MaxVarint},
		"frame end":   {HasEnd: true, FrameEnd: 1<<64 - 1, HasFrameEnd: true},
	} {
		require.Panics(t, func() { Subscribe{SubscribeParams: p}.Append(nil, Lite06) }, name)
	}
	require.Panics(t, func() {
		Subscribe{SubscribeParams: SubscribeParams{Start: MaxVarint, HasStart: true}}.Append(nil, Lite05)
	})
}
