package peers

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// flowLife is how long a flow is kept in which the upstream says nothing. It is far
	// longer than any idle timeout.
	flowLife = 2 * time.Minute
	// packetSize is the largest UDP payload.
	packetSize = 1 << 16
	// proxyBuffer is asked for on each socket, so that a burst is not lost here.
	proxyBuffer = 4 << 20
)

// Proxy forwards UDP between clients and one upstream address. Each client address has
// an upstream socket of its own, so that flows stay apart. It passes packets on and
// nothing else: where a port is dead, an ICMP error ends here and its client meets
// silence. An upstream that comes back on its port is served on, also in old flows.
//
// All methods may be called concurrently.
type Proxy struct {
	upstream netip.AddrPort
	front    *net.UDPConn
	pumps    sync.WaitGroup

	mu      sync.Mutex
	flows   map[netip.AddrPort]*flow // by client
	shut    bool                     // no flow is added
	closing bool
}

// flow is one client's way to the upstream.
type flow struct {
	client netip.AddrPort
	back   *net.UDPConn
	dark   bool // under the proxy's lock
}

// NewProxy forwards from a free port of loopback to upstream.
func NewProxy(upstream string) (*Proxy, error) {
	to, err := netip.ParseAddrPort(upstream)
	if err != nil {
		return nil, fmt.Errorf("upstream of a proxy: %w", err)
	}
	front, err := loopback()
	if err != nil {
		return nil, err
	}
	p := &Proxy{upstream: to, front: front, flows: make(map[netip.AddrPort]*flow)}
	p.pumps.Go(p.forward)
	return p, nil
}

// loopback opens a socket. It is not connected, so the kernel reports no ICMP error on
// it, neither by a failing read nor by a write that sends nothing.
func loopback() (*net.UDPConn, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(proxyBuffer) // as far as the kernel allows
	return conn, nil
}

// Addr is where clients send to: host:port.
func (p *Proxy) Addr() string { return p.front.LocalAddr().String() }

// URL is the proxy's address in place of the relay's own ([Relay.URL]).
func (p *Proxy) URL(carrier string) string { return carrier + "://" + p.Addr() + "/anon" }

// BlackHole swallows everything in the flow of one client address from now on, in both
// directions and for ever, and reports whether there is such a flow. A client that
// comes from another port is served.
func (p *Proxy) BlackHole(client netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f, ok := p.flows[unmap(client)]
	if ok {
		f.dark = true
	}
	return ok
}

// BlackHoleAll does that to every flow that there is, and returns how many were alive.
func (p *Proxy) BlackHoleAll() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, f := range p.flows {
		if !f.dark {
			f.dark = true
			n++
		}
	}
	return n
}

// Admit says whether packets of clients that have no flow yet begin one, which is so
// at first, or are swallowed.
func (p *Proxy) Admit(fresh bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shut = !fresh
}

// Close ends every flow and waits for all that the proxy started. It may be called
// again. The error is always nil.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closing = true
	_ = p.front.Close()
	for _, f := range p.flows {
		_ = f.back.Close()
	}
	p.mu.Unlock()
	p.pumps.Wait()
	return nil
}

// forward carries what clients send.
func (p *Proxy) forward() {
	packet := make([]byte, packetSize)
	for {
		n, from, err := p.front.ReadFromUDPAddrPort(packet)
		if err != nil {
			return // closed: an unconnected socket has no other errors
		}
		if f := p.flow(unmap(from)); f != nil {
			// A packet that cannot be sent is lost, as on any network.
			_, _ = f.back.WriteToUDPAddrPort(packet[:n], p.upstream)
		}
	}
}

// flow returns the live flow of a client, made if it may be; nil where its packets are
// to be swallowed.
func (p *Proxy) flow(client netip.AddrPort) *flow {
	p.mu.Lock()
	defer p.mu.Unlock()
	if f, ok := p.flows[client]; ok {
		if f.dark {
			return nil
		}
		return f
	}
	if p.shut || p.closing {
		return nil
	}
	back, err := loopback()
	if err != nil {
		return nil // no descriptor is left: lost
	}
	f := &flow{client: client, back: back}
	p.flows[client] = f
	p.pumps.Go(func() { p.answer(f) })
	return f
}

// answer carries what the upstream sends in one flow. A dark flow keeps its socket: the
// upstream, too, is to meet silence and no ICMP error.
func (p *Proxy) answer(f *flow) {
	packet := make([]byte, packetSize)
	for {
		_ = f.back.SetReadDeadline(time.Now().Add(flowLife))
		n, from, err := f.back.ReadFromUDPAddrPort(packet)
		if err != nil { // quiet for long, or closed
			p.forget(f)
			return
		}
		if unmap(from) == p.upstream && !p.isDark(f) {
			_, _ = p.front.WriteToUDPAddrPort(packet[:n], f.client)
		}
	}
}

func (p *Proxy) isDark(f *flow) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return f.dark
}

// forget removes a flow. A dark client stays known, or it would come back to life.
func (p *Proxy) forget(f *flow) {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = f.back.Close()
	if !f.dark {
		delete(p.flows, f.client)
	}
}

// unmap makes addresses comparable: a socket may report IPv4 in the form of IPv6.
func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
