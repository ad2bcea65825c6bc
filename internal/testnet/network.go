// Package testnet is a simulated network for tests on virtual time: real QUIC runs
// over it inside a testing/synctest bubble, and a test can make it slow, lossy or
// dark. It is the one place that touches quic-go's simnet, which stands outside of
// that module's promise of compatibility.
package testnet

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"syscall"
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
	next    uint16
	mute    map[netip.Addr]bool     // what they send is lost
	deaf    map[netip.Addr]bool     // what is sent to them is lost
	cut     map[netip.Addr]bool     // nobody can send to them
	up      map[netip.AddrPort]bool // sockets that can receive
	allDark bool
	extra   time.Duration // added to the latency
	mtu     int           // what is larger is lost; 0: only what sockets never take
	chances chances
	seed    uint64
	flows   map[flow]*luck
	chance  uint64 // packets that Lose and LoseRuns lost
	packets uint64
	sockets map[*socket]struct{} // that are open
	leaving sync.WaitGroup       // those whose links are about to go
	links   map[direction]*link

	// Sockets that were rebound: what their peers see of them, and back.
	outside, inside map[netip.AddrPort]netip.AddrPort
}

// direction is what one address sends, or what it receives.
type direction struct {
	of   netip.Addr
	down bool
}

// link is a limited direction.
type link struct {
	bits int           // a second
	wait time.Duration // the longest queue
	free time.Time     // when all that is queued will have left
}

// Epoch is when a network is made. Bubbles begin in the year 2000, before the process did, and
// quic-go's clock, which counts from there, would stand below zero: then a time that was not
// set, like that of a packet that probes a path, lies in the future, and loss detection waits
// for it in vain, or spins.
var Epoch = time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)

// New makes a network on which each packet takes latency from one socket to the
// other, and lets the bubble sleep until Epoch. It is closed when the test ends.
func New(t testing.TB, latency time.Duration) *Network {
	<-time.NewTimer(time.Until(Epoch)).C
	n := &Network{
		t: t, latency: latency, seed: 1, flows: make(map[flow]*luck),
		mute: make(map[netip.Addr]bool), deaf: make(map[netip.Addr]bool), cut: make(map[netip.Addr]bool),
		up:      make(map[netip.AddrPort]bool),
		outside: make(map[netip.AddrPort]netip.AddrPort), inside: make(map[netip.AddrPort]netip.AddrPort),
		sockets: make(map[*socket]struct{}),
	}
	t.Cleanup(n.close)
	return n
}

// SendPacket implements the router.
func (n *Network) SendPacket(p simnet.Packet) error {
	from, to := addr(p.From), addr(p.To)
	n.mu.Lock()
	n.packets++
	if seen, ok := n.outside[from]; ok {
		p.From = net.UDPAddrFromAddrPort(seen)
	}
	if real, ok := n.inside[to]; ok {
		to = real
		p.To = net.UDPAddrFromAddrPort(to)
	} else if _, moved := n.outside[to]; moved {
		to = netip.AddrPort{}
	}
	lost := n.blocked(from, to) || n.mtu > 0 && len(p.Data) > n.mtu || n.loses(from, to)
	var wait time.Duration
	for _, d := range [...]direction{{from.Addr(), false}, {to.Addr(), true}} {
		if l := n.links[d]; l != nil && !lost {
			wait, lost = l.queue(len(p.Data), wait)
		}
	}
	var late time.Duration
	var twice bool
	if !lost {
		p, late, twice = n.disturb(p, from, to)
	}
	n.mu.Unlock()
	if lost {
		return nil
	}
	if twice {
		n.forward(p, wait)
	}
	n.forward(p, wait+late)
	return nil
}

// forward hands a packet on after a while.
func (n *Network) forward(p simnet.Packet, wait time.Duration) {
	if wait > 0 {
		time.AfterFunc(wait, func() { _ = n.PerfectRouter.SendPacket(p) })
		return
	}
	_ = n.PerfectRouter.SendPacket(p) // to nobody: lost, as on a real network
}

// queue puts size bytes, which come in a while, behind what waits already, and says when
// they will have left; a queue that is too long loses them.
func (l *link) queue(size int, in time.Duration) (wait time.Duration, lost bool) {
	now := time.Now()
	arrival := now.Add(in)
	free := l.free
	if free.Before(arrival) {
		free = arrival
	}
	if free.Sub(arrival) > l.wait {
		return 0, true
	}
	l.free = free.Add(time.Duration(8*size) * time.Second / time.Duration(l.bits))
	return l.free.Sub(now), false
}

// LimitUp makes what an address sends leave at a bit rate, through a queue that holds what
// leaves within wait; more is lost. Zero bits take the limit away.
func (n *Network) LimitUp(from netip.Addr, bits int, wait time.Duration) {
	n.limit(direction{of: from}, bits, wait)
}

// LimitDown is LimitUp for what an address receives.
func (n *Network) LimitDown(to netip.Addr, bits int, wait time.Duration) {
	n.limit(direction{of: to, down: true}, bits, wait)
}

func (n *Network) limit(d direction, bits int, wait time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if bits == 0 {
		delete(n.links, d)
		return
	}
	if n.links == nil {
		n.links = make(map[direction]*link)
	}
	n.links[d] = &link{bits: bits, wait: wait}
}

