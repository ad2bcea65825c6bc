package peers

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/remoq/moq/internal/relay"
)

// Certificate is a self-signed certificate in two files, so that it outlives the
// restarts of whoever serves it and its fingerprint can be pinned.
type Certificate struct {
	Cert, Key   string // paths
	Fingerprint string // hex SHA-256 of the leaf
}

// WriteCertificate makes a certificate for localhost in dir.
func WriteCertificate(dir string) (Certificate, error) {
	made, err := relay.NewCertificate("localhost", "127.0.0.1")
	if err != nil {
		return Certificate{}, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(made.PrivateKey)
	if err != nil {
		return Certificate{}, err
	}
	c := Certificate{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), relay.Fingerprint(made)}
	return c, errors.Join(
		writePEM(c.Cert, "CERTIFICATE", made.Certificate[0]),
		writePEM(c.Key, "PRIVATE KEY", pkcs8),
	)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

// RelayOptions say how a relay differs from one that admits everybody.
type RelayOptions struct {
	Binary  string        // default: MoqRelay
	AuthURL string        // an auth server; default: public access
	Drain   time.Duration // --drain-timeout
	// Idle and KeepAlive are what the relay tells its clients and does itself; of two
	// ends' idle timeouts QUIC takes the smaller. Default: the relay's own. 0.17.10 only.
	Idle, KeepAlive time.Duration
}

// Relay is a moq-relay on loopback. Each start is a new process on the same port with
// the same certificate. It is for one goroutine at a time.
type Relay struct {
	Certificate Certificate
	Addr        string // host:port

	dir     string // of its files
	binary  string
	config  string
	process *Process
	past    []*Process
}

// NewRelay writes the files of a relay and finds a port for it. Nothing runs before
// [Relay.Start]. Whoever makes it ends it by [Relay.Close].
func NewRelay(o RelayOptions) (*Relay, error) {
	if o.Binary == "" {
		o.Binary = MoqRelay
	}
	binary, err := Path(o.Binary)
	if err != nil {
		return nil, err
	}
	r := &Relay{binary: binary}
	if r.dir, err = os.MkdirTemp("", "moq-relay-"); err != nil {
		return nil, err
	}
	if err := r.prepare(o); err != nil {
		return nil, errors.Join(err, os.RemoveAll(r.dir))
	}
	return r, nil
}

func (r *Relay) prepare(o RelayOptions) (err error) {
	if r.Certificate, err = WriteCertificate(r.dir); err != nil {
		return err
	}
	if r.Addr, err = freePort(); err != nil {
		return err
	}
	r.config = filepath.Join(r.dir, "relay.toml")
	return os.WriteFile(r.config, []byte(r.toml(o)), 0o600)
}

// freePort returns a loopback address that is free for UDP and for TCP. It is none that the
// system hands out to whoever asks for any: while a relay is down, its port must stay free.
func freePort() (string, error) {
	const first, last = 10_000, 32_767
	for range 50 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first+1)))
		tcp, err := net.Listen("tcp4", address)
		if err != nil {
			continue
		}
		udp, err := net.ListenPacket("udp4", address)
		if err := tcp.Close(); err != nil {
			return "", err
		}
		if err == nil {
			return address, udp.Close()
		}
	}
	return "", errors.New("no port is free for both UDP and TCP")
}

// toml is the configuration file, in the words of the relay's generation.
func (r *Relay) toml(o RelayOptions) string {
	listen, auth := "[listen]\nbind", `public = "**"`
	if o.Binary == MoqRelay14 {
		listen, auth = "[server]\nlisten", `public = ""`
	}
	if o.AuthURL != "" {
		auth = fmt.Sprintf("url = %q", o.AuthURL)
	}
	var drain, quic string
	if o.Drain > 0 {
		drain = fmt.Sprintf("drain_timeout = %q\n", o.Drain)
	}
	if o.Idle > 0 {
		quic = fmt.Sprintf("[quic]\nidle_timeout = %q\nkeep_alive = %q\n", o.Idle, o.KeepAlive)
	}
	return fmt.Sprintf("%s%s = %q\ntls.cert = [%q]\ntls.key = [%q]\n[web.http]\nlisten = %q\n[auth]\n%s\n%s",
		drain, listen, r.Addr, r.Certificate.Cert, r.Certificate.Key, r.Addr, auth, quic)
}

// poll is how often a starting relay is asked; it bounds how late Start returns.
const poll = 2 * time.Millisecond

// Start runs the relay, and returns as soon as it answers and serves its certificate. A
// relay that has not yet answered when ctx ends is an error.
func (r *Relay) Start(ctx context.Context) error {
	p, err := Start(filepath.Base(filepath.Dir(filepath.Dir(r.binary))), r.binary, r.config)
	if err != nil {
		return err
	}
	r.process, r.past = p, append(r.past, p)
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-p.Done():
			return fmt.Errorf("the relay ended at once:\n%s", p.Log())
		case <-ctx.Done():
			return fmt.Errorf("the relay does not answer: %w", context.Cause(ctx))
		}
		switch sum, err := r.Serves(ctx); {
		case err == nil && sum == r.Certificate.Fingerprint:
			return nil
		case err == nil:
			return fmt.Errorf("the relay serves another certificate: %s instead of %s", sum, r.Certificate.Fingerprint)
		}
		again.Reset(poll)
	}
}

// Serves asks the relay for the fingerprint of its certificate.
func (r *Relay) Serves(ctx context.Context) (string, error) {
	return Get(ctx, "http://"+r.Addr+"/certificate.sha256")
}

// Get returns the body at url, without white space around it. A status other than 200
// is an error.
func Get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, body)
	}
	return strings.TrimSpace(string(body)), err
}

// URL is the relay's address on a carrier: "https" or "moqt".
func (r *Relay) URL(carrier string) string { return carrier + "://" + r.Addr + "/anon" }

// Kill ends the relay with SIGKILL and waits for it: nobody is told.
func (r *Relay) Kill() { r.process.Kill() }

// Terminate ends the relay with SIGTERM and waits for it: it says goodbye.
func (r *Relay) Terminate() { r.process.Terminate() }

// Log returns what all its processes printed.
func (r *Relay) Log() string {
	var log strings.Builder
	for _, p := range r.past {
		log.WriteString(p.Log())
	}
	return log.String()
}

// Close kills the relay if it runs, and removes its files.
func (r *Relay) Close() error {
	if r.process != nil {
		r.process.Kill()
	}
	return os.RemoveAll(r.dir)
}
