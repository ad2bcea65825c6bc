package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func TestDialNegotiates(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		for _, c := range []struct {
			theirs []string
			want   string
		}{{protocols, "moq-lite-06"}, {[]string{"moq-lite-05"}, "moq-lite-05"}} {
			ours, theirs, s := n.pair(scheme, serverOptions{alpn: append([]string{"h3"}, c.theirs...), protocols: c.theirs})
			require.Equal(t, c.want, ours.Protocol())
			require.Equal(t, c.want, theirs.Protocol())
			require.Equal(t, theirs.Carrier(), ours.Carrier())
			require.Equal(t, s.addr.String(), ours.RemoteAddr().String())
			require.NotNil(t, ours.LocalAddr())
			stats := ours.Stats()
			require.Positive(t, stats.RTT)
			require.Positive(t, stats.MinRTT)
			require.Greater(t, stats.BytesSent, uint64(1200))
			require.Positive(t, stats.BytesReceived)
			require.Positive(t, stats.PacketsSent)
			require.Positive(t, stats.PacketsReceived)
			require.Zero(t, stats.PacketsLost)
		}
	})
}

func TestRefusedALPN(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		s := n.serve(serverOptions{alpn: []string{"moq-lite-99"}})
		_, err := n.dialer(s.cert).Dial(testContext(t), s.target(scheme), Trial{})
		var refused *quic.TransportError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, quic.TransportErrorCode(0x178), refused.ErrorCode)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, err.Error(), "path")
	})
}

func TestWrongCertificate(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		s := n.serve(serverOptions{})
		_, err := n.dialer(newCert(t)).Dial(testContext(t), s.target(scheme), Trial{})
		var refused *quic.TransportError
		require.ErrorAs(t, err, &refused)
		require.True(t, refused.ErrorCode.IsCryptoError())

		d := n.dialer(s.cert)
		d.TLS.ServerName = "elsewhere.test"
		_, err = d.Dial(testContext(t), s.target(scheme), Trial{})
		require.ErrorAs(t, err, &refused)
		require.ErrorContains(t, err, "elsewhere.test")
	})
}

func TestServerNameIsTheHost(t *testing.T) {
	n := loopback(t)
	s := n.serve(serverOptions{})
	d := n.dialer(s.cert)
	d.TLS.ServerName = "" // 127.0.0.1 stands in the certificate
	conn, err := d.Dial(testContext(t), s.target("moqt"), Trial{})
	require.NoError(t, err)
	require.NoError(t, conn.Close(0, ""))
	require.Empty(t, d.TLS.ServerName, "the caller's configuration is not touched")
}

func TestFingerprints(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		s := n.serve(serverOptions{})
		old, right := sha256.Sum256([]byte("before rotation")), sha256.Sum256(s.cert.Certificate[0])
		dial := func(pins ...[sha256.Size]byte) error {
			d := n.dialer(newCert(t)) // trusts somebody else: the pin replaces the chain
			d.TLS.ServerName = "elsewhere.test"
			d.Fingerprints = pins
			conn, err := d.Dial(testContext(t), s.target(scheme), Trial{})
			if err == nil {
				require.NoError(t, conn.Close(0, ""))
			}
			return err
		}
		require.NoError(t, dial(right))
		require.NoError(t, dial(old, right))
		err := dial(old)
		var refused *quic.TransportError
		require.ErrorAs(t, err, &refused)
		require.True(t, refused.ErrorCode.IsCryptoError())
		require.ErrorContains(t, err, errPin.Error())
	})
}

