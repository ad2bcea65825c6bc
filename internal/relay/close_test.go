package relay_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/moqerr"
)

// pinned trusts a relay's certificate only.
func pinned(t *testing.T, r *relay.Relay, alpn string) *tls.Config {
	return &tls.Config{
		NextProtos:         []string{alpn},
		InsecureSkipVerify: true, // VerifyConnection does
		VerifyConnection: func(s tls.ConnectionState) error {
			require.Equal(t, r.Fingerprint(), relay.Fingerprint(tls.Certificate{Certificate: [][]byte{s.PeerCertificates[0].Raw}}))
			return nil
		},
	}
}

func TestClose(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		var sessions []*moq.Session
		for range 3 {
			sessions = append(sessions, b.connect("", moq.Config{}))
		}
		silent := b.stranger(nil) // says nothing yet
		time.Sleep(rtt)
		began := time.Now()
		require.NoError(t, b.up.Close())
		require.Zero(t, time.Since(began))
		for _, s := range sessions {
			require.Equal(t, moq.SessionNoError, ended(t, s.Closed(), s.Err))
		}
		require.Equal(t, moq.SessionNoError, ended(t, silent.Done(), silent.Err))
		require.LessOrEqual(t, time.Since(began), rtt)

		require.NoError(t, b.up.Close())
		require.NoError(t, b.up.Drain(t.Context()))
		require.NoError(t, b.up.Kill())
		require.ErrorIs(t, b.up.Serve(b.net.Socket()), moqerr.ErrClosed)
	})
}

// A client that is just connecting is not left to find out by itself.
func TestCloseWhileConnecting(t *testing.T) {
	for after := latency + time.Millisecond; after < 5*latency; after += latency / 2 {
		onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
			c := b.client(moq.Config{})
			done := make(chan struct{})
			began := time.Now()
			go func() {
				defer close(done)
				if s, err := c.Connect(t.Context(), b.url("")); err == nil {
					<-s.Closed()
				}
			}()
			time.Sleep(after)
			require.NoError(t, b.up.Close())
			<-done
			require.LessOrEqual(t, time.Since(began), after+rtt)
		})
	}
}

func TestCloseUnused(t *testing.T) {
	for _, end := range []func(*relay.Relay) error{
		(*relay.Relay).Close,
		(*relay.Relay).Kill,
		func(r *relay.Relay) error { return r.Drain(context.Background()) },
	} {
		up, err := relay.New(relay.Config{})
		require.NoError(t, err)
		require.NoError(t, end(up))
		require.Error(t, up.Context().Err())
		_, err = up.Listen("127.0.0.1:0")
		require.ErrorIs(t, err, moqerr.ErrClosed)
	}
}

// Nobody hears anything of a relay that was killed.
func TestKill(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		s := b.connect("", moq.Config{})
		time.Sleep(time.Second)
		began := time.Now()
		require.NoError(t, b.up.Kill())
		require.Zero(t, time.Since(began))
		<-s.Closed()
		_, idle := errors.AsType[*quic.IdleTimeoutError](s.Err())
		require.True(t, idle, "%v", s.Err())
		require.Greater(t, time.Since(began), 9*time.Second)
	})
}

func TestDrain(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		track, publisher := b.publish("", "demo", moq.Config{})
		sub := b.subscribe(b.watch("", moq.Config{}), "demo")
		patience, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		drained := make(chan error, 1)
		go func() { drained <- b.up.Drain(patience) }()
		<-publisher.GoingAway()
		require.Equal(t, latency, time.Since(began))
		time.Sleep(5 * time.Second)

		late := b.connect("", moq.Config{}) // who comes now is told at once, and served
		<-late.GoingAway()
		require.LessOrEqual(t, time.Since(began), 5*time.Second+4*rtt)
		require.NoError(t, track.WriteNow([]byte("still here")))
		require.Equal(t, "still here", b.next(sub))

		for _, s := range []*moq.Session{publisher, late} {
			require.Equal(t, moq.SessionGoawayTimeout, ended(t, s.Closed(), s.Err))
		}
		require.NoError(t, <-drained)
		require.LessOrEqual(t, time.Since(began), 10*time.Second+latency)
		require.GreaterOrEqual(t, time.Since(began), 10*time.Second)
	})
}

// A drain is over when the last client has left, those that came meanwhile too.
func TestDrainEndsEarly(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		s := b.connect("", moq.Config{})
		drained := make(chan error, 1)
		began := time.Now()
		go func() { drained <- b.up.Drain(context.Background()) }()
		time.Sleep(time.Minute)
		late := b.connect("", moq.Config{})
		require.NoError(t, s.Close())
		time.Sleep(time.Minute)
		select {
		case <-drained:
			require.Fail(t, "one client is left")
		default:
		}
		require.NoError(t, late.Close())
		require.NoError(t, <-drained)
		require.LessOrEqual(t, time.Since(began), 2*time.Minute+2*time.Second)
	})
}

