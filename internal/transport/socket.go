package transport

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/quic-go/quic-go"
	"golang.org/x/net/ipv4"
)

// observer hears what comes and goes on the socket of one dial. Its methods are called
// on the goroutines that read and write, concurrently with each other, and must not
// block.
type observer interface {
	// received says that at least one packet has come. It is called once for each
	// read, so once for a batch.
	received()
	// sent says that a packet, or a batch of them, was handed to the kernel.
	sent()
	// unreachable says that the kernel thinks that the peer or the network cannot be
	// reached. It is a hint: it may be forged, late, or told twice.
	unreachable(err error)
}

// socket is a dial's socket as [observe] makes it.
type socket interface {
	net.PacketConn
	// tolerate says that the handshake is over. From here on a packet that the kernel
	// refuses to send because peer or network are out of reach is a lost packet and a
	// hint: quic-go would end the connection, and a path that comes back would have
	// carried it. Before, the failure is returned, so that a dial to a dead network
	// fails at once. A refused connection is never returned: a dial goes on
	// retransmitting, as the server may be about to start.
	tolerate()
}

// observe wraps the socket of a dial. quic-go finds in the result what it would have
// found in c: batched reads, segmentation offload and ECN with a *net.UDPConn or
// another quic.OOBCapablePacketConn, else plain reads and writes.
//
// With icmp, and where the system can (Linux, a *net.UDPConn), the error queue of the
// socket is switched on, and what it tells becomes unreachable.
func observe(c net.PacketConn, o observer, icmp bool) socket {
	plain := &packetSocket{PacketConn: c, observer: o}
	if oob, ok := c.(quic.OOBCapablePacketConn); ok {
		if batch := batchReader(oob); batch != nil {
			udp, _ := c.(*net.UDPConn)
			if icmp && udp != nil {
				plain.errors = openErrorQueue(udp, o.unreachable)
			}
			return &batchSocket{packetSocket: plain, inner: oob, batch: batch, udp: udp}
		}
	}
	if raw, ok := c.(syscall.Conn); ok {
		return &rawSocket{packetSocket: plain, Conn: raw}
	}
	return plain
}

// errorQueue is where the kernel keeps what became of packets that were sent.
type errorQueue interface {
	// drain empties the queue and reports whether it gave a hint.
	drain() bool
	// wait returns when the runtime's poller can read the socket again, see notPollable.
	wait() error
}

// packetSocket observes a socket of any kind.
type packetSocket struct {
	net.PacketConn
	observer observer
	errors   errorQueue // nil: none
	tolerant atomic.Bool
}

func (s *packetSocket) tolerate() { s.tolerant.Store(true) }

// ReadFrom implements net.PacketConn.
func (s *packetSocket) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, addr, err := s.PacketConn.ReadFrom(b)
		if err == nil {
			s.observer.received()
			return n, addr, nil
		}
		if !s.readAgain(err) {
			return n, addr, err
		}
	}
}

// WriteTo implements net.PacketConn.
func (s *packetSocket) WriteTo(b []byte, addr net.Addr) (int, error) {
	n, err := s.PacketConn.WriteTo(b, addr)
	if err != nil && s.writeAgain(err) {
		n, err = s.PacketConn.WriteTo(b, addr)
	}
	if s.lost(err) {
		return len(b), nil
	}
	return n, err
}

var errNoBuffers = errors.New("the socket's buffers cannot be set")

// SetReadBuffer sets the size of the kernel's buffer, if the inner socket can. quic-go
// says the same of one that cannot as of one without the method.
func (s *packetSocket) SetReadBuffer(bytes int) error {
	if c, ok := s.PacketConn.(interface{ SetReadBuffer(int) error }); ok {
		return c.SetReadBuffer(bytes)
	}
	return errNoBuffers
}

// SetWriteBuffer is SetReadBuffer for the other direction.
func (s *packetSocket) SetWriteBuffer(bytes int) error {
	if c, ok := s.PacketConn.(interface{ SetWriteBuffer(int) error }); ok {
		return c.SetWriteBuffer(bytes)
	}
	return errNoBuffers
}

