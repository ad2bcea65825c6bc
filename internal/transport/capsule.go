package transport

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strings"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/remoq/moq/moqerr"
)

// CLOSE_WEBTRANSPORT_SESSION is a 32-bit code and a reason (moq-lite.md §5.2).
const (
	closeCapsule = 0x2843
	closeCode    = 4
	maxReason    = 1024
	maxCapsule   = 64 << 10 // the most that is skipped of a capsule of unknown type
)

var errCapsule = errors.New("malformed capsule")

// readClose reads capsules until the peer closes the session. A stream that ends
// without the capsule means a close with code 0.
func readClose(r io.Reader) (code moqerr.SessionCode, reason string, err error) {
	in := quicvarint.NewReader(r)
	for {
		code, reason, done, err := readCapsule(in)
		switch {
		case err == io.EOF || err == io.ErrUnexpectedEOF:
			return moqerr.SessionNoError, "", nil
		case err != nil || done:
			return code, reason, err
		}
	}
}

func readCapsule(in quicvarint.Reader) (code moqerr.SessionCode, reason string, done bool, err error) {
	kind, err := quicvarint.Read(in)
	if err != nil {
		return 0, "", false, err
	}
	size, err := quicvarint.Read(in)
	if err != nil {
		return 0, "", false, err
	}
	if kind != closeCapsule {
		if size > maxCapsule {
			return 0, "", false, errCapsule
		}
		_, err = io.CopyN(io.Discard, in, int64(size))
		return 0, "", false, err
	}
	if size < closeCode || size > closeCode+maxReason {
		return 0, "", false, errCapsule
	}
	body := make([]byte, size)
	if _, err := io.ReadFull(in, body); err != nil {
		return 0, "", false, err
	}
	code = moqerr.SessionCode(binary.BigEndian.Uint32(body))
	return code, strings.ToValidUTF8(string(body[closeCode:]), "\ufffd"), true, nil
}

// appendClose appends the capsule that closes the session. Codes above 2^32-1 become
// 2^32-1.
func appendClose(b []byte, code moqerr.SessionCode, reason string) []byte {
	b = quicvarint.Append(b, closeCapsule)
	b = quicvarint.Append(b, uint64(closeCode+len(reason)))
	b = binary.BigEndian.AppendUint32(b, uint32(min(uint64(code), math.MaxUint32)))
	return append(b, reason...)
}

// cutReason bounds a reason to what a close may carry, at a rune's boundary.
func cutReason(reason string) string {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
	}
	return strings.ToValidUTF8(reason, "")
}

// watch waits for the peer's side of the CONNECT stream to end, and ends the
// connection with it.
func (w *webTransport) watch() {
	defer close(w.over)
	// Whoever waits for a datagram hears of the end only through the stream's reading side.
	defer w.connect.CancelRead(quic.StreamErrorCode(http3.ErrCodeNoError))
	code, reason, err := readClose(w.connect)
	closed := quic.ApplicationErrorCode(http3.ErrCodeNoError)
	cause := &moqerr.SessionError{Code: code, Remote: true, Reason: w.target.redact(reason), Legacy: legacy(w.protocol)}
	if err != nil {
		reset, isReset := errors.AsType[*quic.StreamError](err)
		switch {
		case isReset && reset.Remote:
			cause.Code, cause.Reason = moqerr.SessionInternal, "CONNECT stream was reset"
		case errors.Is(err, errCapsule):
			cause.Code, cause.Reason, cause.Remote = moqerr.SessionProtocol, errCapsule.Error(), false
			closed = mapSessionCode(moqerr.SessionProtocol)
		default:
			// The connection died, and has its cause already, or HTTP/3 was violated.
			_ = w.qconn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeGeneralProtocolError), "CONNECT stream")
			return
		}
	}
	if w.end(cause) {
		_ = w.qconn.CloseWithError(closed, "")
	}
}
