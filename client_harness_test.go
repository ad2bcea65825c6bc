package moq

import (
	"context"
	"crypto/tls"
	"flag"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/relay/web"
	"github.com/remoq/moq/internal/testnet"
)

const (
	latency = 20 * time.Millisecond // one way, in the simulated network
	rtt     = 2 * latency
)

// TestMain lets one test more run at a time than there are processors: TestStoppedProcess
// waits in real time, and would keep one of them idle.
func TestMain(m *testing.M) {
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == p.DefValue {
		_ = p.Value.Set(strconv.Itoa(runtime.GOMAXPROCS(0) + 1))
	}
	os.Exit(m.Run())
}

// bed is a simulated network with a relay at a known address.
type bed struct {
	t    *testing.T
	net  *testnet.Network
	at   netip.AddrPort
	conf relay.Config
	up   *relay.Relay

	amend func(*relay.Relay) // called before a relay serves; nil: nothing
}

// onBed runs f on virtual time. It fails if a goroutine is left at the end.
func onBed(t *testing.T, conf relay.Config, f func(t *testing.T, b *bed)) {
	t.Helper()
	onPath(t, latency, conf, f)
}

// unlessRaced is n, or less if the race detector watches.
func unlessRaced[N int | uint64 | time.Duration](n, less N) N {
	if raced {
		return less
	}
	return n
}

// onPath is onBed with another latency, one way.
func onPath(t *testing.T, latency time.Duration, conf relay.Config, f func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{
			t: t, net: testnet.New(t, latency), conf: conf,
			at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, 1}), 4443),
		}
		if b.conf.TLS == nil {
			b.conf.TLS = &tls.Config{Certificates: []tls.Certificate{testnet.Certificate(t)}}
		}
		b.start()
		f(t, b)
	})
}

// start lets a new relay serve, which knows nothing of an earlier one.
func (b *bed) start() {
	b.t.Helper()
	up, err := relay.New(b.conf)
	require.NoError(b.t, err)
	stop := web.Enable(up)
	b.t.Cleanup(func() {
		_ = up.Close()
		_ = stop()
	})
	if b.amend != nil {
		b.amend(up)
	}
	require.NoError(b.t, up.Serve(b.net.At(b.at)))
	b.up = up
}

// url has a path and a query that must never be printed.
func (b *bed) url() string { return b.urlFor("moqt") }

func (b *bed) urlFor(scheme string) string {
	return scheme + "://" + b.at.String() + "/room/" + canary + "?jwt=" + canary
}

const canary = "c4n4ry"

// sockets are those that a client made, and when each of them was made and read.
type sockets struct {
	mu  sync.Mutex
	all []*stampedSocket
}

// stampedSocket notes when a packet came last, and when it was closed.
type stampedSocket struct {
	net.PacketConn
	made time.Time

	mu    sync.Mutex
	last  time.Time
	ended time.Time
}

func (s *stampedSocket) Close() error {
	s.mu.Lock()
	if s.ended.IsZero() {
		s.ended = time.Now()
	}
	s.mu.Unlock()
	return s.PacketConn.Close()
}

// closed returns when the socket was closed; zero: it is open.
func (s *stampedSocket) closed() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *stampedSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(p)
	if err == nil {
		s.mu.Lock()
		s.last = time.Now()
		s.mu.Unlock()
	}
	return n, from, err
}

func (s *stampedSocket) heard() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// listenOn returns a ListenPacket whose sockets are noted.
func (s *sockets) listenOn(n *testnet.Network) func(context.Context, string) (net.PacketConn, error) {
	return func(ctx context.Context, network string) (net.PacketConn, error) {
		c, err := n.ListenPacket(ctx, network)
		if err != nil {
			return nil, err
		}
		stamped := &stampedSocket{PacketConn: c, made: time.Now()}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.all = append(s.all, stamped)
		return stamped, nil
	}
}

func (s *sockets) seen() []*stampedSocket {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.all)
}

// client dials from the simulated network.
func (b *bed) client(config Config) *Client {
	b.t.Helper()
	if config.TLS == nil && len(config.Fingerprints) == 0 {
		config.TLS = &tls.Config{RootCAs: testnet.Roots(b.t), ServerName: "localhost"}
	}
	if config.ListenPacket == nil {
		config.ListenPacket = b.net.ListenPacket
	}
	c, err := NewClient(config)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { require.NoError(b.t, c.Close()) })
	return c
}