// A resumed session is checked too, and the caller's own check still runs.
func TestFingerprintsOnResumption(t *testing.T) {
	n := loopback(t)
	s := n.serve(serverOptions{})
	d := n.dialer(s.cert)
	d.Fingerprints = [][sha256.Size]byte{sha256.Sum256(s.cert.Certificate[0])}
	d.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	var resumed, checked atomic.Bool
	d.TLS.VerifyConnection = func(state tls.ConnectionState) error {
		checked.Store(true)
		resumed.Store(state.DidResume)
		return nil
	}
	for i := range 2 {
		conn, err := d.Dial(testContext(t), s.target("moqt"), Trial{})
		require.NoError(t, err)
		theirs := <-s.conns
		out, err := theirs.OpenUniStream(t.Context()) // data behind the session ticket
		require.NoError(t, err)
		require.NoError(t, out.Close())
		in, err := conn.AcceptUniStream(testContext(t))
		require.NoError(t, err)
		require.Empty(t, readAll(t, in))
		require.NoError(t, conn.Close(0, ""))
		require.True(t, checked.Load())
		require.Equal(t, i == 1, resumed.Load())
	}
	d.Fingerprints = [][sha256.Size]byte{{1}}
	_, err := d.Dial(testContext(t), s.target("moqt"), Trial{})
	require.ErrorContains(t, err, errPin.Error())
}

func TestDialTimesOutInTheDark(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		bubble(t, func(t *testing.T, n *network) {
			s := n.serve(serverOptions{})
			n.router.dark.Store(true)
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
			defer cancel()
			_, err := n.dialer(s.cert).Dial(ctx, s.target(scheme), Trial{})
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.Equal(t, 2*time.Second, time.Since(start))

			_, err = n.dialer(s.cert).Dial(t.Context(), s.target(scheme), Trial{})
			var idle *quic.IdleTimeoutError
			require.ErrorAs(t, err, &idle)
			require.Equal(t, 7*time.Second, time.Since(start), "quic-go's own 5 s without a deadline")
		})
	}
}

// The handshake succeeds, the answer to CONNECT never comes.
func TestDialTimesOutInCONNECT(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s := n.serve(serverOptions{bare: func(c *quic.Conn) { <-c.Context().Done() }})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Second, errors.New("my reason"))
		defer cancel()
		start := time.Now()
		_, err := n.dialer(s.cert).Dial(ctx, s.target("https"), Trial{})
		require.ErrorContains(t, err, "my reason")
		require.Equal(t, 2*time.Second, time.Since(start))
	})
}

func TestDialSharesTheTime(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s := n.serve(serverOptions{})
		d := n.dialer(s.cert)
		hole := netip.MustParseAddr("10.9.9.9")
		d.QUIC = &quic.Config{HandshakeIdleTimeout: time.Hour}
		asked := ""
		d.Resolve = func(_ context.Context, host string) ([]netip.Addr, error) {
			asked = host
			return []netip.Addr{hole, hole, s.addr.Addr()}, nil
		}
		target, err := ParseURL("moqt://Relay.test:4443")
		require.NoError(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		start := time.Now()
		conn, err := d.Dial(ctx, target, Trial{})
		require.NoError(t, err)
		require.Equal(t, 20*time.Second+rtt, time.Since(start))
		require.NoError(t, conn.Close(0, ""))
		require.Equal(t, "relay.test", asked)
	})
}

func TestDialReportsEveryAddress(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s := n.serve(serverOptions{})
		d := n.dialer(s.cert)
		d.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.9.9.8"), netip.MustParseAddr("10.9.9.9")}, nil
		}
		target, err := ParseURL("moqt://relay.test/secret")
		require.NoError(t, err)
		_, err = d.Dial(t.Context(), target, Trial{})
		require.ErrorContains(t, err, "10.9.9.8:443")
		require.ErrorContains(t, err, "10.9.9.9:443")
		require.NotContains(t, err.Error(), "secret")
	})
}

// A refusal is an answer: the next address is not asked.
func TestDialStopsAtARefusal(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s := n.serve(serverOptions{alpn: []string{"moq-lite-99"}})
		d := n.dialer(s.cert)
		sockets := 0
		listen := d.ListenPacket
		d.ListenPacket = func(ctx context.Context, network string) (net.PacketConn, error) {
			sockets++
			require.Equal(t, "udp4", network)
			return listen(ctx, network)
		}
		d.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{s.addr.Addr(), s.addr.Addr()}, nil
		}
		target, err := ParseURL("moqt://relay.test:4443")
		require.NoError(t, err)
		_, err = d.Dial(t.Context(), target, Trial{})
		require.ErrorContains(t, err, "no application protocol")
		require.Equal(t, 1, sockets)
	})
}

