package transport

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
)

// route is how a socket of ours reaches a server.
type route struct{ server, address, ours string }

// routes are those of this machine: one without IPv6 has the first only.
func routes(t *testing.T) map[string]route {
	t.Helper()
	all := map[string]route{"udp4": {"udp4", "127.0.0.1:0", "udp4"}}
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err == nil {
		require.NoError(t, c.Close())
		all["udp6"] = route{"udp6", "[::1]:0", "udp6"}
		all["both families to IPv4"] = route{"udp4", "127.0.0.1:0", "udp"}
		all["both families to IPv6"] = route{"udp6", "[::1]:0", "udp"}
	}
	return all
}

func TestAKilledServerIsAHintAndNotTheEnd(t *testing.T) {
	for name, r := range routes(t) {
		t.Run(name, func(t *testing.T) {
			e := newEar()
			server := serveEcho(t, r.server, r.address)
			s := observe(listen(t, r.ours, ":0"), e, true)
			conn := dialOn(t, s, server.addr())
			s.tolerate()
			server.talk(t, conn)
			require.Empty(t, e.hints)

			addr := server.addr()
			server.kill()
			require.NoError(t, conn.SendDatagram([]byte("anybody?")))
			hint := await(t, e.hints, "hint")
			require.ErrorIs(t, hint, syscall.ECONNREFUSED)
			require.NoError(t, conn.Context().Err(), "a hint may be forged")

			again := listen(t, r.server, addr.String())
			require.NoError(t, conn.SendDatagram([]byte("and now?")))
			require.NoError(t, again.SetReadDeadline(time.Now().Add(patience)))
			n, _, err := again.ReadFrom(make([]byte, 2000))
			require.NoError(t, err)
			require.NotZero(t, n)
			require.NoError(t, conn.Context().Err())
		})
	}
}

func TestADialToADeadPortGoesOn(t *testing.T) {
	e := newEar()
	dead := listen(t, "udp4", "127.0.0.1:0")
	addr := dead.LocalAddr()
	require.NoError(t, dead.Close())
	s := observe(listen(t, "udp4", ":0"), e, true)
	tr := &quic.Transport{Conn: s}
	defer func() {
		_ = s.Close()
		_ = tr.Close()
	}()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	failed := make(chan error, 1)
	go func() {
		_, err := tr.Dial(ctx, addr, &tls.Config{InsecureSkipVerify: true, NextProtos: protocols}, quicConfig())
		failed <- err
	}()
	require.ErrorIs(t, await(t, e.hints, "hint"), syscall.ECONNREFUSED)
	// The next ones come of retransmissions: the dial lives.
	for range 2 {
		require.ErrorIs(t, await(t, e.hints, "hint"), syscall.ECONNREFUSED)
	}
	require.Empty(t, failed)
	cancel()
	require.ErrorIs(t, await(t, failed, "end of the dial"), context.Canceled)
}

func TestWithoutTheErrorQueueNothingIsTold(t *testing.T) {
	dead := listen(t, "udp4", "127.0.0.1:0")
	addr := dead.LocalAddr().(*net.UDPAddr)
	require.NoError(t, dead.Close())
	for _, icmp := range []bool{true, false} {
		e := newEar()
		s := observe(listen(t, "udp4", ":0"), e, icmp).(*batchSocket)
		for range 3 {
			_, err := s.WriteTo([]byte("x"), addr)
			require.NoError(t, err)
			_, _, err = s.WriteMsgUDP([]byte("x"), nil, addr)
			require.NoError(t, err)
		}
		// On loopback the answer is there before the call is over.
		require.NoError(t, s.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		_, _, err := s.ReadFrom(make([]byte, 10))
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		require.Equal(t, icmp, len(e.hints) > 0)
		require.EqualValues(t, 6, e.writes.Load(), "what was refused is sent again")
	}
}

// segmenting stands between quic-go and our socket, and counts the batches that left.
type segmenting struct {
	*batchSocket
	batches atomic.Int64
}

func (s *segmenting) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	const udpSegment = 103
	n, oobn, err = s.batchSocket.WriteMsgUDP(b, oob, addr)
	messages, _ := syscall.ParseSocketControlMessage(oob)
	for _, m := range messages {
		if err == nil && m.Header.Level == syscall.IPPROTO_UDP && m.Header.Type == udpSegment {
			s.batches.Add(1)
		}
	}
	return n, oobn, err
}

