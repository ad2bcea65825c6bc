package transport

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
	"github.com/stretchr/testify/require"
)

// server accepts raw QUIC and WebTransport on one socket, and hands out both as
// Conns: raw ones are this package's own, WebTransport ones webtransport-go's.
type server struct {
	t     *testing.T
	addr  netip.AddrPort
	cert  tls.Certificate
	conns chan Conn
	quics chan *quic.Conn // what the listener accepted
	tr    *quic.Transport
	wt    *webtransport.Server
	wg    sync.WaitGroup
}

type serverOptions struct {
	alpn      []string // nil: protocols and h3
	protocols []string // WebTransport's; nil: protocols
	handler   http.HandlerFunc
	bare      func(*quic.Conn) // takes h3 connections instead of the WebTransport server
	quic      *quic.Config
}

func (n *network) serve(o serverOptions) *server {
	n.t.Helper()
	if o.alpn == nil {
		o.alpn = append([]string{"h3"}, protocols...)
	}
	if o.protocols == nil {
		o.protocols = protocols
	}
	if o.quic == nil {
		o.quic = quicConfig()
	}
	socket := n.socket()
	s := &server{
		t: n.t, addr: addrOf(socket), cert: newCert(n.t),
		conns: make(chan Conn, 32), quics: make(chan *quic.Conn, 32),
		tr: &quic.Transport{Conn: socket},
	}
	config := &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: o.alpn}
	if o.handler == nil {
		o.handler = s.upgrade
	}
	h3 := &http3.Server{TLSConfig: config, Handler: o.handler}
	webtransport.ConfigureHTTP3Server(h3)
	s.wt = &webtransport.Server{H3: h3, ApplicationProtocols: o.protocols}
	if o.bare == nil {
		o.bare = func(c *quic.Conn) { _ = s.wt.ServeQUICConn(c) }
	}
	listener, err := s.tr.Listen(config, o.quic)
	require.NoError(n.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() { s.accept(ctx, listener, o.bare) })
	n.t.Cleanup(func() {
		cancel()
		_ = s.wt.Close()
		_ = s.tr.Close()
		_ = socket.Close()
		s.wg.Wait()
	})
	return s
}

func (s *server) accept(ctx context.Context, listener *quic.Listener, h3 func(*quic.Conn)) {
	for {
		c, err := listener.Accept(ctx)
		if err != nil {
			return
		}
		s.quics <- c
		if c.ConnectionState().TLS.NegotiatedProtocol == "h3" {
			s.wg.Go(func() { h3(c) })
			continue
		}
		s.conns <- NewQUIC(c, nil)
	}
}

func (s *server) upgrade(w http.ResponseWriter, r *http.Request) {
	session, err := s.wt.Upgrade(w, r)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	s.conns <- newWTPeer(session)
}

// target is the server's URL with the given scheme.
func (s *server) target(scheme string) *Target {
	s.t.Helper()
	t, err := ParseURL(scheme + "://" + s.addr.String() + "/path?jwt=secret")
	require.NoError(s.t, err)
	return t
}

// pair is a connection of ours and its other end.
func (n *network) pair(scheme string, o serverOptions) (ours, theirs Conn, s *server) {
	n.t.Helper()
	s = n.serve(o)
	ours, err := n.dialer(s.cert).Dial(testContext(n.t), s.target(scheme), Trial{})
	require.NoError(n.t, err)
	n.t.Cleanup(func() { require.NoError(n.t, ours.Close(0, "end of test")) })
	theirs = <-s.conns
	return ours, theirs, s
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// onAll runs f over both carriers, on loopback and in a bubble.
func onAll(t *testing.T, f func(t *testing.T, n *network, scheme string)) {
	t.Helper()
	for name, scheme := range map[string]string{"quic": "moqt", "webtransport": "https"} {
		t.Run(name+"/loopback", func(t *testing.T) { f(t, loopback(t), scheme) })
		t.Run(name+"/simulated", func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) { f(t, n, scheme) })
		})
	}
}
