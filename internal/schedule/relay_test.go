package schedule_test

import (
	"context"
	"crypto/tls"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/relay/web"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/moqerr"
)

var relayAt = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, 1}), 4443)

// server is a relay that comes and goes. Each one knows nothing of the one before.
type server struct {
	t   *testing.T
	net *testnet.Network
	up  *relay.Relay
	web func() error

	// A group whose stream is reset before its head has come can be named by nobody, and is
	// waited for as long as the track's Max Age says. If that is long, such resets are left out.
	early bool

	mu     sync.Mutex
	guests []guest
	cuts   time.Duration // how long a session lives; negative: as long as it likes
	conns  []*flaky
}

// guest is a session.
type guest struct {
	side  side
	evict chan error
}

// leave ends it; a second reason is left out.
func (g guest) leave(code moqerr.SessionCode, reason string) {
	select {
	case g.evict <- &moqerr.SessionError{Code: code, Reason: reason}:
	default:
	}
}

func newServer(t *testing.T, n *testnet.Network, early bool) *server {
	s := &server{t: t, net: n, cuts: -1, early: early}
	s.start()
	return s
}

// start lets a new relay serve.
func (s *server) start() {
	up, err := relay.New(relay.Config{
		TLS:   &tls.Config{Certificates: []tls.Certificate{testnet.Certificate(s.t)}},
		Evict: s.admitted,
	})
	require.NoError(s.t, err)
	for _, alpn := range up.Versions() {
		up.Handle(alpn, func(conn *quic.Conn) { s.serve(up, conn) })
	}
	s.up, s.web = up, web.Enable(up)
	require.NoError(s.t, up.Serve(s.net.At(relayAt)))
}

// stop closes the relay, as it is told how.
func (s *server) stop(how func(*relay.Relay) error) {
	require.NoError(s.t, how(s.up))
	require.NoError(s.t, s.web())
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guests, s.conns = nil, nil
}

// serve serves a raw QUIC connection, whose streams can be reset.
func (s *server) serve(up *relay.Relay, conn *quic.Conn) {
	f := &flaky{Conn: transport.NewQUIC(conn, nil), early: s.early}
	s.mu.Lock()
	s.conns = append(s.conns, f)
	s.mu.Unlock()
	setup, cancel := context.WithTimeout(up.Context(), relay.SetupTimeout)
	defer cancel()
	up.ServeConn(setup, f, "")
}

// admitted notes a session.
func (s *server) admitted(target string) <-chan error {
	g := guest{evict: make(chan error, 1)}
	if strings.Contains(target, "who="+subscriber.String()) {
		g.side = subscriber
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guests = append(s.guests, g)
	if s.cuts >= 0 {
		time.AfterFunc(s.cuts, func() {
			if s.flapping() {
				g.leave(moqerr.SessionInternal, "flapping")
			}
		})
	}
	return g.evict
}

// flap cuts every session that is admitted from now on after so long; negative: no more.
func (s *server) flap(after time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cuts = after
}

func (s *server) flapping() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cuts >= 0
}

// evict closes the sessions of a side.
func (s *server) evict(of side, code moqerr.SessionCode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.guests {
		if of.has(g.side) {
			g.leave(code, "evicted")
		}
	}
}

// resetStreams resets a stream of each raw QUIC connection, by number of the latest ones.
func (s *server) resetStreams(n int) {
	s.mu.Lock()
	conns := s.conns
	s.mu.Unlock()
	for _, c := range conns {
		c.reset(n)
	}
}

// recent is how many of the latest streams of each kind can be reset.
const recent = 4

// flaky is a connection whose streams can be reset.
type flaky struct {
	transport.Conn
	early bool

	mu  sync.Mutex
	uni []func(moqerr.StreamCode)
	bid []func(moqerr.StreamCode)
}

func (f *flaky) note(of *[]func(moqerr.StreamCode), reset func(moqerr.StreamCode)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	*of = append(*of, reset)
	if len(*of) > recent {
		*of = (*of)[1:]
	}
}

func (f *flaky) reset(n int) {
	f.mu.Lock()
	of := f.uni
	if n >= recent {
		of = f.bid
	}
	var reset func(moqerr.StreamCode)
	if len(of) > 0 {
		reset = of[n%len(of)]
	}
	f.mu.Unlock()
	if reset != nil {
		reset([]moqerr.StreamCode{moqerr.StreamInternal, moqerr.StreamCancelled}[n%2])
	}
}

func (f *flaky) both(s transport.Stream, err error) (transport.Stream, error) {
	if err == nil {
		f.note(&f.bid, func(c moqerr.StreamCode) { s.Reset(c); s.Stop(c) })
	}
	return s, err
}

func (f *flaky) OpenStream(ctx context.Context) (transport.Stream, error) {
	return f.both(f.Conn.OpenStream(ctx))
}

func (f *flaky) AcceptStream(ctx context.Context) (transport.Stream, error) {
	return f.both(f.Conn.AcceptStream(ctx))
}

func (f *flaky) OpenUniStream(ctx context.Context) (transport.SendStream, error) {
	s, err := f.Conn.OpenUniStream(ctx)
	if err == nil && f.early {
		f.note(&f.uni, s.Reset)
	}
	return s, err
}

func (f *flaky) AcceptUniStream(ctx context.Context) (transport.ReceiveStream, error) {
	s, err := f.Conn.AcceptUniStream(ctx)
	if err != nil {
		return nil, err
	}
	r := &receiver{ReceiveStream: s, begun: sync.OnceFunc(func() { f.note(&f.uni, s.Stop) })}
	if f.early {
		r.begun()
	}
	return r, nil
}

// receiver notes when the first bytes have come.
type receiver struct {
	transport.ReceiveStream
	begun func()
}

func (r *receiver) Read(p []byte) (int, error) {
	n, err := r.ReceiveStream.Read(p)
	r.begun()
	return n, err
}
