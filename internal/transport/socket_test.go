package transport

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/ipv4"
)

// ear is an observer that counts. It keeps the first hints.
type ear struct {
	reads, writes atomic.Int64
	hints         chan error
}

func newEar() *ear { return &ear{hints: make(chan error, 64)} }

func (e *ear) received() { e.reads.Add(1) }
func (e *ear) sent()     { e.writes.Add(1) }
func (e *ear) unreachable(err error) {
	select {
	case e.hints <- err:
	default:
	}
}

// faulty is a PacketConn whose calls fail, one after the other, and then do not.
type faulty struct {
	net.PacketConn
	errs  []error
	calls int
}

func (f *faulty) next() error {
	f.calls++
	if len(f.errs) == 0 {
		return nil
	}
	err := f.errs[0]
	f.errs = f.errs[1:]
	if err != nil {
		return &net.OpError{Op: "call", Net: "udp", Err: os.NewSyscallError("call", err)}
	}
	return nil
}

func (f *faulty) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), f.next() }
func (f *faulty) ReadFrom([]byte) (int, net.Addr, error)    { return 1, nil, f.next() }

// fakeQueue is an error queue that counts, and has one hint or none for each drain.
type fakeQueue struct {
	tells         func() bool
	drains, waits int
}

func (q *fakeQueue) drain() bool { q.drains++; return q.tells != nil && q.tells() }
func (q *fakeQueue) wait() error { q.waits++; return nil }

// A user's own socket, and the simulated one, are no more than a PacketConn.
func TestAPlainSocketStaysPlain(t *testing.T) {
	e := newEar()
	server := serveEcho(t, "udp4", "127.0.0.1:0")
	s := observe(struct{ net.PacketConn }{listen(t, "udp4", "127.0.0.1:0")}, e, true)
	_, oob := s.(quic.OOBCapablePacketConn)
	require.False(t, oob)
	_, raw := s.(syscall.Conn)
	require.False(t, raw, "quic-go would fail if it asked for a descriptor in vain")
	server.talk(t, dialOn(t, s, server.addr()))
	require.NotZero(t, e.reads.Load())
	require.NotZero(t, e.writes.Load())
	require.Empty(t, e.hints)
}

// reading shadows the methods that a socket with a descriptor, but without batches, has.
type reading struct{ *net.UDPConn }

func (reading) WriteMsgUDP() {}

func TestASocketWithADescriptorKeepsIt(t *testing.T) {
	c := listen(t, "udp4", "127.0.0.1:0")
	s := observe(reading{c}, newEar(), true)
	_, oob := s.(quic.OOBCapablePacketConn)
	require.False(t, oob)
	raw, ok := s.(syscall.Conn)
	require.True(t, ok)
	_, err := raw.SyscallConn()
	require.NoError(t, err)
	buffers := s.(interface {
		SetReadBuffer(int) error
		SetWriteBuffer(int) error
	})
	require.NoError(t, buffers.SetReadBuffer(1<<16))
	require.NoError(t, buffers.SetWriteBuffer(1<<16))
}

// overriding is a user's wrapper: what it overrides must be what is called.
type overriding struct {
	*net.UDPConn
	writes atomic.Int64
}

func (o *overriding) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	o.writes.Add(1)
	return o.UDPConn.WriteMsgUDP(b, oob, addr)
}

func TestAWrapperOfAUDPSocketKeepsItsMethods(t *testing.T) {
	e := newEar()
	server := serveEcho(t, "udp4", "127.0.0.1:0")
	inner := &overriding{UDPConn: listen(t, "udp4", "127.0.0.1:0")}
	s := observe(inner, e, true)
	_, oob := s.(quic.OOBCapablePacketConn)
	require.True(t, oob)
	server.talk(t, dialOn(t, s, server.addr()))
	require.NotZero(t, e.reads.Load())
	heard := e.writes.Load() // the connection lives: another may be under way
	require.GreaterOrEqual(t, inner.writes.Load(), heard, "none goes past it")
	require.NotZero(t, heard)
}

// oneByte reads without a socket, and so without x/net's allocations for addresses.
type oneByte struct{}

func (oneByte) ReadBatch([]ipv4.Message, int) (int, error) { return 1, nil }

