package transport

import (
	"context"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/remoq/moq/moqerr"
)

// rawQUIC is a connection whose QUIC streams are MoQ's, either side's.
type rawQUIC struct{ *link }

var _ Watched = rawQUIC{}

// NewQUIC makes a Conn of a raw QUIC connection whose handshake is complete, dialed
// or accepted. onClosed, which may be nil, runs once after the connection's death,
// whoever ended it, and releases the socket; it must not call Close.
func NewQUIC(c *quic.Conn, onClosed func()) Conn {
	l := newLink(c, CarrierQUIC, onClosed)
	l.start()
	return rawQUIC{l}
}

func (c rawQUIC) AcceptStream(ctx context.Context) (Stream, error) {
	str, err := c.qconn.AcceptStream(ctx)
	if err != nil {
		return nil, c.callError(ctx, err)
	}
	return c.newStream(str, nil), nil
}

func (c rawQUIC) AcceptUniStream(ctx context.Context) (ReceiveStream, error) {
	str, err := c.qconn.AcceptUniStream(ctx)
	if err != nil {
		return nil, c.callError(ctx, err)
	}
	return &receiveStream{link: c.link, quic: str}, nil
}

func (c rawQUIC) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	b, err := c.qconn.ReceiveDatagram(ctx)
	return b, c.callError(ctx, err)
}

// Close sends the plain code: raw connections are not mapped (moq-lite.md §5.2).
func (c rawQUIC) Close(code moqerr.SessionCode, reason string) error {
	reason = cutReason(reason)
	if c.end(&moqerr.SessionError{Code: code, Reason: reason, Legacy: legacy(c.protocol)}) {
		plain := min(uint64(code), quicvarint.Max)
		_ = c.qconn.CloseWithError(quic.ApplicationErrorCode(plain), reason)
	}
	<-c.released
	return nil
}