// A client that gives no credit for the GOAWAY cannot hold up the drain.
func TestDrainWithoutCredit(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		deaf := b.stranger(&quic.Config{MaxIncomingStreams: -1, KeepAlivePeriod: time.Second})
		deaf.setup(t, "")
		time.Sleep(time.Second)
		patience, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		require.NoError(t, b.up.Drain(patience))
		require.Equal(t, 10*time.Second, time.Since(began))
		require.Equal(t, moq.SessionGoawayTimeout, ended(t, deaf.Done(), deaf.Err))
	})
}

func TestCloseDuringDrain(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		s := b.connect("", moq.Config{})
		drained := make(chan error, 2)
		go func() { drained <- b.up.Drain(context.Background()) }()
		go func() { drained <- b.up.Drain(context.Background()) }()
		<-s.GoingAway()
		require.NoError(t, b.up.Close())
		require.NoError(t, <-drained)
		require.NoError(t, <-drained)
		require.Equal(t, moq.SessionNoError, ended(t, s.Closed(), s.Err))
	})
}

// A client that never says what it wants does not stay, whatever else it sends.
func TestNoSetup(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		began := time.Now()
		silent := b.stranger(&quic.Config{KeepAlivePeriod: time.Second})
		stream, err := silent.OpenStream(t.Context())
		require.NoError(t, err)
		_, err = stream.Write([]byte{1, 1}) // half an ANNOUNCE_REQUEST
		require.NoError(t, err)
		go func() { _, _ = io.Copy(io.Discard, stream) }()
		require.Equal(t, moq.SessionControlTimeout, ended(t, silent.Done(), silent.Err))
		require.GreaterOrEqual(t, time.Since(began), relay.SetupTimeout)
		require.LessOrEqual(t, time.Since(began), relay.SetupTimeout+3*rtt)
	})
}

// A handshake that never ends does not stay either, and holds nothing up.
func TestNoHandshake(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		socket := b.net.Socket()
		tr := &quic.Transport{Conn: socket}
		defer tr.Close()
		ctx, cancel := context.WithTimeout(t.Context(), latency+time.Millisecond)
		defer cancel()
		_, err := tr.Dial(ctx, net.UDPAddrFromAddrPort(b.at), pinned(t, b.up, "moq-lite-06"), nil)
		require.Error(t, err)
		b.net.Dark(true) // nor does the relay hear that we gave up
		synctest.Wait()
		began := time.Now()
		require.NoError(t, b.up.Close())
		require.Zero(t, time.Since(began))
	})
}

// The relay is back on its port, with another memory and the same certificate.
func TestRestart(t *testing.T) {
	cert, err := relay.NewCertificate("localhost", "127.0.0.1")
	require.NoError(t, err)
	conf := relay.Config{TLS: &tls.Config{Certificates: []tls.Certificate{cert}}}
	addr := "127.0.0.1:0"
	c, err := moq.NewClient(moq.Config{Fingerprints: []string{relay.Fingerprint(cert)}})
	require.NoError(t, err)
	defer c.Close()
	for _, end := range []func(*relay.Relay) error{(*relay.Relay).Close, (*relay.Relay).Kill, (*relay.Relay).Close} {
		up, err := relay.New(conf)
		require.NoError(t, err)
		got, err := up.Listen(addr)
		require.NoError(t, err)
		addr = got.String()

		second, err := relay.New(conf)
		require.NoError(t, err)
		_, err = second.Listen(addr)
		require.ErrorIs(t, err, syscall.EADDRINUSE)
		require.NoError(t, second.Close())

		s, err := c.Connect(t.Context(), "moqt://"+addr)
		require.NoError(t, err)
		s.Abort(0, "")
		require.NoError(t, end(up))
	}
	up, err := relay.New(conf)
	require.NoError(t, err)
	_, err = up.Listen("nowhere")
	require.Error(t, err)
	require.NoError(t, up.Close())
}

func TestCertificate(t *testing.T) {
	cert, err := relay.NewCertificate("localhost", "example.com", "127.0.0.1", "::1")
	require.NoError(t, err)
	leaf := cert.Leaf
	require.Equal(t, []string{"localhost", "example.com"}, leaf.DNSNames)
	require.Len(t, leaf.IPAddresses, 2)
	require.LessOrEqual(t, leaf.NotAfter.Sub(leaf.NotBefore), 14*24*time.Hour, "what browsers take")
	require.Greater(t, time.Until(leaf.NotAfter), 13*24*time.Hour)
	require.Equal(t, x509.ECDSA, leaf.PublicKeyAlgorithm)
	require.Len(t, relay.Fingerprint(cert), 64)

	other, err := relay.NewCertificate("localhost")
	require.NoError(t, err)
	require.NotEqual(t, relay.Fingerprint(cert), relay.Fingerprint(other))
	require.Empty(t, relay.Fingerprint(tls.Certificate{}))
}