func TestSegmentationOffloadIsKept(t *testing.T) {
	for name, r := range routes(t) {
		t.Run(name, func(t *testing.T) {
			e := newEar()
			server := serveEcho(t, r.server, r.address)
			s := &segmenting{batchSocket: observe(listen(t, r.ours, ":0"), e, true).(*batchSocket)}
			conn := dialOn(t, s, server.addr())
			server.talk(t, conn)
			require.Greater(t, s.batches.Load(), int64(10))
			require.Less(t, e.writes.Load(), int64(conn.ConnectionStats().PacketsSent), "a batch counts once")
			require.Less(t, e.reads.Load(), int64(conn.ConnectionStats().PacketsReceived), "reads come in batches")
		})
	}
}

func TestAPendingErrorOfAnEarlierPacket(t *testing.T) {
	observed := func(errs ...error) (*packetSocket, *faulty, *fakeQueue, *ear) {
		f, q, e := &faulty{errs: errs}, &fakeQueue{}, newEar()
		s := observe(f, e, true).(*packetSocket)
		s.errors = q
		return s, f, q, e
	}
	t.Run("is no failure of a read", func(t *testing.T) {
		// A router's "too large" comes this way too, and would end the Transport.
		s, _, q, e := observed(syscall.EMSGSIZE, syscall.EHOSTUNREACH, syscall.EPROTO)
		_, _, err := s.ReadFrom(nil)
		require.NoError(t, err)
		require.Equal(t, 3, q.drains)
		require.EqualValues(t, 1, e.reads.Load())
		require.Len(t, e.hints, 1)
		require.ErrorIs(t, <-e.hints, syscall.EHOSTUNREACH)
	})
	t.Run("is told once by the queue", func(t *testing.T) {
		s, _, q, e := observed(syscall.ECONNREFUSED)
		q.tells = func() bool { return true }
		_, _, err := s.ReadFrom(nil)
		require.NoError(t, err)
		require.Empty(t, e.hints)
	})
	t.Run("makes a write try again", func(t *testing.T) {
		for _, pending := range []error{syscall.EMSGSIZE, syscall.EHOSTUNREACH, syscall.ECONNREFUSED} {
			s, f, q, e := observed(pending)
			_, err := s.WriteTo(nil, nil)
			require.NoError(t, err)
			require.Equal(t, 2, f.calls)
			require.Equal(t, 1, q.drains)
			require.EqualValues(t, 1, e.writes.Load())
		}
	})
	t.Run("is told from the packet's own", func(t *testing.T) {
		s, f, _, e := observed(syscall.EMSGSIZE, syscall.EMSGSIZE)
		s.tolerate()
		_, err := s.WriteTo(nil, nil)
		require.ErrorIs(t, err, syscall.EMSGSIZE, "path MTU discovery needs it")
		require.Equal(t, 2, f.calls)
		require.Empty(t, e.hints)
		require.Zero(t, e.writes.Load())
	})
	t.Run("is not what ends a socket", func(t *testing.T) {
		for _, other := range []error{syscall.EBADF, net.ErrClosed, os.ErrDeadlineExceeded} {
			s, f, q, _ := observed(other)
			_, _, err := s.ReadFrom(nil)
			require.ErrorIs(t, err, other)
			require.Equal(t, 1, f.calls)
			require.Zero(t, q.drains)
		}
	})
}

