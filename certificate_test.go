package moq

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
)

const day = 24 * time.Hour

// keys makes a key of each kind once.
var keys = sync.OnceValue(func() map[string]crypto.Signer {
	made := make(map[string]crypto.Signer)
	keep := func(name string, key crypto.Signer, err error) {
		if err != nil {
			panic(err)
		}
		made[name] = key
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	keep("RSA", rsaKey, err)
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	keep("P-256", p256, err)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	keep("P-384", p384, err)
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	keep("P-521", p521, err)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	keep("Ed25519", edwards, err)
	return made
})

// certified makes a self-signed certificate that is valid from begins on, as seen from the
// start of a bubble, for life.
func certified(t *testing.T, key, name string, begins, life time.Duration) tls.Certificate {
	t.Helper()
	signer := keys()[key]
	require.NotNil(t, signer, key)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    testnet.Epoch.Add(begins),
		NotAfter:     testnet.Epoch.Add(begins + life),
		DNSNames:     []string{name},
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	require.NoError(t, err)
	leaf, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: signer, Leaf: leaf}
}

// certificateCase is what a server shows, and what is to come of it.
type certificateCase struct {
	name  string
	shown tls.Certificate
	pins  []string // none: it is to be trusted by its chain and name
	roots []tls.Certificate
	want  string // in the error; "": it is accepted
}

// certificateCases are those of goals.md, S5, for pins and for roots.
func certificateCases(t *testing.T) []certificateCase {
	const name = "localhost"
	var all []certificateCase
	pinned := func(title string, c tls.Certificate, want string) {
		all = append(all, certificateCase{name: "pinned/" + title, shown: c, pins: []string{relay.Fingerprint(c)}, want: want})
	}
	for _, key := range []string{"RSA", "P-256", "P-384", "P-521", "Ed25519"} {
		refused := map[string]string{"RSA": "key of type RSA", "P-521": "key on curve P-521"}[key]
		pinned(key+" for 13 days", certified(t, key, name, -time.Hour, 13*day), refused)
		pinned(key+" for 14 days", certified(t, key, name, -time.Hour, 14*day), refused)
		pinned(key+" for 14 days and a second", certified(t, key, name, -time.Hour, 14*day+time.Second), "more than 14 days")
		pinned(key+" expired", certified(t, key, name, -8*day, 7*day), "not valid after")
		pinned(key+" not yet valid", certified(t, key, name, day, 7*day), "not valid before")
	}
	good, other := certified(t, "P-256", name, -time.Hour, 13*day), certified(t, "P-256", name, -2*time.Hour, 13*day)
	pinned("another name", certified(t, "P-256", "elsewhere.test", -time.Hour, 13*day), "")
	all = append(all,
		certificateCase{name: "pinned/rotated", shown: good, pins: []string{relay.Fingerprint(other), strings.ToUpper(relay.Fingerprint(good))}},
		certificateCase{name: "pinned/wrong hash", shown: good, pins: []string{relay.Fingerprint(other)}, want: "no fingerprint"},
		certificateCase{
			name: "pinned/wrong hash with a trusted chain", shown: good, pins: []string{relay.Fingerprint(other)},
			roots: []tls.Certificate{good}, want: "no fingerprint",
		},
	)
	trusted := func(title string, c tls.Certificate, want string) {
		all = append(all, certificateCase{name: "trusted/" + title, shown: c, roots: []tls.Certificate{c}, want: want})
	}
	for _, key := range []string{"RSA", "P-256", "P-384", "Ed25519"} {
		trusted(key+" for a year", certified(t, key, name, -time.Hour, 365*day), "")
		trusted(key+" expired", certified(t, key, name, -8*day, 7*day), "expired")
		trusted(key+" not yet valid", certified(t, key, name, day, 7*day), "not yet valid")
		trusted(key+" with another name", certified(t, key, "elsewhere.test", -time.Hour, 365*day), "not localhost")
		all = append(all, certificateCase{
			name: "trusted/" + key + " of a stranger", shown: certified(t, key, name, -time.Hour, 365*day),
			roots: []tls.Certificate{testnet.Certificate(t)}, want: "unknown authority",
		})
	}
	return all
}