// readAgain says whether a read that failed is to be repeated, since what failed was not
// the read but a packet sent earlier. Any other failure ends quic-go's Transport.
func (s *packetSocket) readAgain(err error) bool {
	if s.errors == nil {
		return false
	}
	if notPollable(err) {
		s.errors.drain()
		return s.errors.wait() == nil
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok || !reported(errno) {
		return false
	}
	// The queue may have been full, or emptied by a writer.
	if !s.errors.drain() && unreachable(errno) {
		s.observer.unreachable(errno)
	}
	return true
}

// writeAgain says whether a write that failed is to be repeated: one that was handed the
// error of an earlier packet did not leave.
func (s *packetSocket) writeAgain(err error) bool {
	if s.errors == nil {
		return false
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	if !ok || !reported(errno) {
		return false
	}
	s.errors.drain()
	return true
}

// lost counts a write and says whether its failure is nothing but a lost packet.
func (s *packetSocket) lost(err error) bool {
	if err == nil {
		s.observer.sent()
		return false
	}
	errno, ok := errors.AsType[syscall.Errno](err)
	switch {
	case !ok:
		return false
	case congested(errno):
		// Nothing is out of reach. Linux tells it only with IP_RECVERR, others always.
		return true
	case refused(errno):
	case unreachable(errno) && s.tolerant.Load():
	default:
		return false
	}
	s.observer.unreachable(err)
	return true
}

// notPollable recognizes an error that package net does not export. When an error is
// pending while the send buffer is more than half full, the poller sees the error
// alone, and fails all reads until it sees something else.
func notPollable(err error) bool {
	if errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	return strings.HasSuffix(err.Error(), "not pollable")
}

// rawSocket lets quic-go set options on the inner socket.
type rawSocket struct {
	*packetSocket
	syscall.Conn
}

// batch reads several packets at once.
type batch interface {
	ReadBatch(ms []ipv4.Message, flags int) (int, error)
}

// batchReader is nil for a socket that quic-go would refuse as one that can do batches.
func batchReader(c quic.OOBCapablePacketConn) batch {
	if b, ok := c.(batch); ok {
		return b
	}
	if _, ok := c.(net.Conn); ok {
		return ipv4.NewPacketConn(c)
	}
	return nil
}

// batchSocket keeps what makes quic-go fast. quic-go reads with ReadBatch alone: if the
// method were missing it would read the descriptor past us.
type batchSocket struct {
	*packetSocket
	inner quic.OOBCapablePacketConn
	batch batch
	udp   *net.UDPConn // nil if inner is something else
}

var _ quic.OOBCapablePacketConn = (*batchSocket)(nil)

// SyscallConn implements syscall.Conn.
func (s *batchSocket) SyscallConn() (syscall.RawConn, error) { return s.inner.SyscallConn() }

// ReadBatch reads at least one packet.
func (s *batchSocket) ReadBatch(ms []ipv4.Message, flags int) (int, error) {
	for {
		n, err := s.batch.ReadBatch(ms, flags)
		if err == nil {
			s.observer.received()
			return n, nil
		}
		if !s.readAgain(err) {
			return n, err
		}
	}
}

// ReadMsgUDP implements quic.OOBCapablePacketConn.
func (s *batchSocket) ReadMsgUDP(b, oob []byte) (n, oobn, flags int, addr *net.UDPAddr, err error) {
	for {
		n, oobn, flags, addr, err = s.inner.ReadMsgUDP(b, oob)
		if err == nil {
			s.observer.received()
			return n, oobn, flags, addr, nil
		}
		if !s.readAgain(err) {
			return n, oobn, flags, addr, err
		}
	}
}

// WriteMsgUDP implements quic.OOBCapablePacketConn.
func (s *batchSocket) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = s.write(b, oob, addr)
	if err != nil && s.writeAgain(err) {
		n, oobn, err = s.write(b, oob, addr)
	}
	if s.lost(err) {
		return len(b), len(oob), nil
	}
	return n, oobn, err
}

func (s *batchSocket) write(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	if s.udp == nil || addr == nil || addr.Zone != "" {
		return s.inner.WriteMsgUDP(b, oob, addr)
	}
	// Unlike the other form, this one does not allocate.
	to := addr.AddrPort()
	return s.udp.WriteMsgUDPAddrPort(b, oob, netip.AddrPortFrom(to.Addr().Unmap(), to.Port()))
}
