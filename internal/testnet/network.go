// Package testnet is a simulated network for tests on virtual time: real QUIC runs
// over it inside a testing/synctest bubble, and a test can make it slow, lossy or
// dark. It is the one place that touches quic-go's simnet, which stands outside of
// that module's promise of compatibility.
package testnet

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go/testutils/simnet"
)

// Network connects sockets with a fixed latency. It must be made, used and left
// inside one bubble. Its methods may be called concurrently.
type Network struct {
	simnet.PerfectRouter

	t       testing.TB
	latency time.Duration

	mu      sync.Mutex
	next    uint8
	dark    map[netip.Addr]bool
	up      map[netip.AddrPort]bool // sockets that can receive
	allDark bool
	loss    float64
	random  *rand.Rand
	packets uint64
}

// New makes a network on which each packet takes latency from one socket to the
// other. It is closed when the test ends.
func New(t testing.TB, latency time.Duration) *Network {
	return &Network{t: t, latency: latency, dark: make(map[netip.Addr]bool), up: make(map[netip.AddrPort]bool), random: rand.New(rand.NewPCG(1, 2))}
}

// SendPacket implements the router.
func (n *Network) SendPacket(p simnet.Packet) error {
	from, to := addr(p.From).Addr(), addr(p.To).Addr()
	n.mu.Lock()
	n.packets++
	lost := n.allDark || !n.up[addr(p.To)] || n.dark[from] || n.dark[to] || n.loss > 0 && n.random.Float64() < n.loss
	n.mu.Unlock()
	if !lost {
		_ = n.PerfectRouter.SendPacket(p) // to nobody: lost, as on a real network
	}
	return nil
}

// Socket makes an endpoint with an address of its own. Whoever takes it closes it; the
// test's end closes what is left.
func (n *Network) Socket() net.PacketConn {
	n.mu.Lock()
	n.next++
	address := netip.AddrFrom4([4]byte{10, 0, 0, n.next})
	n.mu.Unlock()
	return n.At(netip.AddrPortFrom(address, 4443))
}

// At makes an endpoint with the given address, which must be free.
func (n *Network) At(address netip.AddrPort) net.PacketConn {
	n.t.Helper()
	// Nodes cannot be added to a running network: each gets one of its own, and the
	// router joins them.
	link := &simnet.Simnet{Router: n}
	c := link.NewEndpoint(net.UDPAddrFromAddrPort(address), simnet.NodeBiDiLinkSettings{Latency: n.latency})
	if err := link.Start(); err != nil {
		n.t.Fatalf("simulated link: %v", err)
	}
	n.plug(address, true)
	s := &socket{SimConn: c, leave: func() {
		n.plug(address, false)
		n.RemoveNode(c.LocalAddr())
	}}
	n.t.Cleanup(func() {
		_ = s.Close()
		_ = link.Close() // not before: what was sent is still on its way
	})
	return s
}

func (n *Network) plug(address netip.AddrPort, up bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up[address] = up
}

// ListenPacket makes a new endpoint, in the form that dialers take.
func (n *Network) ListenPacket(context.Context, string) (net.PacketConn, error) {
	return n.Socket(), nil
}

// Dark loses everything while on.
func (n *Network) Dark(on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.allDark = on
}

// Silence loses everything from and to one address while on.
func (n *Network) Silence(c netip.Addr, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.dark[c] = on
}

// Lose loses a share of all packets, the same ones in each run.
func (n *Network) Lose(share float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.loss = share
}

// Reseed chooses which packets Lose loses.
func (n *Network) Reseed(seed uint64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.random = rand.New(rand.NewPCG(seed, 2))
}

// Packets counts what was sent, arrived or not.
func (n *Network) Packets() uint64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.packets
}

func addr(a net.Addr) netip.AddrPort {
	udp, ok := a.(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return udp.AddrPort()
}

// AddrOf returns a socket's address.
func AddrOf(c net.PacketConn) netip.AddrPort { return addr(c.LocalAddr()) }

// socket leaves the network when it is closed.
type socket struct {
	*simnet.SimConn
	leave func()
	once  sync.Once
}

// Close implements net.PacketConn; closing again does nothing.
func (s *socket) Close() error {
	s.once.Do(func() {
		s.leave()
		_ = s.SimConn.Close()
	})
	return nil
}