// config trusts what the case trusts, and before beside it.
func (c certificateCase) config(before ...tls.Certificate) Config {
	conf := &tls.Config{ServerName: "localhost", RootCAs: x509.NewCertPool()}
	for _, root := range append(before, c.roots...) {
		conf.RootCAs.AddCert(root.Leaf)
	}
	config := Config{TLS: conf, Backoff: Eager()}
	if len(c.pins) > 0 {
		config.Fingerprints = c.pins
		for _, b := range before {
			config.Fingerprints = append(config.Fingerprints, relay.Fingerprint(b))
		}
	}
	return config
}

// requireVerdict checks that a dial failed for the reason that the case gives.
func (c certificateCase) requireVerdict(t *testing.T, err error) {
	t.Helper()
	if c.want == "" {
		require.NoError(t, err)
		return
	}
	require.ErrorContains(t, err, c.want)
	var alert *quic.TransportError
	require.ErrorAs(t, err, &alert)
	require.True(t, alert.ErrorCode.IsCryptoError())
	require.Equal(t, Suspect, DefaultClassify(err))
}

// wardrobe is a relay's certificate, which changes.
type wardrobe struct {
	worn atomic.Pointer[tls.Certificate]
}

func (w *wardrobe) config() *tls.Config {
	return &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return w.worn.Load(), nil }}
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	cases := certificateCases(t)
	require.GreaterOrEqual(t, len(cases), 24)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, scheme := range []string{"moqt", "https"} {
				t.Run("first dial/"+scheme, func(t *testing.T) { dialsCertificate(t, c, scheme) })
			}
			t.Run("reconnect", func(t *testing.T) { meetsCertificate(t, c, false) })
			t.Run("hedge", func(t *testing.T) { meetsCertificate(t, c, true) })
		})
	}
}

func dialsCertificate(t *testing.T, c certificateCase, scheme string) {
	w := new(wardrobe)
	w.worn.Store(&c.shown)
	onBed(t, relay.Config{TLS: w.config()}, func(t *testing.T, b *bed) {
		_, err := b.client(c.config()).Connect(t.Context(), b.urlFor(scheme))
		c.requireVerdict(t, err)
	})
}

// meetsCertificate connects to a good certificate, and meets the case's when the session
// was lost, or has fallen silent.
func meetsCertificate(t *testing.T, c certificateCase, silent bool) {
	first := certified(t, "P-256", "localhost", -3*time.Hour, 13*day)
	w := new(wardrobe)
	w.worn.Store(&first)
	onBed(t, relay.Config{TLS: w.config()}, func(t *testing.T, b *bed) {
		config, d := c.config(first), new(sockets)
		config.ListenPacket = d.listenOn(b.net)
		r := b.client(config).Reconnect(t.Context(), b.url())
		_, err := r.Session(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		w.worn.Store(&c.shown)
		if silent {
			b.net.Silence(testnet.AddrOf(d.seen()[0]).Addr(), true)
		} else {
			require.NoError(t, b.up.Close())
			b.start()
		}
		for state := range r.States(t.Context()) {
			if state.Generation == 2 {
				require.Empty(t, c.want, "it was accepted")
				return
			}
			if state.Phase == Stopped {
				break
			}
		}
		stop := r.Wait(t.Context())
		require.ErrorIs(t, stop, ErrStopped)
		c.requireVerdict(t, stop)
		require.NotEmpty(t, c.want)
		require.LessOrEqual(t, len(d.seen()), 20, "it is not tried for ever, also beside a silent session")
	})
}

// The clock is that of the TLS configuration, and the caller's own check still runs.
func TestPinnedCertificateByTheConfiguredClock(t *testing.T) {
	shown := certified(t, "P-256", "localhost", -time.Hour, 13*day)
	onBed(t, relay.Config{TLS: &tls.Config{Certificates: []tls.Certificate{shown}}}, func(t *testing.T, b *bed) {
		for later, want := range map[time.Duration]string{
			0: "", 13*day - 2*time.Hour: "", 13 * day: "not valid after", -2 * time.Hour: "not valid before",
		} {
			conf := &tls.Config{Time: func() time.Time { return testnet.Epoch.Add(later) }}
			c := b.client(Config{TLS: conf, Fingerprints: []string{b.up.Fingerprint()}})
			_, err := c.Connect(t.Context(), b.url())
			certificateCase{want: want}.requireVerdict(t, err)
		}
		refusal := fmt.Errorf("not this one")
		conf := &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return refusal }}
		_, err := b.client(Config{TLS: conf, Fingerprints: []string{b.up.Fingerprint()}}).Connect(t.Context(), b.url())
		require.ErrorContains(t, err, refusal.Error())
	})
}

