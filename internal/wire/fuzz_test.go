package wire

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// fuzzParse checks the parsers of the messages like those of kinds: no panic, every
// error names its place, the cost is bounded, and what is read can be written and
// read again.
func fuzzParse(f *testing.F, kinds ...message) {
	for _, r := range table {
		for i, kind := range kinds {
			if sameType(r.value, kind) {
				for _, v := range r.versions {
					typ, body := split(r.value, unhex(r.wire), v)
					f.Add(uint8(v), uint8(i), typ, body)
				}
			}
		}
	}
	f.Fuzz(func(t *testing.T, version, kind uint8, typ uint64, body []byte) {
		v := Versions()[int(version)%len(Versions())]
		m := kinds[int(kind)%len(kinds)]
		if len(body) > MaxMessage {
			body = body[:MaxMessage]
		}
		got, err := parse(m, typ, body, v)
		if err != nil {
			requireNamed(t, err)
			return
		}
		requireWrites(t, got, v)
	})
}

func sameType(a, b message) bool { return reflect.TypeOf(a) == reflect.TypeOf(b) }

func requireNamed(t *testing.T, err error) {
	t.Helper()
	var malformed *Error
	require.ErrorAs(t, err, &malformed)
	require.NotEmpty(t, malformed.Message)
	require.NotEmpty(t, malformed.Field)
	require.Error(t, malformed.Err)
}

// requireWrites checks that m is the same after it was written and read.
func requireWrites(t *testing.T, m message, v Version) {
	t.Helper()
	switch m := m.(type) {
	case Announce:
		if m.Kind == AnnounceUnknown {
			return
		}
	case SubscribeReply:
		if m.Kind == ReplyUnknown {
			return
		}
	}
	wire := m.Append(nil, v)
	again, err := decode(m, wire, v)
	require.NoError(t, err)
	require.Equal(t, asWritten(m, v), again)
	require.Equal(t, wire, again.Append(nil, v))
}

func FuzzSetup(f *testing.F) { fuzzParse(f, Setup{}) }

func FuzzAnnounce(f *testing.F) {
	fuzzParse(f, AnnounceRequest{}, AnnounceOK{}, Announce{})
}

func FuzzTrack(f *testing.F) { fuzzParse(f, Track{}, TrackInfo{}) }

func FuzzSubscribe(f *testing.F) {
	fuzzParse(f, Subscribe{}, SubscribeUpdate{}, SubscribeReply{})
}

func FuzzFetch(f *testing.F)    { fuzzParse(f, Fetch{}) }
func FuzzProbe(f *testing.F)    { fuzzParse(f, Probe{}) }
func FuzzGoaway(f *testing.F)   { fuzzParse(f, Goaway{}) }
func FuzzGroup(f *testing.F)    { fuzzParse(f, Group{}) }
func FuzzDatagram(f *testing.F) { fuzzParse(f, Datagram{}) }

// FuzzStream reads whole streams as a session does: first the type, then whatever
// that type brings.
func FuzzStream(f *testing.F) {
	for _, c := range transcripts {
		f.Add(uint8(c.version), c.untyped, unhex(c.wire))
	}
	asked := map[uint64][]message{
		uint64(StreamAnnounce):  {AnnounceRequest{}},
		uint64(StreamSubscribe): {Subscribe{}, SubscribeUpdate{}, SubscribeUpdate{}},
		uint64(StreamFetch):     {Fetch{}},
		uint64(StreamGoaway):    {Goaway{}},
		uint64(StreamTrack):     {Track{}},
		uint64(UniGroup):        {Group{}},
	}
	answers := [][]message{
		{AnnounceOK{}, Announce{}, Announce{}, Announce{}},
		{TrackInfo{}},
		{SubscribeReply{}, SubscribeReply{}},
		{Probe{}, Probe{}},
		{Setup{}},
		{}, // frames
	}
	f.Fuzz(func(t *testing.T, version uint8, answer bool, stream []byte) {
		v := Versions()[int(version)%len(Versions())]
		if answer {
			for _, items := range answers {
				fuzzItems(t, NewReader(bytes.NewReader(stream)), items, v)
			}
			return
		}
		r := NewReader(bytes.NewReader(stream))
		typ, err := r.Varint()
		if err != nil {
			return
		}
		fuzzItems(t, r, asked[typ], v)
	})
}

func fuzzItems(t *testing.T, r *Reader, items []message, v Version) {
	t.Helper()
	for _, m := range items {
		got, err := read(r, m, v)
		if err != nil {
			requireStreamError(t, err)
			return
		}
		requireWrites(t, got, v)
	}
	for ticks := uint64(0); ; {
		delta, payload, err := r.Frame()
		if err != nil {
			requireStreamError(t, err)
			return
		}
		b := append(AppendFrameHeader(nil, delta, len(payload)), payload...)
		again, same, err := NewReader(bytes.NewReader(b)).Frame()
		require.NoError(t, err)
		require.Equal(t, delta, again)
		require.True(t, bytes.Equal(payload, same))

		var ok bool
		if ticks, ok = AddTicks(ticks, delta); !ok {
			return
		}
		require.NotPanics(t, func() { AppendFrameHeader(nil, int64(ticks), 0) })
	}
}

