//go:build interop

package interop

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Certificate is a self-signed certificate in two files, so that it outlives the
// restarts of whoever serves it and its fingerprint can be pinned.
type Certificate struct {
	Cert, Key   string // paths
	Fingerprint string // hex SHA-256 of the leaf
}

func newCertificate(t *testing.T) Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(now.UnixNano()),
		Subject:      pkix.Name{CommonName: "localhost"},
		NotBefore:    now.Add(-time.Hour),
		NotAfter:     now.Add(13 * 24 * time.Hour), // a pinned certificate may live for 14 days
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)

	dir, sum := t.TempDir(), sha256.Sum256(der)
	c := Certificate{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), hex.EncodeToString(sum[:])}
	for path, block := range map[string]*pem.Block{c.Cert: {Type: "CERTIFICATE", Bytes: der}, c.Key: {Type: "PRIVATE KEY", Bytes: pkcs8}} {
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(block), 0o600))
	}
	return c
}

// freePort returns a loopback address that is free for UDP and for TCP.
func freePort(t *testing.T) string {
	t.Helper()
	for range 50 {
		tcp, err := net.Listen("tcp4", "127.0.0.1:0")
		require.NoError(t, err)
		udp, err := net.ListenPacket("udp4", tcp.Addr().String())
		require.NoError(t, tcp.Close())
		if err == nil {
			require.NoError(t, udp.Close())
			return udp.LocalAddr().String()
		}
	}
	require.FailNow(t, "no port is free for both UDP and TCP")
	return ""
}

// Relay is a moq-relay on loopback. Each restart is a new process on the same
// port with the same certificate.
type Relay struct {
	binary, config string
	cert           Certificate
	Addr           string // host:port
	process        *Process
}

// RelayOptions say how a relay differs from one that admits everybody.
type RelayOptions struct {
	Binary  string        // default: relayNew
	AuthURL string        // an auth server; default: public access
	Drain   time.Duration // --drain-timeout
}

func startRelay(t *testing.T, o RelayOptions) *Relay {
	t.Helper()
	if o.Binary == "" {
		o.Binary = relayNew
	}
	r := &Relay{binary: peer(t, o.Binary), cert: newCertificate(t), Addr: freePort(t)}
	r.config = filepath.Join(t.TempDir(), "relay.toml")
	require.NoError(t, os.WriteFile(r.config, []byte(r.toml(o)), 0o600))
	r.Start(t)
	return r
}

// toml is the configuration file, in the words of the relay's generation.
func (r *Relay) toml(o RelayOptions) string {
	listen, auth := "[listen]\nbind", `public = "**"`
	if o.Binary == relayOld {
		listen, auth = "[server]\nlisten", `public = ""`
	}
	if o.AuthURL != "" {
		auth = fmt.Sprintf("url = %q", o.AuthURL)
	}
	var drain string
	if o.Drain > 0 {
		drain = fmt.Sprintf("drain_timeout = %q\n", o.Drain)
	}
	return fmt.Sprintf("%s%s = %q\ntls.cert = [%q]\ntls.key = [%q]\n[web.http]\nlisten = %q\n[auth]\n%s\n",
		drain, listen, r.Addr, r.cert.Cert, r.cert.Key, r.Addr, auth)
}

// Start runs the relay and waits until it answers.
func (r *Relay) Start(t *testing.T) {
	t.Helper()
	name := strings.Split(r.binary, string(filepath.Separator))
	r.process = start(t, name[len(name)-3], r.binary, r.config)
	ctx := within(t, 20*time.Second)
	for {
		sum, err := r.fingerprint(ctx)
		if err == nil {
			require.Equal(t, r.cert.Fingerprint, sum, "the relay serves another certificate")
			return
		}
		require.NoError(t, ctx.Err(), "the relay does not answer: %v", err)
		select {
		case <-r.process.done:
			require.FailNow(t, "the relay ended at once")
		default:
			pause(ctx, 10*time.Millisecond)
		}
	}
}

func (r *Relay) fingerprint(ctx context.Context) (string, error) {
	return get(ctx, "http://"+r.Addr+"/certificate.sha256")
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, body)
	}
	return strings.TrimSpace(string(body)), err
}

// URL is the relay's address on a carrier: "https" or "moqt".
func (r *Relay) URL(carrier string) string { return carrier + "://" + r.Addr + "/anon" }

// Kill ends the relay with SIGKILL: nobody is told.
func (r *Relay) Kill() { r.process.Kill() }

// Terminate ends the relay with SIGTERM: it says goodbye.
func (r *Relay) Terminate() { r.process.Terminate() }

// Restart starts the ended relay again after a while.
func (r *Relay) Restart(t *testing.T, after time.Duration) {
	t.Helper()
	pause(t.Context(), after)
	r.Start(t)
}