// Only InsecureSkipVerify switches checks off, and it cannot stand beside fingerprints.
func TestInsecureIsLoud(t *testing.T) {
	shown := certified(t, "RSA", "elsewhere.test", -20*day, 15*day)
	onBed(t, relay.Config{TLS: &tls.Config{Certificates: []tls.Certificate{shown}}}, func(t *testing.T, b *bed) {
		_, err := b.client(Config{TLS: &tls.Config{InsecureSkipVerify: true}}).Connect(t.Context(), b.url())
		require.NoError(t, err)
		_, err = b.client(Config{TLS: &tls.Config{}}).Connect(t.Context(), b.url())
		require.Error(t, err)
		_, err = NewClient(Config{TLS: &tls.Config{InsecureSkipVerify: true}, Fingerprints: []string{b.up.Fingerprint()}})
		require.ErrorContains(t, err, "InsecureSkipVerify")
	})
}

// TestCertificateBehindARefusingAddress: what the second address answers is not hidden by what the
// first one said.
func TestCertificateBehindARefusingAddress(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		first := netip.MustParseAddr("10.0.1.9")
		socket := b.net.At(netip.AddrPortFrom(first, b.at.Port()))
		tr := &quic.Transport{Conn: socket}
		l, err := tr.Listen(&tls.Config{Certificates: []tls.Certificate{testnet.Certificate(t)}, NextProtos: []string{"moq-lite-06"}},
			&quic.Config{GetConfigForClient: func(*quic.ClientInfo) (*quic.Config, error) { return nil, errors.New("full") }})
		require.NoError(t, err)
		defer func() { _ = l.Close(); _ = tr.Close(); _ = socket.Close() }()

		c := b.client(Config{
			TLS: &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"},
			Resolve: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{first, b.at.Addr()}, nil
			},
		})
		_, err = c.Connect(t.Context(), "moqt://relay.test:4443/")
		t.Log(err)
		require.ErrorContains(t, err, "CONNECTION_REFUSED")
		require.ErrorContains(t, err, "unknown authority")
		require.Equal(t, Suspect, DefaultClassify(err))
		r := c.Reconnect(t.Context(), "moqt://relay.test:4443/")
		time.Sleep(10 * time.Minute)
		require.Equal(t, Stopped, r.State().Phase, "%v", r.State())
	})
}

// TestTLSMaxVersion: what can never connect is no configuration.
func TestTLSMaxVersion(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		c, err := NewClient(Config{TLS: &tls.Config{RootCAs: testnet.Roots(t), ServerName: "localhost", MaxVersion: tls.VersionTLS12}, ListenPacket: b.net.ListenPacket})
		if err != nil {
			return
		}
		defer c.Close()
		r := c.Reconnect(t.Context(), b.url())
		time.Sleep(time.Hour)
		require.Equal(t, Stopped, r.State().Phase, "%+v", r.State().Err)
	})
}
