package transport

import (
	"math"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/moqerr"
)

// The range of HTTP/3 error codes that carries WebTransport codes
// (moq-lite.md §5.2). Every 31st is reserved and skipped.
const (
	firstMapped = 0x52e4a40fa8db
	lastMapped  = 0x52e5ac983162
)

// WebTransport's own stream codes: the session that the stream belongs to ended, or
// is not known.
const (
	wtSessionGone    = 0x170d7b68
	wtStreamRejected = 0x3994bd84
)

// MapStreamCode returns the code as it stands in RESET_STREAM and STOP_SENDING, on
// both carriers (moq-lite.md §5.2). Codes above 2^32-1 become 2^32-1.
func MapStreamCode(c moqerr.StreamCode) uint64 {
	n := min(uint64(c), math.MaxUint32)
	return firstMapped + n + n/30
}

// UnmapStreamCode is the inverse of [MapStreamCode]. It returns false for a number
// that stands for no code; the caller then takes it for a plain one.
func UnmapStreamCode(x uint64) (moqerr.StreamCode, bool) {
	if x < firstMapped || x > lastMapped {
		return 0, false
	}
	d := x - firstMapped
	return moqerr.StreamCode(d - d/31), d%31 != 30
}

// receivedCode reads a stream code that may be mapped, plain or WebTransport's own.
func receivedCode(x quic.StreamErrorCode) moqerr.StreamCode {
	if x == wtSessionGone || x == wtStreamRejected {
		return moqerr.StreamSessionClosed
	}
	if c, ok := UnmapStreamCode(uint64(x)); ok {
		return c
	}
	return moqerr.StreamCode(x)
}

// mapSessionCode is the close code of a WebTransport session as its connection's
// close carries it (moq-lite.md §10, item 12).
func mapSessionCode(c moqerr.SessionCode) quic.ApplicationErrorCode {
	return quic.ApplicationErrorCode(MapStreamCode(moqerr.StreamCode(c)))
}
