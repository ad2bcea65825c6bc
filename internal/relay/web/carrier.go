package web

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/moqerr"
)

// datagramQueue is how many datagrams wait here while quic-go's own queue is full.
const datagramQueue = 32

// carrier makes a [transport.Conn] of an accepted WebTransport session, to which the
// QUIC connection belongs alone.
type carrier struct {
	session   *webtransport.Session
	conn      *quic.Conn
	datagrams chan []byte

	work sync.WaitGroup // sendDatagrams
	done chan struct{}  // closed by watch, when the connection and work have ended
	err  error          // why; written before done is closed

	mu      sync.Mutex
	cause   error                       // the first thing that ended the session
	reading map[*receiveStream]struct{} // nil when the connection has ended
}

var _ transport.Conn = (*carrier)(nil)

func newCarrier(s *webtransport.Session, conn *quic.Conn) *carrier {
	c := &carrier{
		session:   s,
		conn:      conn,
		datagrams: make(chan []byte, datagramQueue),
		done:      make(chan struct{}),
		reading:   make(map[*receiveStream]struct{}),
	}
	c.work.Go(c.sendDatagrams)
	go c.watch()
	return c
}

func (c *carrier) OpenStream(ctx context.Context) (transport.Stream, error) {
	s, err := c.session.OpenStreamSync(ctx)
	if err != nil {
		return nil, c.callError(ctx, err)
	}
	return &stream{sendStream{s, c}, receiveStream{s, c}}, nil
}

func (c *carrier) OpenUniStream(ctx context.Context) (transport.SendStream, error) {
	s, err := c.session.OpenUniStreamSync(ctx)
	if err != nil {
		return nil, c.callError(ctx, err)
	}
	return &sendStream{s, c}, nil
}

func (c *carrier) AcceptStream(ctx context.Context) (transport.Stream, error) {
	s, err := c.session.AcceptStream(ctx)
	if err != nil {
		return nil, c.callError(ctx, err)
	}
	return &stream{sendStream{s, c}, receiveStream{s, c}}, nil
}

func (c *carrier) AcceptUniStream(ctx context.Context) (transport.ReceiveStream, error) {
	s, err := c.session.AcceptUniStream(ctx)
	if err != nil {
		return nil, c.callError(ctx, err)
	}
	return &receiveStream{s, c}, nil
}

// SendDatagram queues a copy: quic-go blocks once it holds too many.
func (c *carrier) SendDatagram(b []byte) error {
	if err := c.Err(); err != nil {
		return err
	}
	select {
	case c.datagrams <- append([]byte(nil), b...):
	default:
	}
	return nil
}

func (c *carrier) sendDatagrams() {
	for {
		select {
		case b := <-c.datagrams:
			_ = c.session.SendDatagram(b) // too large, or the session is over: lost, as datagrams may be
		case <-c.session.Context().Done():
			return
		}
	}
}

func (c *carrier) ReceiveDatagram(ctx context.Context) ([]byte, error) {
	b, err := c.session.ReceiveDatagram(ctx)
	if err == nil {
		return b, nil
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	<-c.done // it fails for the session's end only
	return nil, c.err
}

func (c *carrier) Protocol() string      { return c.session.SessionState().ApplicationProtocol }
func (c *carrier) Carrier() string       { return transport.CarrierWebTransport }
func (c *carrier) LocalAddr() net.Addr   { return c.session.LocalAddr() }
func (c *carrier) RemoteAddr() net.Addr  { return c.session.RemoteAddr() }
func (c *carrier) Done() <-chan struct{} { return c.done }

func (c *carrier) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

func (c *carrier) Stats() transport.Stats {
	s := c.conn.ConnectionStats()
	return transport.Stats{
		RTT: s.SmoothedRTT, MinRTT: s.MinRTT,
		BytesSent: s.BytesSent, BytesReceived: s.BytesReceived,
		PacketsSent: s.PacketsSent, PacketsReceived: s.PacketsReceived, PacketsLost: s.PacketsLost,
	}
}

// How long WriteThrough waits at first, and at most, until it looks again.
const (
	minSentWait = time.Millisecond
	maxSentWait = 100 * time.Millisecond
)

type stream struct {
	sendStream
	receiveStream
}

type sendStream struct {
	s interface {
		Write(p []byte) (int, error)
		Close() error
		CancelWrite(webtransport.StreamErrorCode)
		Context() context.Context
	}
	c *carrier
}

func (s *sendStream) Write(p []byte) (int, error) {
	n, err := s.s.Write(p)
	return n, s.c.streamError(err)
}

// WriteThrough waits until as much as p has left the connection since, of whatever kind:
// webtransport-go does not tell when p has.
func (s *sendStream) WriteThrough(p []byte) (int, error) {
	before := s.c.conn.ConnectionStats().BytesSent
	n, err := s.Write(p)
	if err != nil {
		return n, err
	}
	wait := minSentWait
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for s.c.conn.ConnectionStats().BytesSent-before < uint64(n) {
		select {
		case <-timer.C:
		case <-s.s.Context().Done():
			return n, s.c.streamError(context.Cause(s.s.Context()))
		}
		wait = min(2*wait, maxSentWait)
		timer.Reset(wait)
	}
	return n, nil
}

// TryWrite leaves p with the carrier whatever the peer's credit is: webtransport-go does not
// tell.
func (s *sendStream) TryWrite(p []byte) (bool, error) {
	_, err := s.Write(p)
	return err == nil, err
}

func (s *sendStream) Close() error                 { return s.c.streamError(s.s.Close()) }
func (s *sendStream) Reset(code moqerr.StreamCode) { s.s.CancelWrite(streamCode(code)) }
func (s *sendStream) SetPriority(int8, bool)       {} // webtransport-go has no way to say it
func (s *sendStream) Context() context.Context     { return s.s.Context() }

type receiveStream struct {
	s interface {
		Read(p []byte) (int, error)
		CancelRead(webtransport.StreamErrorCode)
		SetReadDeadline(time.Time) error
	}
	c *carrier
}

func (s *receiveStream) Read(p []byte) (int, error) {
	if !s.c.enter(s) {
		s.wake()
	}
	n, err := s.s.Read(p)
	s.c.exit(s)
	return n, s.c.streamError(err)
}

func (s *receiveStream) Stop(code moqerr.StreamCode) {
	s.s.CancelRead(streamCode(code))
	s.wake()
}

// wake ends a read whose stream was given up. quic-go wakes none that waits for what the peer
// delivers in spite of its reset, and forgets the stream, so that the end of the connection does
// not reach it either.
func (s *receiveStream) wake() { _ = s.s.SetReadDeadline(time.Now()) }

// enter notes that a stream is being read, until exit, unless the connection has ended.
func (c *carrier) enter(s *receiveStream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reading == nil {
		return false
	}
	c.reading[s] = struct{}{}
	return true
}

func (c *carrier) exit(s *receiveStream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.reading, s)
}

// wakeReaders ends every read.
func (c *carrier) wakeReaders() {
	c.mu.Lock()
	reading := c.reading
	c.reading = nil
	c.mu.Unlock()
	for s := range reading {
		s.wake()
	}
}

func (s *receiveStream) SetReadDeadline(t time.Time) error { return s.s.SetReadDeadline(t) }
