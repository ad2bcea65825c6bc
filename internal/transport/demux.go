package transport

import (
	"context"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// The peer's streams are told apart by their first bytes, each in a goroutine of its
// own: one that stays silent must not hold up the others. QUIC's limit on open
// streams bounds the goroutines; so does it for those whose stream nobody accepts.

func (w *webTransport) acceptUnis() {
	for {
		str, err := w.qconn.AcceptUniStream(context.Background())
		if err != nil {
			return
		}
		w.workers.Go(func() { w.sortUni(str) })
	}
}

func (w *webTransport) acceptBidis() {
	for {
		str, err := w.qconn.AcceptStream(context.Background())
		if err != nil {
			return
		}
		w.workers.Go(func() { w.sortBidi(str) })
	}
}

func (w *webTransport) sortUni(str *quic.ReceiveStream) {
	kind, err := quicvarint.Peek(str)
	if err == nil && kind != wtUniType {
		w.h3.HandleUnidirectionalStream(str)
		return
	}
	if err != nil || !w.ours(str) {
		str.CancelRead(wtStreamRejected)
		return
	}
	select {
	case w.unis <- str:
	case <-w.done:
	}
}

func (w *webTransport) sortBidi(str *quic.Stream) {
	kind, err := quicvarint.Peek(str)
	if err == nil && kind != wtBidiType {
		w.h3.HandleBidirectionalStream(str)
		return
	}
	if err != nil || !w.ours(str) {
		str.CancelRead(wtStreamRejected)
		str.CancelWrite(wtStreamRejected)
		return
	}
	select {
	case w.bidis <- str:
	case <-w.done:
	}
}

// ours consumes a stream's header and says whether it names our session.
func (w *webTransport) ours(str quicReceiver) bool {
	r := quicvarint.NewReader(str)
	if _, err := quicvarint.Read(r); err != nil {
		return false
	}
	session, err := quicvarint.Read(r)
	return err == nil && session == w.session
}
