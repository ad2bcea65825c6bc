package moqconfig

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

// canary must never be printed.
const canary = "c4n4ry"

const secretURL = "https://" + canary + ":" + canary + "@relay.example.com/" + canary + "?jwt=" + canary

// issued is a certificate with its key.
type issued struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// issue makes a certificate that is valid now and in the year 2000, where bubbles live;
// by is who signs it, nil itself.
func issue(t *testing.T, by *issued, change func(*x509.Certificate)) *issued {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: serial.String()},
		NotBefore:    time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	change(template)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &issued{certificate, key}
}

func authority(c *x509.Certificate) {
	c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
}

func server(c *x509.Certificate) {
	c.DNSNames = []string{"relay.example.com"}
	c.IPAddresses = []net.IP{net.IPv4(10, 0, 1, 1)}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
}

func client(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

// shown is what a server or client shows: the certificate and those above it.
func (i *issued) shown(above ...*issued) tls.Certificate {
	c := tls.Certificate{Certificate: [][]byte{i.certificate.Raw}, PrivateKey: i.key}
	for _, a := range above {
		c.Certificate = append(c.Certificate, a.certificate.Raw)
	}
	return c
}

func (i *issued) certificatePEM() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.certificate.Raw})
}

func (i *issued) keyPEM(t *testing.T) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// put writes a file and gives it the time of change that every other has, for what is
// read must not depend on that.
func put(t *testing.T, path string, text []byte) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, text, 0o600))
	require.NoError(t, os.Chtimes(path, time.Time{}, time.Unix(1e9, 0)))
	return path
}

func file(t *testing.T, text []byte) string {
	t.Helper()
	return put(t, filepath.Join(t.TempDir(), "file.pem"), text)
}

// handshake connects both ends as a dial to host does, and returns what each saw.
func handshake(t *testing.T, ours, theirs *tls.Config, host string) (atClient, atServer tls.ConnectionState, err error) {
	t.Helper()
	ours = ours.Clone()
	ours.MinVersion = tls.VersionTLS13
	if ours.ServerName == "" {
		ours.ServerName = host
	}
	// A net.Pipe holds nothing, and both ends may want to write at a time.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	far, err := listener.Accept()
	require.NoError(t, err)
	c, s := tls.Client(near, ours), tls.Server(far, theirs)
	served := make(chan error, 1)
	go func() {
		_, err := s.Write([]byte("x")) // after the handshake and its tickets
		served <- err
		_ = far.Close()
	}()
	_, err = c.Read(make([]byte, 1))
	_ = near.Close()
	return c.ConnectionState(), s.ConnectionState(), errors.Join(err, <-served)
}

func flagSet() *flag.FlagSet {
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

// requireBad asserts that err is a bad setting that names the field, and tells no secret.
func requireBad(t *testing.T, err error, field string) {
	t.Helper()
	bad, ok := errors.AsType[*moq.ConfigError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, field, bad.Field, "%v", err)
	require.NotContains(t, err.Error(), canary)
}
