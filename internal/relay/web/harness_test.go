package web

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/moqerr"
)

const (
	latency = 20 * time.Millisecond // one way
	rtt     = 2 * latency
)

// bed is a simulated network with a server that hands out carriers, and no relay.
type bed struct {
	t      *testing.T
	net    *testnet.Network
	socket net.PacketConn
	conns  chan *carrier
}

// inBubble runs f on virtual time. It fails if a goroutine is left at the end.
func inBubble(t *testing.T, f func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{t: t, net: testnet.New(t, latency), conns: make(chan *carrier, 1)}
		b.serve()
		f(t, b)
	})
}

func (b *bed) serve() {
	b.t.Helper()
	b.socket = b.net.Socket()
	server := &webtransport.Server{H3: &http3.Server{}, ApplicationProtocols: []string{"moq-lite-06"}}
	server.H3.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		session, err := server.Upgrade(w, req)
		if err != nil {
			return
		}
		b.conns <- newCarrier(session, req.Context().Value(visitorKey{}).(*quic.Conn))
	})
	server.H3.ConnContext = func(ctx context.Context, conn *quic.Conn) context.Context {
		return context.WithValue(ctx, visitorKey{}, conn)
	}
	tr := &quic.Transport{Conn: b.socket}
	conf := &tls.Config{Certificates: []tls.Certificate{testnet.Certificate(b.t)}, NextProtos: []string{"h3"}}
	listener, err := tr.Listen(conf, &quic.Config{
		EnableDatagrams: true, EnableStreamResetPartialDelivery: true, MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 3 * time.Second,
	})
	require.NoError(b.t, err)
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			work.Go(func() { _ = server.ServeQUICConn(conn) })
		}
	})
	b.t.Cleanup(func() {
		_ = tr.Close()
		_ = server.Close()
		_ = b.socket.Close()
		work.Wait()
	})
}

// pair is a connection of our client's, and the carrier at its other end.
func (b *bed) pair() (ours transport.Conn, theirs *carrier) {
	b.t.Helper()
	d := &transport.Dialer{
		Protocols:    []string{"moq-lite-06"},
		TLS:          &tls.Config{RootCAs: testnet.Roots(b.t), ServerName: "localhost"},
		ListenPacket: b.net.ListenPacket,
		QUIC:         &quic.Config{MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: 3 * time.Second},
	}
	target, err := transport.ParseURL("https://" + b.socket.LocalAddr().String() + "/path")
	require.NoError(b.t, err)
	ours, err = d.Dial(b.t.Context(), target, transport.Trial{})
	require.NoError(b.t, err)
	theirs = <-b.conns
	b.t.Cleanup(func() {
		_ = ours.Close(0, "end of test")
		_ = theirs.Close(0, "end of test")
	})
	return ours, theirs
}

// bare is a client that speaks HTTP/3, and leaves WebTransport to the test.
type bare struct {
	t    *testing.T
	conn *quic.Conn
	h3   *http3.RawClientConn
}

func dialBare(t *testing.T, n *testnet.Network, to net.Addr, conf *tls.Config) *bare {
	t.Helper()
	socket := n.Socket()
	tr := &quic.Transport{Conn: socket}
	conn, err := tr.Dial(t.Context(), to, conf, &quic.Config{
		EnableDatagrams: true, EnableStreamResetPartialDelivery: true, KeepAlivePeriod: time.Second,
	})
	require.NoError(t, err)
	var work sync.WaitGroup
	h3 := (&http3.Transport{
		EnableDatagrams:    true,
		AdditionalSettings: map[uint64]uint64{0x2c7cf000: 1, 0x2b603742: 1, 0xc671706a: 1},
	}).NewRawClientConn(conn)
	work.Go(func() {
		for {
			stream, err := conn.AcceptUniStream(context.Background())
			if err != nil {
				return
			}
			work.Go(func() { h3.HandleUnidirectionalStream(stream) })
		}
	})
	t.Cleanup(func() {
		_ = conn.CloseWithError(0, "")
		_ = tr.Close()
		work.Wait()
	})
	return &bare{t: t, conn: conn, h3: h3}
}

// connect asks for a session and returns the answer's status and the CONNECT stream.
func (c *bare) connect(protocol, path string) (int, *http3.RequestStream) {
	c.t.Helper()
	stream, err := c.h3.OpenRequestStream(c.t.Context())
	require.NoError(c.t, err)
	req, err := http.NewRequest(http.MethodConnect, "https://localhost"+path, nil)
	require.NoError(c.t, err)
	req.Proto = protocol
	req.Header.Set("WT-Available-Protocols", `"moq-lite-06"`)
	require.NoError(c.t, stream.SendRequestHeader(req))
	res, err := stream.ReadResponse()
	require.NoError(c.t, err)
	return res.StatusCode, stream
}

// bare dials the bed's server and asks for a session.
func (b *bed) bare() (*bare, *http3.RequestStream, *carrier) {
	b.t.Helper()
	c := dialBare(b.t, b.net, b.socket.LocalAddr(), &tls.Config{
		RootCAs: testnet.Roots(b.t), ServerName: "localhost", NextProtos: []string{"h3"},
	})
	status, stream := c.connect("webtransport", "/")
	require.Equal(b.t, http.StatusOK, status)
	return c, stream, <-b.conns
}

// pinned trusts a relay's certificate only.
func pinned(r *relay.Relay) *tls.Config {
	return &tls.Config{
		NextProtos:         []string{"h3"},
		InsecureSkipVerify: true, // VerifyConnection does
		VerifyConnection: func(s tls.ConnectionState) error {
			if relay.Fingerprint(tls.Certificate{Certificate: [][]byte{s.PeerCertificates[0].Raw}}) != r.Fingerprint() {
				return errors.New("another certificate")
			}
			return nil
		},
	}
}

func sessionError(t *testing.T, err error) *moqerr.SessionError {
	t.Helper()
	said, ok := errors.AsType[*moqerr.SessionError](err)
	require.True(t, ok, "%v", err)
	return said
}
