package wire

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// transcript is one direction of one stream: its type, the messages on it, and for a
// group the frames after them.
type transcript struct {
	name    string
	version Version
	wire    string
	typ     uint64
	untyped bool // the answering side of a stream sends no type
	items   []message
	frames  []frame
}

var clock = []frame{
	{delta: 209123456789, payload: "2026-08-22 20:01:"},
	{delta: 0, payload: "07"},
	{delta: 1001, payload: "08"},
}

// transcripts are the streams of §9.6, §9.10 and §9.11.
var transcripts = []transcript{
	{
		name: "setup of the client", version: Lite05, typ: uint64(UniSetup),
		wire:  `01 | 0a 03 01 01 01 03 01 02 05 01 2a`,
		items: []message{Setup{Probe: 1, Role: RoleSubscriber, Hop: 42}},
	},
	{
		name: "setup of the relay", version: Lite05, typ: uint64(UniSetup),
		wire:  `01 | 07 02 01 01 01 05 01 07`,
		items: []message{Setup{Probe: 1, Hop: 7}},
	},
	{
		name: "announce request", version: Lite05, typ: uint64(StreamAnnounce),
		wire:  `01 | 07 05 63 6c 6f 63 6b 2a`,
		items: []message{AnnounceRequest{Prefix: "clock", Exclude: 42}},
	},
	{
		name: "announcements", version: Lite05, untyped: true,
		wire:  `02 07 01 | 04 01 00 01 09`,
		items: []message{AnnounceOK{Hop: 7, Active: 1}, Announce{Hops: []uint64{9}, Cold: MaxVarint}},
	},
	{
		name: "track", version: Lite05, typ: uint64(StreamTrack),
		wire:  `06 | 0e 05 63 6c 6f 63 6b 07 73 65 63 6f 6e 64 73`,
		items: []message{Track{Broadcast: "clock", Name: "seconds"}},
	},
	{
		name: "track info", version: Lite05, untyped: true,
		wire:  `06 00 00 53 88 43 e8`,
		items: []message{TrackInfo{MaxAge: 5 * time.Second, Timescale: 1000}},
	},
	{
		name: "subscribe", version: Lite05, typ: uint64(StreamSubscribe),
		wire:  `02 | 14 00 05 63 6c 6f 63 6b 07 73 65 63 6f 6e 64 73 00 00 00 00 00`,
		items: []message{Subscribe{Broadcast: "clock", Track: "seconds"}},
	},
	{
		name: "subscribe reply", version: Lite05, untyped: true,
		wire:  `00 01 2a | 01 02 40 5a`,
		items: []message{SubscribeReply{Group: 42}, SubscribeReply{Kind: ReplyEnd, Group: 90}},
	},
	{
		name: "group of the clock", version: Lite05, typ: uint64(UniGroup),
		wire: `00 02 00 2a
			c0 00 00 61 61 75 6e 2a 11 32 30 32 36 2d 30 38 2d 32 32 20 32 30 3a 30 31 3a
			00 02 30 37
			47 d2 02 30 38`,
		items:  []message{Group{Sequence: 42}},
		frames: clock,
	},
	{
		name: "fetch", version: Lite05, typ: uint64(StreamFetch),
		wire:  `03 | 10 05 63 6c 6f 63 6b 07 73 65 63 6f 6e 64 73 00 05`,
		items: []message{Fetch{Broadcast: "clock", Track: "seconds", Group: 5}},
	},
	{
		name: "probe", version: Lite05, typ: uint64(StreamProbe),
		wire: `04`,
	},
	{
		name: "announce request", version: Lite06, typ: uint64(StreamAnnounce),
		wire:  `01 | 06 05 63 6c 6f 63 6b`,
		items: []message{AnnounceRequest{Prefix: "clock"}},
	},
	{
		name: "announcements", version: Lite06, untyped: true,
		wire: `02 07 01 | 00 05 00 01 09 00 01 | 02 05 00 01 09 02 02 | 01 01 00`,
		items: []message{
			AnnounceOK{Hop: 7, Active: 1},
			Announce{Hops: []uint64{9}, Cold: 1},
			Announce{Kind: AnnounceUpdate, Hops: []uint64{9}, Warm: 2, Cold: 2},
			Announce{Kind: AnnounceEnd},
		},
	},
	{
		name: "track info", version: Lite06, untyped: true,
		wire:  `05 7f 53 88 43 e8`,
		items: []message{TrackInfo{Priority: 127, MaxAge: 5 * time.Second, Timescale: 1000}},
	},
	{
		name: "subscribe, then its update", version: Lite06, typ: uint64(StreamSubscribe),
		wire: `02 | 15 00 05 63 6c 6f 63 6b 07 73 65 63 6f 6e 64 73 00 00 00 00 00 00 | 06 50 00 00 00 00 00`,
		items: []message{
			Subscribe{Broadcast: "clock", Track: "seconds"},
			SubscribeUpdate{SubscribeParams{Priority: 80}},
		},
	},
	{
		name: "group of the clock", version: Lite06, typ: uint64(UniGroup),
		wire: `00 | 03 00 2a 00
			c0 00 00 61 61 75 6e 2a 11 32 30 32 36 2d 30 38 2d 32 32 20 32 30 3a 30 31 3a
			00 02 30 37
			47 d2 02 30 38`,
		items:  []message{Group{Sequence: 42}},
		frames: clock,
	},
	{
		name: "fetch", version: Lite06, typ: uint64(StreamFetch),
		wire:  `03 | 12 05 63 6c 6f 63 6b 07 73 65 63 6f 6e 64 73 00 05 00 00`,
		items: []message{Fetch{Broadcast: "clock", Track: "seconds", Group: 5}},
	},
	{
		name: "goaway", version: Lite06, typ: uint64(StreamGoaway),
		wire:  `05 | 01 00`,
		items: []message{Goaway{}},
	},
}

