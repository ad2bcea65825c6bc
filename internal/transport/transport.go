package transport

import (
	"context"
	"net"
	"time"

	"github.com/remoq/moq/moqerr"
)

// Conn is one live connection. Its methods are safe for concurrent use. After its
// death every one of them fails with [Conn.Err].
type Conn interface {
	// OpenStream opens a bidirectional stream. It waits for the peer's stream
	// credit, until ctx ends. The peer learns of the stream with its first bytes.
	OpenStream(ctx context.Context) (Stream, error)
	// OpenUniStream opens a stream to write, as OpenStream does.
	OpenUniStream(ctx context.Context) (SendStream, error)
	// AcceptStream waits for a bidirectional stream of the peer's, until ctx ends.
	AcceptStream(ctx context.Context) (Stream, error)
	// AcceptUniStream waits for a stream to read, until ctx ends. On WebTransport
	// streams may come out in another order than they were opened in.
	AcceptUniStream(ctx context.Context) (ReceiveStream, error)
	// SendDatagram sends b, unreliably. It never blocks: a datagram is dropped
	// without an error when too many wait already, or when it is too large for a
	// packet. b is not kept. ErrNoDatagrams says that the peer takes none.
	SendDatagram(b []byte) error
	// ReceiveDatagram waits for the peer's next datagram, until ctx ends.
	ReceiveDatagram(ctx context.Context) ([]byte, error)
	// Protocol is what was negotiated, such as "moq-lite-06"; "" if nothing was.
	Protocol() string
	// Carrier is CarrierQUIC or CarrierWebTransport.
	Carrier() string
	// LocalAddr is the address of our socket.
	LocalAddr() net.Addr
	// RemoteAddr is the peer's address.
	RemoteAddr() net.Addr
	// Stats is a snapshot of counters; cheap.
	Stats() Stats
	// Close says goodbye with code and reason, ends the connection, and waits for
	// everything that the Conn started. Data that has not left yet is discarded:
	// drain first. The first close wins; later calls wait for it. It returns nil.
	Close(code moqerr.SessionCode, reason string) error
	// Done is closed when the connection is dead, whatever the cause.
	Done() <-chan struct{}
	// Err is nil before Done, and then the cause: a *moqerr.SessionError for a close
	// by either side, else an error that wraps quic-go's: *quic.IdleTimeoutError,
	// *quic.TransportError, *quic.StatelessResetError, *net.OpError and so on.
	Err() error
}

// Watched is a Conn that a [Dialer] made.
type Watched interface {
	Conn
	// Watch begins to judge the connection's silence, until its end. It is called once.
	// On a connection that was accepted, whose socket is not ours, it never says a word.
	Watch(c PulseConfig) *Pulse
}

// SendStream is the sending half of a stream. One goroutine may write at a time;
// Reset, SetPriority and Context may be called concurrently with it.
type SendStream interface {
	// Write sends p and blocks until all but its last packet's worth was taken; Reset
	// and the death of the connection unblock it. A fresh stream takes up to 1,400
	// bytes at once. It fails with a *moqerr.StreamError after a reset or when the
	// peer asked to stop, else with the connection's Err.
	Write(p []byte) (int, error)
	// WriteThrough is Write that blocks until the last byte of p is in a packet. The end of
	// the stream then needs another one.
	WriteThrough(p []byte) (int, error)
	// TryWrite takes p, and what was written before, if the peer has given credit for all of
	// it, so that it will leave without another word of the peer's. Else it takes nothing,
	// and returns false. It does not block. p is not longer than a packet.
	TryWrite(p []byte) (bool, error)
	// Close ends the stream after what was written. It must not race Write.
	Close() error
	// Reset abandons the stream, also after Close: what the peer has not
	// acknowledged may be lost.
	Reset(code moqerr.StreamCode)
	// SetPriority ranks the stream among the connection's: urgency 0 goes first, 7
	// last, out of range is clamped. Within one urgency incremental streams take
	// turns; of others the oldest goes first.
	SetPriority(urgency int8, incremental bool)
	// Context ends when the stream was closed or reset, when the peer asked to stop,
	// or with the connection.
	Context() context.Context
}

// ReceiveStream is the receiving half of a stream. One goroutine may read at a
// time; Stop and SetReadDeadline may be called concurrently with it.
type ReceiveStream interface {
	// Read waits for at least one byte. io.EOF is the end; a *moqerr.StreamError a
	// reset, or our own Stop; os.ErrDeadlineExceeded the deadline; everything else the
	// connection's Err.
	Read(p []byte) (int, error)
	// Stop asks the peer to stop sending, and unblocks Read.
	Stop(code moqerr.StreamCode)
	// SetReadDeadline bounds present and future Reads. Zero means no bound.
	SetReadDeadline(t time.Time) error
}

// Stream is a bidirectional stream.
type Stream interface {
	SendStream
	ReceiveStream
}

// Stats are the counters of a connection since it began.
type Stats struct {
	RTT, MinRTT     time.Duration // smoothed, and the least seen
	BytesSent       uint64        // of UDP payload
	BytesReceived   uint64
	PacketsSent     uint64
	PacketsReceived uint64
	PacketsLost     uint64 // may go down: a packet thought lost can arrive
}

// The values of [Conn.Carrier].
const (
	CarrierQUIC         = "quic"
	CarrierWebTransport = "webtransport"
)
