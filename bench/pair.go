package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/internal/wire"
)

// version is what both ends speak; the raw ones only name it in ALPN.
const version = wire.Lite06

// quicConfig is every connection's, of all arms and on both ends: what moq.Config{}
// comes to.
func quicConfig() *quic.Config {
	return &quic.Config{
		MaxIdleTimeout:                   10 * time.Second,
		KeepAlivePeriod:                  3 * time.Second,
		MaxIncomingStreams:               1024,
		MaxIncomingUniStreams:            1024,
		EnableDatagrams:                  true,
		EnableStreamResetPartialDelivery: true,
	}
}

// pair is one QUIC connection between two loopback sockets, both ends of it.
type pair struct {
	near, far *quic.Conn
	carriers  [2]*quic.Transport
	closing   sync.Once
}

func newPair(ctx context.Context) (*pair, error) {
	certificate, roots, err := newCertificate()
	if err != nil {
		return nil, err
	}
	p := &pair{}
	for i := range p.carriers {
		socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			p.close()
			return nil, err
		}
		p.carriers[i] = &quic.Transport{Conn: socket}
	}
	listener, err := p.carriers[1].Listen(
		&tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{version.ALPN()}}, quicConfig())
	if err != nil {
		p.close()
		return nil, err
	}
	dialed := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{version.ALPN()}}
	p.near, err = p.carriers[0].Dial(ctx, p.carriers[1].Conn.LocalAddr(), dialed, quicConfig())
	if err == nil {
		p.far, err = listener.Accept(ctx)
	}
	if err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// close ends the connection and frees both sockets. Whoever calls it second waits for
// the first.
func (p *pair) close() {
	p.closing.Do(func() {
		for _, conn := range []*quic.Conn{p.near, p.far} {
			if conn != nil {
				_ = conn.CloseWithError(0, "") // fails where the other end was faster
			}
		}
		for _, carrier := range p.carriers {
			if carrier != nil {
				_ = carrier.Close()
				_ = carrier.Conn.Close()
			}
		}
	})
}

func newCertificate() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		DNSNames:     []string{"localhost"},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots, nil
}
