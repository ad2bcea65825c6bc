package endurance

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/relay/web"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/pubsub"
)

const latency = 10 * time.Millisecond // one way, between a client and the relay

// bed is a simulated network with a relay at a known address, which may be another one at
// any time. Its methods are called by one goroutine.
type bed struct {
	t      *testing.T
	net    *testnet.Network
	at     netip.AddrPort
	origin func() *pubsub.Origin // a new relay's
	up     *relay.Relay
	stop   func() error // frees what up needed for WebTransport
}

// onBed runs f on virtual time. It fails if a goroutine is left at the end.
func onBed(t *testing.T, origin func() *pubsub.Origin, f func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{
			t: t, net: testnet.New(t, latency), origin: origin,
			at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, 1}), 4443),
		}
		b.start()
		t.Cleanup(func() { b.end((*relay.Relay).Close) })
		f(t, b)
	})
}

// start lets a new relay serve, which knows nothing of an earlier one.
func (b *bed) start() {
	b.t.Helper()
	var err error
	b.up, err = relay.New(relay.Config{
		TLS:    &tls.Config{Certificates: []tls.Certificate{testnet.Certificate(b.t)}},
		Origin: b.origin(),
	})
	require.NoError(b.t, err)
	b.stop = web.Enable(b.up)
	require.NoError(b.t, b.up.Serve(b.net.At(b.at)))
}

// end ends the relay, in good order or not.
func (b *bed) end(how func(*relay.Relay) error) {
	_ = how(b.up)
	_ = b.stop()
}

// client is one program that stays connected.
type client struct {
	*moq.Reconnect
	sockets sockets
}

// connect lets a client dial from the simulated network. Everything is closed with the test.
func (b *bed) connect(scheme string, config moq.Config) *client {
	b.t.Helper()
	c := &client{sockets: sockets{net: b.net}}
	config.TLS = &tls.Config{RootCAs: testnet.Roots(b.t), ServerName: "localhost"}
	config.ListenPacket = c.sockets.listen
	config.Backoff = moq.Eager()
	made, err := moq.NewClient(config)
	require.NoError(b.t, err)
	b.t.Cleanup(func() { _ = made.Close() })
	c.Reconnect = made.Reconnect(b.t.Context(), scheme+"://"+b.at.String()+"/room")
	return c
}

// established waits until there have been that many sessions, and one is live.
func (c *client) established(ctx context.Context, generation uint64) {
	for state := range c.States(ctx) {
		if state.Generation >= generation && state.Phase == moq.Connected {
			return
		}
	}
}

// sockets are those that a client has open.
type sockets struct {
	net *testnet.Network

	mu   sync.Mutex
	open map[*socket]struct{}
}

type socket struct {
	net.PacketConn
	of *sockets
}

func (s *sockets) listen(ctx context.Context, network string) (net.PacketConn, error) {
	c, err := s.net.ListenPacket(ctx, network)
	if err != nil {
		return nil, err
	}
	made := &socket{c, s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*socket]struct{})
	}
	s.open[made] = struct{}{}
	return made, nil
}

func (s *socket) Close() error {
	s.of.mu.Lock()
	delete(s.of.open, s)
	s.of.mu.Unlock()
	return s.PacketConn.Close()
}

// at returns the addresses of the open sockets: one for the session, one for a dial.
func (s *sockets) at() (all []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		all = append(all, testnet.AddrOf(c.PacketConn))
	}
	return all
}

// heap returns the live heap.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// until sleeps until ok.
func until(ok func() bool) {
	for !ok() {
		time.Sleep(5 * time.Millisecond)
	}
}