// A pipe whose reader has gone while it was full is the simplest thing of which the
// poller sees an error and nothing else, as of a socket with a full send buffer.
func TestAnErrorThatThePollerSeesAlone(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	defer w.Close()
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = w.Write(make([]byte, 1<<21))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	require.False(t, notPollable(err))
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(patience)))
	raw, err := w.SyscallConn()
	require.NoError(t, err)
	waits := 0
	require.NoError(t, raw.Write(func(uintptr) bool {
		waits++
		if waits == 1 {
			require.NoError(t, r.Close())
		}
		return waits > 1
	}))
	_, alone := w.Read(make([]byte, 1))
	require.True(t, notPollable(alone), "%v", alone)
	require.False(t, notPollable(net.ErrClosed))

	f, q := &faulty{}, &fakeQueue{}
	s := observe(f, newEar(), true).(*packetSocket)
	s.errors = q
	require.True(t, s.readAgain(alone))
	require.Equal(t, fakeQueue{drains: 1, waits: 1}, *q)
}

func TestWaitingForThePoller(t *testing.T) {
	c := listen(t, "udp4", "127.0.0.1:0")
	q := openErrorQueue(c, func(error) {})
	require.NotNil(t, q)
	require.NoError(t, q.wait(), "there is room to send")
	require.NoError(t, c.Close())
	require.ErrorIs(t, q.wait(), net.ErrClosed)
	require.False(t, q.drain())
	require.Nil(t, openErrorQueue(c, func(error) {}))
}

// control is what the kernel sends with an error: a header, and sock_extended_err.
func control(level, kind int32, errno uint32, origin byte, size int) []byte {
	b := make([]byte, syscall.CmsgSpace(size))
	h := b[:syscall.CmsgLen(0)]
	if len(h) == 16 {
		binary.NativeEndian.PutUint64(h, uint64(syscall.CmsgLen(size)))
	} else {
		binary.NativeEndian.PutUint32(h, uint32(syscall.CmsgLen(size)))
	}
	binary.NativeEndian.PutUint32(h[len(h)-8:], uint32(level))
	binary.NativeEndian.PutUint32(h[len(h)-4:], uint32(kind))
	data := make([]byte, 32)
	binary.NativeEndian.PutUint32(data, errno)
	data[4] = origin
	copy(b[len(h):], data[:size])
	return b
}

func TestParseTheErrorQueue(t *testing.T) {
	refused := uint32(syscall.ECONNREFUSED)
	for name, c := range map[string]struct {
		control []byte
		errno   syscall.Errno
	}{
		"IPv4":               {control(syscall.IPPROTO_IP, syscall.IP_RECVERR, refused, originICMP, 32), syscall.ECONNREFUSED},
		"IPv6":               {control(syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, refused, originICMP6, 32), syscall.ECONNREFUSED},
		"IPv4 on IPv6":       {control(syscall.IPPROTO_IPV6, syscall.IPV6_RECVERR, refused, originICMP, 32), syscall.ECONNREFUSED},
		"local":              {control(syscall.IPPROTO_IP, syscall.IP_RECVERR, uint32(syscall.EMSGSIZE), originLocal, 32), syscall.EMSGSIZE},
		"after the TOS":      {append(control(syscall.IPPROTO_IP, syscall.IP_TOS, 2, 0, 1), control(syscall.IPPROTO_IP, syscall.IP_RECVERR, refused, originICMP, 16)...), syscall.ECONNREFUSED},
		"timestamp":          {control(syscall.IPPROTO_IP, syscall.IP_RECVERR, uint32(syscall.ENOMSG), 4, 32), 0},
		"short":              {control(syscall.IPPROTO_IP, syscall.IP_RECVERR, refused, originICMP, 15), 0},
		"something else":     {control(syscall.IPPROTO_IP, syscall.IP_PKTINFO, refused, originICMP, 32), 0},
		"nothing":            {nil, 0},
		"less than a header": {make([]byte, 3), 0},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.errno, queuedError(c.control)) })
	}
	whole := control(syscall.IPPROTO_IP, syscall.IP_RECVERR, refused, originICMP, 16)
	for n := range whole {
		require.Zero(t, queuedError(whole[:n]), "cut at %d", n)
	}
	require.False(t, unreachable(syscall.EMSGSIZE), "the path's MTU is no hint")
	require.False(t, unreachable(0))
}