func requireStreamError(t *testing.T, err error) {
	t.Helper()
	if err != io.EOF {
		requireNamed(t, err)
	}
}

// FuzzReader cuts the same bytes into frames with a Reader, in pieces of any size,
// and with a few plain lines; both have to agree, and the Reader has to keep within
// its memory.
func FuzzReader(f *testing.F) {
	for _, c := range frames {
		f.Add(unhex(c.wire), uint16(1), uint16(0))
	}
	stream, _ := mixedStream(12)
	f.Add(stream[:min(len(stream), 20_000)], uint16(1200), uint16(0))
	f.Add(unhex(`00 01 61 00 80 01 00 00`), uint16(7), uint16(50_000))
	f.Add(unhex(`00 80 00 c3 50`), uint16(9000), uint16(65_000))
	f.Fuzz(func(t *testing.T, stream []byte, piece, padding uint16) {
		stream = append(bytes.Clone(stream), make([]byte, padding)...)
		r := NewReader(&packets{rest: stream, size: int(piece) + 1})
		want := stream
		var kept, same [][]byte
		for {
			delta, payload, err := r.Frame()
			require.LessOrEqual(t, r.spent, allowance+2*r.arrived+page+spare)
			wantDelta, wantPayload, rest, wantErr := plainFrame(want)
			if wantErr != nil {
				require.ErrorIs(t, err, wantErr)
				break
			}
			require.NoError(t, err)
			require.Equal(t, wantDelta, delta)
			kept, same = append(kept, payload), append(same, wantPayload)
			want = rest
		}
		for i := range kept {
			require.True(t, bytes.Equal(same[i], kept[i]), "frame %d", i)
		}
	})
}

// plainFrame cuts a frame off bytes that are all there.
func plainFrame(b []byte) (delta int64, payload, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, nil, io.EOF
	}
	v, n := cutVarint(b)
	size, m := cutVarint(b[n:])
	switch {
	case n == 0 || m == 0:
		return 0, nil, nil, io.ErrUnexpectedEOF
	case size > MaxFrame:
		return 0, nil, nil, ErrTooLarge
	case size > uint64(len(b)-n-m):
		return 0, nil, nil, io.ErrUnexpectedEOF
	}
	b = b[n+m:]
	return unzigzag(v), b[:size], b[size:], nil
}

func FuzzVarint(f *testing.F) {
	for _, c := range varints {
		f.Add(unhex(c.wire))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, n := cutVarint(b)
		got, err := NewReader(bytes.NewReader(b)).Varint()
		if n == 0 {
			require.Error(t, err)
			return
		}
		require.NoError(t, err)
		require.Equal(t, v, got)
		require.LessOrEqual(t, VarintLen(v), n)
		again, m := cutVarint(AppendVarint(nil, v))
		require.Equal(t, v, again)
		require.Equal(t, VarintLen(v), m)
	})
}

func FuzzPath(f *testing.F) {
	f.Add("room/cam", "room")
	f.Add("/room//cam/", "/room/")
	f.Add("", "/")
	f.Add(strings.Repeat("a/", 33), "a")
	f.Add("a*\xff", "a*")
	f.Fuzz(func(t *testing.T, a, b string) {
		clean := CleanPath(a)
		require.Equal(t, clean, CleanPath(clean))
		require.NotContains(t, clean, "//")
		require.False(t, strings.HasPrefix(clean, "/") || strings.HasSuffix(clean, "/"))
		parts := strings.FieldsFunc(a, func(c rune) bool { return c == '/' })
		require.Equal(t, strings.Join(parts, "/"), clean)

		err := ValidatePath(a)
		ok := len(parts) <= MaxPathParts && utf8.ValidString(a) && !strings.Contains(a, "*")
		require.Equal(t, ok, err == nil)
		require.Equal(t, err, ValidatePath(clean))

		joined := JoinPath(a, b)
		require.Equal(t, joined, CleanPath(joined))
		suffix, ok := CutPrefix(joined, a)
		require.True(t, ok)
		require.Equal(t, CleanPath(b), suffix)
		if suffix, ok := CutPrefix(a, b); ok {
			require.Equal(t, clean, JoinPath(b, suffix))
		}

		m, err := ParseTrack(appendText(appendText(nil, a), ""), Lite06)
		require.Equal(t, err == nil, ValidatePath(a) == nil || errors.Is(ValidatePath(a), ErrPattern))
		if err == nil {
			require.Equal(t, clean, m.Broadcast)
		}
	})
}
