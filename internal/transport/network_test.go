package transport

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/testutils/simnet"
	"github.com/stretchr/testify/require"
)

const (
	latency = 50 * time.Millisecond // one way, in the simulated network
	rtt     = 2 * latency
)

var protocols = []string{"moq-lite-06", "moq-lite-05"}

// network is where a test's sockets come from: loopback, or a simulated network
// inside a synctest bubble.
type network struct {
	t      *testing.T
	sim    *simnet.Simnet // nil on loopback
	router *router
	next   uint8
}

// router drops everything while it is dark.
type router struct {
	simnet.PerfectRouter
	dark atomic.Bool
	dusk atomic.Bool // dark behind the next packet
}

func (r *router) SendPacket(p simnet.Packet) error {
	if r.dark.Load() {
		return nil
	}
	if r.dusk.Swap(false) {
		r.dark.Store(true)
	}
	_ = r.PerfectRouter.SendPacket(p) // to nobody: lost, as on a real network
	return nil
}

func loopback(t *testing.T) *network { return &network{t: t} }

// simulated must be called inside a bubble.
func simulated(t *testing.T) *network {
	r := &router{}
	n := &network{t: t, router: r, sim: &simnet.Simnet{Router: r}}
	t.Cleanup(func() { require.NoError(t, n.sim.Close()) })
	return n
}

// bubble runs f on a simulated network, on virtual time. It fails if a goroutine is
// left at the end.
func bubble(t *testing.T, f func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, simulated(t)) })
}

// socket makes a new endpoint.
func (n *network) socket() net.PacketConn {
	n.t.Helper()
	if n.sim == nil {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		require.NoError(n.t, err)
		return c
	}
	n.next++
	addr := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, n.next}), 4443))
	// A simulated network of its own for each node, as nodes cannot be added to a running one.
	link := &simnet.Simnet{Router: n.router}
	c := link.NewEndpoint(addr, simnet.NodeBiDiLinkSettings{Latency: latency})
	require.NoError(n.t, link.Start())
	n.t.Cleanup(func() {
		_ = c.Close()
		require.NoError(n.t, link.Close())
	})
	return c
}

func addrOf(c net.PacketConn) netip.AddrPort {
	addr := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
}

// dialer trusts cert and dials from new sockets of the network.
func (n *network) dialer(cert tls.Certificate) *Dialer {
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	return &Dialer{
		Protocols:    protocols,
		TLS:          &tls.Config{RootCAs: roots, ServerName: "localhost"},
		ListenPacket: func(context.Context, string) (net.PacketConn, error) { return n.socket(), nil },
	}
}

// newCert is valid for two weeks from now, which in bubbles is the year 2000, so that it may
// be pinned.
func newCert(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(maxPinnedLife - 2*time.Hour),
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func quicConfig() *quic.Config {
	return &quic.Config{
		EnableDatagrams: true, EnableStreamResetPartialDelivery: true,
		MaxIncomingStreams: 200, MaxIncomingUniStreams: 200,
	}
}
