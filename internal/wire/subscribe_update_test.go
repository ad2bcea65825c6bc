package wire

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var subscribeUpdateRows = []row{
	{
		name: "priority 80, rest default", versions: lite05,
		wire: `05 // length
			50 // priority 80
			00 // ordered
			00 // max age
			00 // group start: latest
			00 // group end: none`,
		value: SubscribeUpdate{SubscribeParams{Priority: 80}},
	},
	{
		name: "ordered, 500 ms, groups 0 to 9", versions: lite05,
		wire: `06 // length
			50 // priority 80
			01 // ordered
			41 f4 // 500 ms
			01 // group start 0
			0a // group end 9`,
		value: SubscribeUpdate{SubscribeParams{
			Priority: 80, MaxAge: 500 * time.Millisecond, HasStart: true, End: 9, HasEnd: true,
		}},
		written: `06 50 00 41 f4 01 0a`,
	},
	{
		name: "any byte for ordered", versions: lite05,
		wire:    `05 50 ff 00 00 00`,
		value:   SubscribeUpdate{SubscribeParams{Priority: 80}},
		written: `05 50 00 00 00 00`,
	},
	{
		name: "priority 80, rest zero", versions: lite06,
		wire: `06 // length
			50 // priority 80
			00 // max age
			00 // group start: no floor
			00 // group end: none
			00 // frame start
			00 // frame end: none`,
		value: SubscribeUpdate{SubscribeParams{Priority: 80}},
	},
	{
		name: "a wider age from the group that is live", versions: lite06,
		wire: `07 // length
			00 // priority
			53 88 // 5000 ms
			2a // group start 42
			00 00 00 // no other bounds`,
		value: SubscribeUpdate{SubscribeParams{MaxAge: 5 * time.Second, Start: 42, HasStart: true}},
	},
	{
		name: "down to a frame", versions: lite06,
		wire:  `06 50 00 05 0a 04 03`,
		value: SubscribeUpdate{SubscribeParams{Priority: 80, Start: 5, HasStart: true, End: 9, HasEnd: true, FrameStart: 4, FrameEnd: 2, HasFrameEnd: true}},
	},
}

func TestSubscribeUpdateMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "empty", versions: both, like: SubscribeUpdate{},
			body: ``, message: "SUBSCRIBE_UPDATE", field: "priority", err: ErrShort,
		},
		{
			name: "no end", versions: lite05, like: SubscribeUpdate{},
			body: `50 00 00 00`, message: "SUBSCRIBE_UPDATE", field: "group end", err: ErrShort,
		},
		{
			name: "cut age", versions: lite06, like: SubscribeUpdate{},
			body: `50 40`, message: "SUBSCRIBE_UPDATE", field: "max age", err: ErrShort,
		},
		{
			name: "frame end without group end", versions: lite06, like: SubscribeUpdate{},
			body: `50 00 00 00 00 01`, message: "SUBSCRIBE_UPDATE", field: "frame end", err: ErrRange,
		},
	})
}

// An update has the same parameters as a SUBSCRIBE, in the same form.
func TestSubscribeUpdateIsTheTailOfASubscribe(t *testing.T) {
	p := SubscribeParams{
		Priority: 9, MaxAge: time.Minute, Start: 70, HasStart: true, End: 80, HasEnd: true,
		FrameStart: 3, FrameEnd: 4, HasFrameEnd: true,
	}
	for _, v := range Versions() {
		_, update := split(SubscribeUpdate{}, SubscribeUpdate{p}.Append(nil, v), v)
		_, subscribe := split(Subscribe{}, Subscribe{SubscribeParams: p}.Append(nil, v), v)
		require.Equal(t, update, subscribe[3:], "after id, broadcast and track")
	}
}