func TestTranscriptsAreRead(t *testing.T) {
	for _, c := range transcripts {
		for name, source := range sources {
			t.Run(c.version.String()+"/"+c.name+"/"+name, func(t *testing.T) {
				r := NewReader(source(unhex(c.wire)))
				if !c.untyped {
					typ, err := r.Varint()
					require.NoError(t, err)
					require.Equal(t, c.typ, typ)
				}
				for _, want := range c.items {
					got, err := read(r, want, c.version)
					require.NoError(t, err)
					require.Equal(t, want, got)
				}
				for _, want := range c.frames {
					delta, payload, err := r.Frame()
					require.NoError(t, err)
					require.Equal(t, want.delta, delta)
					require.Equal(t, want.payload, string(payload))
				}
				_, err := r.Varint()
				require.Equal(t, io.EOF, err)
			})
		}
	}
}

func TestTranscriptsAreWritten(t *testing.T) {
	for _, c := range transcripts {
		var b []byte
		if !c.untyped {
			b = AppendVarint(b, c.typ)
		}
		for _, m := range c.items {
			b = m.Append(b, c.version)
		}
		for _, f := range c.frames {
			b = AppendFrameHeader(b, f.delta, len(f.payload))
			b = append(b, f.payload...)
		}
		require.Equal(t, unhex(c.wire), b, "%s on %s", c.name, c.version)
	}
}

// A stream that is cut is never taken for a whole one, except between two items.
func TestTranscriptsCut(t *testing.T) {
	for _, c := range transcripts {
		wire := unhex(c.wire)
		whole := boundaries(t, c)
		for n := range wire {
			err := readAll(NewReader(bytes.NewReader(wire[:n])), c)
			if whole[n] {
				require.Equal(t, io.EOF, err, "%s after %d bytes", c.name, n)
				continue
			}
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s after %d bytes", c.name, n)
		}
	}
}

// boundaries are the places in the transcript's stream where an item begins.
func boundaries(t *testing.T, c transcript) map[int]bool {
	t.Helper()
	at := map[int]bool{0: true}
	var b []byte
	if !c.untyped {
		b = AppendVarint(b, c.typ)
		at[len(b)] = true
	}
	for _, m := range c.items {
		b = m.Append(b, c.version)
		at[len(b)] = true
	}
	for _, f := range c.frames {
		b = append(AppendFrameHeader(b, f.delta, len(f.payload)), f.payload...)
		at[len(b)] = true
	}
	return at
}

// readAll reads what the transcript has until the first error.
func readAll(r *Reader, c transcript) error {
	if !c.untyped {
		if _, err := r.Varint(); err != nil {
			return err
		}
	}
	for _, m := range c.items {
		if _, err := read(r, m, c.version); err != nil {
			return err
		}
	}
	for {
		if _, _, err := r.Frame(); err != nil {
			return err
		}
	}
}