// blocked reports whether nothing gets through from one socket to another. The caller
// holds mu.
func (n *Network) blocked(from, to netip.AddrPort) bool {
	return n.allDark || !n.up[to] || n.mute[from.Addr()] || n.deaf[to.Addr()] || n.cut[from.Addr()]
}

// Socket makes an endpoint with an address of its own. Whoever takes it closes it; the
// test's end closes what is left.
func (n *Network) Socket() net.PacketConn {
	n.mu.Lock()
	n.next++
	address := netip.AddrFrom4([4]byte{10, byte(n.next >> 8), 0, byte(n.next)})
	n.mu.Unlock()
	return n.At(netip.AddrPortFrom(address, 4443))
}

// At makes an endpoint with the given address, which must be free.
func (n *Network) At(address netip.AddrPort) net.PacketConn {
	n.t.Helper()
	// Nodes cannot be added to a running network: each gets one of its own, and the
	// router joins them.
	joins := &joining{Network: n}
	link := &simnet.Simnet{Router: joins}
	c := link.NewEndpoint(net.UDPAddrFromAddrPort(address), simnet.NodeBiDiLinkSettings{
		LatencyFunc: func(simnet.Packet) time.Duration { return n.delay() },
	})
	if err := link.Start(); err != nil {
		n.t.Fatalf("simulated link: %v", err)
	}
	s := &socket{SimConn: c, network: n, address: address, link: link}
	n.AddNode(s.LocalAddr(), joins.node)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up[address] = true
	n.sockets[s] = struct{}{}
	return s
}

// joining is the router of a node that is not known to it before it has started: what was sent to
// the one before it at the same address is still on its way.
type joining struct {
	*Network
	node simnet.PacketReceiver
}

// AddNode implements simnet.Router.
func (j *joining) AddNode(_ net.Addr, node simnet.PacketReceiver) { j.node = node }

// unplug forgets a socket, so that a network of which many have left is as small as before.
func (n *Network) unplug(s *socket) {
	n.RemoveNode(s.LocalAddr())
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.up, s.address)
	delete(n.inside, n.outside[s.address])
	delete(n.outside, s.address)
	maps.DeleteFunc(n.flows, func(f flow, _ *luck) bool { return f.from == s.address || f.to == s.address })
	delete(n.sockets, s)
	n.leaving.Add(1)
	time.AfterFunc(time.Millisecond, func() { // what was sent just now is still on its way
		defer n.leaving.Done()
		_ = s.link.Close()
	})
}

// close ends what is left of the network.
func (n *Network) close() {
	n.mu.Lock()
	left := slices.Collect(maps.Keys(n.sockets))
	n.mu.Unlock()
	for _, s := range left {
		_ = s.Close()
	}
	n.leaving.Wait()
}

func (n *Network) delay() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.latency + n.extra
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
	n.Mute(c, on)
	n.Deafen(c, on)
}

// Mute loses everything from one address while on.
func (n *Network) Mute(c netip.Addr, on bool) { n.mark(n.mute, c, on) }

// Deafen loses everything to one address while on.
func (n *Network) Deafen(c netip.Addr, on bool) { n.mark(n.deaf, c, on) }

// Cut lets every attempt to send to one address fail at once while on, as on a machine
// whose interface has gone; nothing comes from there either.
func (n *Network) Cut(c netip.Addr, on bool) { n.mark(n.cut, c, on) }

func (n *Network) mark(set map[netip.Addr]bool, c netip.Addr, on bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if on {
		set[c] = true
	} else {
		delete(set, c)
	}
}

func (n *Network) isCut(c netip.Addr) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cut[c]
}

// Delay lets each packet that is sent from now on come later by extra than the latency
// alone would, so that those that are sent after the end of a delay may overtake others.
func (n *Network) Delay(extra time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.extra = extra
}

// Rebind gives a socket another port in the eyes of its peers, as a router does that has
// forgotten it. What they send to the one before is lost.
func (n *Network) Rebind(socket netip.AddrPort) {
	n.mu.Lock()
	defer n.mu.Unlock()
	seen, ok := n.outside[socket]
	if !ok {
		seen = socket
	}
	delete(n.inside, seen)
	next := netip.AddrPortFrom(seen.Addr(), seen.Port()+1)
	n.outside[socket], n.inside[next] = next, socket
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
	network *Network
	address netip.AddrPort
	link    *simnet.Simnet
	once    sync.Once
}

// WriteTo implements net.PacketConn.
func (s *socket) WriteTo(p []byte, to net.Addr) (int, error) {
	if s.network.isCut(addr(to).Addr()) {
		return 0, &net.OpError{
			Op: "write", Net: "udp", Source: s.LocalAddr(), Addr: to,
			Err: os.NewSyscallError("sendto", syscall.ENETUNREACH),
		}
	}
	return s.SimConn.WriteTo(p, to)
}

// Close implements net.PacketConn; closing again does nothing.
func (s *socket) Close() error {
	s.once.Do(func() {
		s.network.unplug(s)
		_ = s.SimConn.Close()
	})
	return nil
}