func TestObservingAllocatesNothing(t *testing.T) {
	c, peer := listen(t, "udp4", "127.0.0.1:0"), listen(t, "udp4", "127.0.0.1:0")
	s := observe(c, newEar(), true).(*batchSocket)
	s.tolerate()
	s.batch = oneByte{}
	addr, b, oob := peer.LocalAddr().(*net.UDPAddr), make([]byte, 100), make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, _, err := s.WriteMsgUDP(b, oob, addr)
		require.NoError(t, err)
		_, _, err = peer.ReadFromUDPAddrPort(b)
		require.NoError(t, err)
	}))
	ms := make([]ipv4.Message, 1)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		_, err := s.ReadBatch(ms, 0)
		require.NoError(t, err)
	}))
}

func TestCloseEndsReadsAndWrites(t *testing.T) {
	dead := listen(t, "udp4", "127.0.0.1:0")
	addr := dead.LocalAddr().(*net.UDPAddr)
	require.NoError(t, dead.Close())
	for range 20 {
		s := observe(listen(t, "udp4", "127.0.0.1:0"), newEar(), true).(*batchSocket)
		s.tolerate()
		var wg sync.WaitGroup
		errs := make(chan error, 2)
		started := make(chan struct{}, 2)
		wg.Go(func() {
			ms := []ipv4.Message{{Buffers: [][]byte{make([]byte, 100)}, OOB: make([]byte, 128)}}
			started <- struct{}{}
			_, err := s.ReadBatch(ms, 0)
			errs <- err
		})
		wg.Go(func() {
			for i := 0; ; i++ {
				if _, _, err := s.WriteMsgUDP([]byte("x"), nil, addr); err != nil {
					errs <- err
					return
				}
				if i == 10 {
					started <- struct{}{}
				}
			}
		})
		<-started
		<-started
		require.NoError(t, s.Close())
		wg.Wait()
		require.ErrorIs(t, <-errs, net.ErrClosed)
		require.ErrorIs(t, <-errs, net.ErrClosed)
	}
}

// echo is a server that sends back what comes on a stream.
type echo struct {
	socket *net.UDPConn
	tr     *quic.Transport
}

func serveEcho(t *testing.T, network, address string) *echo {
	t.Helper()
	s := &echo{socket: listen(t, network, address)}
	s.tr = &quic.Transport{Conn: s.socket}
	l, err := s.tr.Listen(&tls.Config{Certificates: []tls.Certificate{newCert(t)}, NextProtos: protocols}, quicConfig())
	require.NoError(t, err)
	var wg sync.WaitGroup
	ctx, cancel := context.WithCancel(context.Background())
	wg.Go(func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			wg.Go(func() {
				for {
					str, err := c.AcceptStream(ctx)
					if err != nil {
						return
					}
					_, _ = io.Copy(str, str)
					_ = str.Close()
				}
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		s.kill()
		wg.Wait()
	})
	return s
}

func (s *echo) addr() *net.UDPAddr { return s.socket.LocalAddr().(*net.UDPAddr) }

// kill is what the end of a process does: the port is closed, and nobody says goodbye.
func (s *echo) kill() {
	_ = s.socket.Close()
	_ = s.tr.Close()
}

// dialOn makes a connection on the socket that lasts as long as the test.
func dialOn(t *testing.T, c net.PacketConn, addr net.Addr) *quic.Conn {
	t.Helper()
	tr := &quic.Transport{Conn: c}
	t.Cleanup(func() {
		_ = c.Close()
		_ = tr.Close()
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := tr.Dial(ctx, addr, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}, quicConfig())
	require.NoError(t, err)
	return conn
}

// talk sends a megabyte there and back.
func (s *echo) talk(t *testing.T, conn *quic.Conn) {
	t.Helper()
	str, err := conn.OpenStreamSync(testContext(t))
	require.NoError(t, err)
	require.NoError(t, str.SetDeadline(time.Now().Add(patience)))
	said := make([]byte, 1<<20)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		_, _ = str.Write(said)
		_ = str.Close()
	})
	heard, err := io.ReadAll(str)
	require.NoError(t, err)
	require.Len(t, heard, len(said))
}

// listen makes a real socket.
func listen(t *testing.T, network, address string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.UDPConn)
}

const patience = 5 * time.Second // bounds what must happen, on a busy machine

func await[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		require.FailNow(t, "nothing came", what)
		panic("unreachable")
	}
}
