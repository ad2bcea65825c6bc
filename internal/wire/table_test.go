package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// message is what every message of this package is.
type message interface {
	Append(b []byte, v Version) []byte
}

// row is one example: bytes as they stand on a stream, after the stream type, and
// what they mean. The rows stand in the test file of their message.
//
// Each line of wire is hex and a comment. A comment "length: F" or "count: F" marks
// a field whose number asks for bytes to follow, and F is the name that an error has
// to give to it; a bare "length" is that of the message.
type row struct {
	name     string
	versions []Version
	wire     string
	value    message
	written  string // how value is written, if not as in wire
	openEnd  bool   // any bytes may follow
}

var (
	both   = []Version{Lite05, Lite06}
	lite05 = []Version{Lite05}
	lite06 = []Version{Lite06}
)

// table drives decoding, encoding, truncation, trailing bytes, allocation, growth and
// the seeds of every fuzz target.
var table = slices.Concat(
	setupRows,
	announceRequestRows,
	announceOKRows,
	announceRows,
	trackRows,
	trackInfoRows,
	subscribeRows,
	subscribeUpdateRows,
	subscribeReplyRows,
	fetchRows,
	probeRows,
	goawayRows,
	groupRows,
	datagramRows,
)

// forEachRow runs f for every row and version.
func forEachRow(t *testing.T, f func(t *testing.T, r row, v Version)) {
	t.Helper()
	for _, r := range table {
		for _, v := range r.versions {
			t.Run(fmt.Sprintf("%T/%s/%s", r.value, v, r.name), func(t *testing.T) { f(t, r, v) })
		}
	}
}

type line struct {
	bytes   []byte
	comment string
}

// lines splits annotated bytes.
func lines(annotated string) []line {
	var out []line
	for text := range strings.Lines(annotated) {
		digits, comment, _ := strings.Cut(text, "//")
		out = append(out, line{unhex(digits), strings.TrimSpace(comment)})
	}
	return out
}

// unhex reads annotated hex; blanks, | and · between bytes say nothing.
func unhex(annotated string) []byte {
	var digits strings.Builder
	for text := range strings.Lines(annotated) {
		text, _, _ = strings.Cut(text, "//")
		digits.WriteString(strings.NewReplacer(" ", "", "\t", "", "\n", "", "|", "", "·", "").Replace(text))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		panic(err)
	}
	return b
}

func (r row) writtenBytes() []byte {
	if r.written != "" {
		return unhex(r.written)
	}
	return unhex(r.wire)
}

// typed says whether messages like m have a type before their length.
func typed(m message, v Version) bool {
	switch m.(type) {
	case Announce:
		return v.AnnounceIDs()
	case SubscribeReply:
		return true
	}
	return false
}

// parse reads a body as a message like m.
func parse(m message, typ uint64, body []byte, v Version) (message, error) {
	switch m.(type) {
	case Setup:
		return ParseSetup(body, v)
	case AnnounceRequest:
		return ParseAnnounceRequest(body, v)
	case AnnounceOK:
		return ParseAnnounceOK(body, v)
	case Announce:
		return ParseAnnounce(typ, body, v)
	case Track:
		return ParseTrack(body, v)
	case TrackInfo:
		return ParseTrackInfo(body, v)
	case Subscribe:
		return ParseSubscribe(body, v)
	case SubscribeUpdate:
		return ParseSubscribeUpdate(body, v)
	case SubscribeReply:
		return ParseSubscribeReply(typ, body, v)
	case Fetch:
		return ParseFetch(body, v)
	case Probe:
		return ParseProbe(body, v)
	case Goaway:
		return ParseGoaway(body, v)
	case Group:
		return ParseGroup(body, v)
	case Datagram:
		return ParseDatagram(body)
	}
	panic(fmt.Sprintf("no parser for %T", m))
}

// read takes the next message like m from a stream, as a session does.
func read(r *Reader, m message, v Version) (message, error) {
	switch m.(type) {
	case Announce:
		return ReadAnnounce(r, v)
	case SubscribeReply:
		return ReadSubscribeReply(r, v)
	}
	body, err := r.Message()
	if err != nil {
		return nil, err
	}
	return parse(m, 0, body, v)
}

var errMore = errors.New("the stream goes on after the message")

// decode reads a whole stream that has one message like m, and nothing else.
func decode(m message, wire []byte, v Version) (message, error) {
	if _, ok := m.(Datagram); ok {
		return ParseDatagram(wire)
	}
	r := NewReader(bytes.NewReader(wire))
	got, err := read(r, m, v)
	if err != nil {
		return nil, err
	}
	if _, err := r.Varint(); err != io.EOF {
		return nil, errMore
	}
	return got, nil
}

// split cuts a message into its type and its body.
func split(m message, wire []byte, v Version) (typ uint64, body []byte) {
	if _, ok := m.(Datagram); ok {
		return 0, wire
	}
	if typed(m, v) {
		var n int
		typ, n = cutVarint(wire)
		wire = wire[n:]
	}
	size, n := cutVarint(wire)
	if int(size) != len(wire)-n {
		panic(fmt.Sprintf("example %x: the length is %d, the body has %d bytes", wire, size, len(wire)-n))
	}
	return typ, wire[n:]
}

// malformed is a body that has to be refused.
type malformed struct {
	name     string
	versions []Version
	like     message
	typ      uint64
	body     string
	message  string
	field    string
	err      error
}

func testMalformed(t *testing.T, cases []malformed) {
	t.Helper()
	for _, c := range cases {
		for _, v := range c.versions {
			t.Run(c.name+"/"+v.String(), func(t *testing.T) {
				_, err := parse(c.like, c.typ, unhex(c.body), v)
				require.Equal(t, &Error{Message: c.message, Field: c.field, Err: c.err}, err)
				require.ErrorIs(t, err, c.err)
			})
		}
	}
}

// oneOfEach returns an empty message of every type, with the names they go by.
func oneOfEach() map[string]message {
	return map[string]message{
		"SETUP":            Setup{},
		"ANNOUNCE_REQUEST": AnnounceRequest{},
		"ANNOUNCE_OK":      AnnounceOK{},
		"ANNOUNCE":         Announce{},
		"TRACK":            Track{},
		"TRACK_INFO":       TrackInfo{},
		"SUBSCRIBE":        Subscribe{},
		"SUBSCRIBE_UPDATE": SubscribeUpdate{},
		"SUBSCRIBE_REPLY":  SubscribeReply{},
		"FETCH":            Fetch{},
		"PROBE":            Probe{},
		"GOAWAY":           Goaway{},
		"GROUP":            Group{},
		"DATAGRAM":         Datagram{},
	}
}
