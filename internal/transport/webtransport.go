package transport

import (
	"context"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"

	"github.com/remoq/moq/moqerr"
)

// WebTransport's stream types, which stand before the session id (moq-lite.md §1.3).
const (
	wtUniType  = 0x54
	wtBidiType = 0x41
)

// How long Close waits for the peer to hang up: three round trips, in these bounds
// (moq-lite.md §5.2).
const (
	minGrace = 100 * time.Millisecond
	maxGrace = time.Second
)

// webTransport is the one session of an HTTP/3 connection, client side.
type webTransport struct {
	*link
	h3      *http3.RawClientConn
	connect *http3.RequestStream
	session uint64            // the CONNECT stream's id
	over    chan struct{}     // closed when the peer's side of CONNECT has ended
	bidis   chan *quic.Stream // streams of this session, header stripped
	unis    chan *quic.ReceiveStream
}

var _ Watched = (*webTransport)(nil)

// newWebTransport takes over a connection on which CONNECT was answered with 2xx.
func newWebTransport(h3 *http3.RawClientConn, connect *http3.RequestStream, l *link) *webTransport {
	w := &webTransport{
		link:    l,
		h3:      h3,
		connect: connect,
		session: uint64(connect.StreamID()),
		over:    make(chan struct{}),
		bidis:   make(chan *quic.Stream),
		unis:    make(chan *quic.ReceiveStream),
	}
	l.uniHeader = quicvarint.Append(quicvarint.Append(nil, wtUniType), w.session)
	l.bidiHeader = quicvarint.Append(quicvarint.Append(nil, wtBidiType), w.session)
	l.datagramHeader = quicvarint.Append(nil, w.session/4)
	l.workers.Go(w.watch)
	l.workers.Go(w.acceptBidis)
	l.workers.Go(w.acceptUnis)
	l.start()
	return w
}

func (w *webTransport) AcceptStream(ctx context.Context) (Stream, error) {
	select {
	case str := <-w.bidis:
		return w.newStream(str, nil), nil
	case <-w.done:
		return nil, w.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (w *webTransport) AcceptUniStream(ctx context.Context) (ReceiveStream, error) {
	select {
	case str := <-w.unis:
		return &receiveStream{link: w.link, quic: str}, nil
	case <-w.done:
		return nil, w.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// ReceiveDatagram asks http3, which reads the connection's datagrams.
func (w *webTransport) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	b, err := w.connect.ReceiveDatagram(ctx)
	if err == nil {
		return b, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// http3 fails it when the CONNECT stream ends, and that ends the connection.
	select {
	case <-w.done:
		return nil, w.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close sends the plain code in a capsule and gives the peer a moment to hang up;
// only then the connection closes, with the mapped code (moq-lite.md §5.2).
func (w *webTransport) Close(code moqerr.SessionCode, reason string) error {
	reason = cutReason(reason)
	if w.end(&moqerr.SessionError{Code: code, Reason: reason, Legacy: legacy(w.protocol)}) {
		w.farewell(code, reason)
		_ = w.qconn.CloseWithError(mapSessionCode(code), reason)
	}
	<-w.released
	return nil
}

func (w *webTransport) farewell(code moqerr.SessionCode, reason string) {
	grace := min(max(3*w.qconn.ConnectionStats().SmoothedRTT, minGrace), maxGrace)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	_ = w.connect.SetWriteDeadline(time.Now().Add(grace))
	if _, err := w.connect.Write(appendClose(nil, code, reason)); err != nil {
		return
	}
	_ = w.connect.Close()
	select {
	case <-w.over:
	case <-w.done:
	case <-timer.C:
	}
}