func TestDialErrors(t *testing.T) {
	target, err := ParseURL("moqt://relay.test/secret")
	require.NoError(t, err)
	d := &Dialer{}
	_, err = d.Dial(t.Context(), target, Trial{})
	var config *moqerr.ConfigError
	require.ErrorAs(t, err, &config)
	require.Equal(t, "Protocols", config.Field)

	d.Protocols = protocols
	broken := errors.New("no resolver")
	d.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, broken }
	_, err = d.Dial(t.Context(), target, Trial{})
	require.ErrorIs(t, err, broken)

	d.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
	_, err = d.Dial(t.Context(), target, Trial{})
	var dns *net.DNSError
	require.ErrorAs(t, err, &dns)
	require.True(t, dns.IsNotFound)

	d.Resolve = func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{netip.IPv6Loopback()}, nil }
	d.ListenPacket = func(_ context.Context, network string) (net.PacketConn, error) {
		require.Equal(t, "udp6", network)
		return nil, broken
	}
	_, err = d.Dial(t.Context(), target, Trial{})
	require.ErrorIs(t, err, broken)
	require.NotContains(t, err.Error(), "secret")
}

// The zero Dialer's own socket and resolver work, for IPv6 as well.
func TestDialWithDefaults(t *testing.T) {
	n := loopback(t)
	s := n.serve(serverOptions{})
	roots := x509.NewCertPool()
	roots.AddCert(s.cert.Leaf)
	d := &Dialer{TLS: &tls.Config{RootCAs: roots}}
	conn, err := d.Dial(testContext(t), s.target("https"), Trial{})
	require.NoError(t, err)
	require.Empty(t, conn.Protocol(), "nothing was offered")
	require.NoError(t, conn.Close(0, ""))
	addrs, err := d.resolve(testContext(t), "localhost")
	require.NoError(t, err)
	require.True(t, addrs[0].IsLoopback())
}

// The socket that ListenPacket made is closed with the connection, and after a
// failed dial.
func TestSocketsAreClosed(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		for _, trusted := range []bool{true, false} {
			s := n.serve(serverOptions{})
			d := n.dialer(s.cert)
			if !trusted {
				d.TLS.RootCAs = x509.NewCertPool()
			}
			var socket *closeCounter
			d.ListenPacket = func(context.Context, string) (net.PacketConn, error) {
				socket = &closeCounter{PacketConn: n.socket()}
				return socket, nil
			}
			conn, err := d.Dial(testContext(t), s.target(scheme), Trial{})
			if trusted {
				require.NoError(t, err)
				require.Zero(t, socket.closed.Load())
				require.NoError(t, conn.Close(0, ""))
			}
			require.EqualValues(t, 1, socket.closed.Load())
		}
	})
}

type closeCounter struct {
	net.PacketConn
	closed atomic.Int32
}

func (c *closeCounter) Close() error {
	c.closed.Add(1)
	return c.PacketConn.Close()
}

// TestHurryAtTwoAddresses: a dial in a hurry comes to the second address no later than another.
func TestHurryAtTwoAddresses(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s := n.serve(serverOptions{})
		d := n.dialer(s.cert)
		d.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("10.9.9.9"), s.addr.Addr()}, nil
		}
		target, err := ParseURL("moqt://relay.test:4443")
		require.NoError(t, err)
		dial := func(trial Trial) time.Duration {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			start := time.Now()
			conn, err := d.Dial(ctx, target, trial)
			require.NoError(t, err)
			took := time.Since(start)
			require.NoError(t, conn.Close(0, ""))
			return took
		}
		ordinary := dial(Trial{})
		hurried := dial(Trial{Patience: 800 * time.Millisecond, HurryUntil: time.Now().Add(10 * time.Second)})
		t.Log(ordinary, hurried)
		require.LessOrEqual(t, hurried, ordinary)
	})
}
