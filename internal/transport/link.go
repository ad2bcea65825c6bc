package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/remoq/moq/moqerr"
)

// link is what both carriers share: a QUIC connection, the cause of its end, and
// everything that was started for it.
type link struct {
	qconn    *quic.Conn
	carrier  string
	protocol string
	release  func()  // frees the socket; may be nil
	stamps   *stamps // nil on connections that were accepted
	target   *Target // the same; its secrets stay out of the peer's words

	// What every stream and datagram of ours begins with; empty on raw QUIC.
	uniHeader, bidiHeader, datagramHeader []byte

	takesDatagrams bool
	workers        sync.WaitGroup
	done           chan struct{} // closed at the connection's death
	released       chan struct{} // closed after done, when workers and socket are gone
	err            error         // the cause; written before done is closed

	mu        sync.Mutex
	cause     error    // the first thing that ended the connection
	dead      bool     // nothing may be started any more
	datagrams [][]byte // to be sent
	sending   bool     // there is a goroutine that does it
}

func newLink(qconn *quic.Conn, carrier string, release func()) *link {
	state := qconn.ConnectionState()
	return &link{
		qconn:          qconn,
		carrier:        carrier,
		protocol:       state.TLS.NegotiatedProtocol,
		release:        release,
		takesDatagrams: state.SupportsDatagrams.Remote,
		done:           make(chan struct{}),
		released:       make(chan struct{}),
	}
}

// start arranges for finish to run at the connection's death.
func (l *link) start() { context.AfterFunc(l.qconn.Context(), l.finish) }

func (l *link) finish() {
	l.end(lost(l.target.hush(context.Cause(l.qconn.Context())), l.carrier, l.protocol))
	l.mu.Lock()
	l.dead = true
	l.err = l.cause
	l.mu.Unlock()
	close(l.done)
	l.workers.Wait()
	if l.release != nil {
		l.release()
	}
	close(l.released)
}

// end records why the connection ends and says whether it is the first to do so.
// Whoever is first sees to it that the connection is closed.
func (l *link) end(cause error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cause != nil {
		return false
	}
	l.cause = cause
	return true
}

// lost turns the cause of a connection's death into what callers see: an application
// close is the end of the session, everything else keeps quic-go's type.
func lost(cause error, carrier, protocol string) error {
	if app, ok := errors.AsType[*quic.ApplicationError](cause); ok {
		// A mapped code may come on raw QUIC too. A plain one on WebTransport is HTTP/3's,
		// but for those below its range: a relay that shuts down closes with 0.
		code, ok := UnmapStreamCode(uint64(app.ErrorCode))
		if !ok && (carrier == CarrierQUIC || app.ErrorCode < quic.ApplicationErrorCode(http3.ErrCodeNoError)) {
			code, ok = moqerr.StreamCode(app.ErrorCode), true
		}
		if ok {
			return &moqerr.SessionError{
				Code: moqerr.SessionCode(code), Remote: app.Remote, Reason: app.ErrorMessage, Legacy: legacy(protocol),
			}
		}
	}
	return fmt.Errorf("connection lost: %w", cause)
}

// legacy says that the protocol is older than moq-lite-06, whose close codes differ.
func legacy(protocol string) bool {
	const first = "moq-lite-06"
	return len(protocol) < len(first) || protocol[:len("moq-lite-")] != "moq-lite-" || protocol < first
}

// callError converts what an operation with a context failed with.
func (l *link) callError(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return l.streamError(err)
}

// streamError converts what an operation on a stream or on the connection failed
// with.
func (l *link) streamError(err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if reset, ok := errors.AsType[*quic.StreamError](err); ok {
		return &moqerr.StreamError{Code: receivedCode(reset.ErrorCode), Remote: reset.Remote}
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, quic.ErrStreamClosed) {
		return err
	}
	// What is left came from the connection, whose streams fail a moment before it
	// makes its cause known.
	<-l.done
	return l.err
}

func (l *link) OpenStream(ctx context.Context) (Stream, error) {
	str, err := l.qconn.OpenStreamSync(ctx)
	if err != nil {
		return nil, l.callError(ctx, err)
	}
	return l.newStream(str, l.bidiHeader), nil
}

func (l *link) OpenUniStream(ctx context.Context) (SendStream, error) {
	str, err := l.qconn.OpenUniStreamSync(ctx)
	if err != nil {
		return nil, l.callError(ctx, err)
	}
	return &sendStream{link: l, quic: str, header: l.uniHeader}, nil
}

func (l *link) Protocol() string      { return l.protocol }
func (l *link) Carrier() string       { return l.carrier }
func (l *link) LocalAddr() net.Addr   { return l.qconn.LocalAddr() }
func (l *link) RemoteAddr() net.Addr  { return l.qconn.RemoteAddr() }
func (l *link) Done() <-chan struct{} { return l.done }

func (l *link) Err() error {
	select {
	case <-l.done:
		return l.err
	default:
		return nil
	}
}

// Watch implements [Watched].
func (l *link) Watch(c PulseConfig) *Pulse {
	stamps := l.stamps
	if stamps == nil {
		stamps = newStamps(nil)
	}
	p := newPulse(stamps, c, func() time.Duration { return l.qconn.ConnectionStats().SmoothedRTT })
	if l.stamps == nil {
		p.Stop()
	}
	context.AfterFunc(l.qconn.Context(), p.Stop)
	return p
}

func (l *link) Stats() Stats {
	s := l.qconn.ConnectionStats()
	return Stats{
		RTT: s.SmoothedRTT, MinRTT: s.MinRTT,
		BytesSent: s.BytesSent, BytesReceived: s.BytesReceived,
		PacketsSent: s.PacketsSent, PacketsReceived: s.PacketsReceived, PacketsLost: s.PacketsLost,
	}
}
