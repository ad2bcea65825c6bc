package moqconfig

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

// Our check of roots says what crypto/tls says with the same roots, in the same words.
func TestRootsVerify(t *testing.T) {
	root, stranger := issue(t, nil, authority), issue(t, nil, authority)
	middle := issue(t, root, authority)
	with := func(by *issued, change func(c *x509.Certificate)) *issued {
		return issue(t, by, func(c *x509.Certificate) {
			server(c)
			change(c)
		})
	}
	good, below := issue(t, root, server), issue(t, middle, server)
	past, future := time.Date(1999, 6, 1, 0, 0, 0, 0, time.UTC), time.Date(2098, 1, 1, 0, 0, 0, 0, time.UTC)
	oldRoot := issue(t, nil, func(c *x509.Certificate) {
		authority(c)
		c.NotAfter = past
	})
	narrow := issue(t, root, func(c *x509.Certificate) {
		authority(c)
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"example.org"}, true
	})
	clientsOnly := issue(t, root, func(c *x509.Certificate) {
		authority(c)
		client(c)
	})
	const name, ip = "relay.example.com", "10.0.1.1"
	for _, test := range []struct {
		name, host string
		root       *issued
		shown      tls.Certificate
		refused    string
	}{
		{"the name", name, root, good.shown(), ""},
		{"the name in capitals", "RELAY.Example.com", root, good.shown(), ""},
		{"the address", ip, root, good.shown(), ""},
		{"an intermediate", name, root, below.shown(middle), ""},
		{"an intermediate, by address", ip, root, below.shown(middle), ""},
		{"the intermediate as root", name, middle, below.shown(), ""},
		{"a wildcard", "a.example.net", root, with(root, func(c *x509.Certificate) { c.DNSNames = []string{"*.example.net"} }).shown(), ""},
		{"any usage", name, root, with(root, func(c *x509.Certificate) { c.ExtKeyUsage = nil }).shown(), ""},

		{"wrong name", "relay.example.org", root, good.shown(), "is valid for relay.example.com, not relay.example.org"},
		{"wrong name below an intermediate", "example.com", root, below.shown(middle), "not example.com"},
		{"wrong address", "10.0.1.2", root, good.shown(), "is valid for 10.0.1.1, not 10.0.1.2"},
		{"wrong address, IPv6", "fe80::1", root, good.shown(), "is valid for 10.0.1.1, not fe80::1"},
		{"a name that is only the subject's", name, root, issue(t, root, func(c *x509.Certificate) {
			c.Subject.CommonName = name
		}).shown(), "legacy Common Name field"},
		{"unknown root", name, stranger, good.shown(), "unknown authority"},
		{"unknown root, by address", ip, stranger, good.shown(), "unknown authority"},
		{"self-signed", name, root, with(nil, func(*x509.Certificate) {}).shown(), "unknown authority"},
		{"a root that the server brings along", name, stranger, good.shown(root), "unknown authority"},
		{"missing intermediate", name, root, below.shown(), "unknown authority"},
		{"issuer that may not issue", name, root, with(good, func(*x509.Certificate) {}).shown(good), "parent certificate cannot sign"},
		{"expired", name, root, with(root, func(c *x509.Certificate) { c.NotAfter = past }).shown(), "expired"},
		{"not yet valid", name, root, with(root, func(c *x509.Certificate) { c.NotBefore = future }).shown(), "not yet valid"},
		{"expired root", name, oldRoot, issue(t, oldRoot, server).shown(), "expired"},
		{"no server's usage", name, root, with(root, client).shown(), "incompatible key usage"},
		{"no server's usage above", name, root, issue(t, clientsOnly, server).shown(clientsOnly), "incompatible key usage"},
		{"name that the issuer may not give", name, root, issue(t, narrow, server).shown(narrow), "not permitted"},
	} {
		t.Run(test.name, func(t *testing.T) {
			theirs := &tls.Config{Certificates: []tls.Certificate{test.shown}}
			pool := x509.NewCertPool()
			pool.AddCert(test.root.certificate)
			_, _, want := handshake(t, &tls.Config{RootCAs: pool}, theirs, test.host)

			s := Settings{
				URL:   NewURL("https://" + bracketed(test.host)),
				Roots: []string{file(t, test.root.certificatePEM())},
			}
			c, err := s.Config()
			require.NoError(t, err)
			_, _, err = handshake(t, c.TLS, theirs, test.host)
			if test.refused == "" {
				require.NoError(t, want)
				require.NoError(t, err)
				return
			}
			standard, ok := errors.AsType[*tls.CertificateVerificationError](want)
			require.True(t, ok, "%v", want)
			ours, ok := errors.AsType[*tls.CertificateVerificationError](err)
			require.True(t, ok, "%v", err)
			require.ErrorContains(t, ours, test.refused)
			require.IsType(t, standard.Err, ours.Err)
			require.Equal(t, len(standard.UnverifiedCertificates), len(ours.UnverifiedCertificates))
		})
	}
}

func bracketed(host string) string {
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return "[" + host + "]"
	}
	return host
}

// The name to verify is the one that was set, else the host that was dialed; TLS does
// not say which address was.
func TestRootsName(t *testing.T) {
	root := issue(t, nil, authority)
	theirs := &tls.Config{Certificates: []tls.Certificate{issue(t, root, server).shown()}}
	roots := []string{file(t, root.certificatePEM())}
	const name, ip = "relay.example.com", "10.0.1.1"
	for _, test := range []struct{ name, url, serverName, host, refused string }{
		{"set", "https://elsewhere", name, "elsewhere", ""},
		{"set to an address", "https://elsewhere", ip, "elsewhere", ""},
		{"set for an address", "https://127.0.0.1", name, "127.0.0.1", ""},
		{"set to another", "https://" + name, "elsewhere", name, "not elsewhere"},
		{"set to another address", "https://" + ip, "10.9.9.9", ip, "not 10.9.9.9"},
		{"no URL", "", "", name, ""},
		{"no URL, wrong name", "", "", "elsewhere", "not elsewhere"},
		{"no URL, an address", "", "", ip, "needs that as ServerName"},
		{"another name than the URL's", "https://" + name, "", "elsewhere", "not elsewhere"},
		{"an address instead of the URL's name", "https://" + name, "", ip, "needs that as ServerName"},
		{"a name instead of the URL's address", "https://" + ip, "", name, ""},
		{"a wrong name instead of the URL's address", "https://" + ip, "", "elsewhere", "not elsewhere"},
		{"another address than the URL's", "https://10.9.9.9", "", ip, "not 10.9.9.9"},
		{"a zone", "https://[fe80::1%25eth0]", "", "fe80::1", "not fe80::1"},
		{"dots", "https://relay.example.com.", "", "relay.example.com.", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := Settings{URL: NewURL(test.url), ServerName: test.serverName, Roots: roots}.Config()
			require.NoError(t, err)
			_, _, err = handshake(t, c.TLS, theirs, test.host)
			if test.refused == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, test.refused)
		})
	}
}

func TestRootsNoCertificate(t *testing.T) {
	r := roots{files: []string{file(t, issue(t, nil, authority).certificatePEM())}}
	require.ErrorContains(t, r.verify(tls.ConnectionState{ServerName: "x"}), "no certificate")
}

// What stands in the file at a handshake counts, whatever its size and time.
func TestRootsReadAgain(t *testing.T) {
	a, b := issue(t, nil, authority), issue(t, nil, authority)
	both := append(a.certificatePEM(), b.certificatePEM()...)
	path := file(t, a.certificatePEM())
	c, err := Settings{Roots: []string{path}}.Config()
	require.NoError(t, err)
	try := func(by *issued) error {
		_, _, err := handshake(t, c.TLS, &tls.Config{Certificates: []tls.Certificate{issue(t, by, server).shown()}}, "relay.example.com")
		return err
	}
	require.NoError(t, try(a))
	require.ErrorContains(t, try(b), "unknown authority")
	put(t, path, both)
	require.NoError(t, try(a))
	require.NoError(t, try(b))
	put(t, path, b.certificatePEM())
	require.ErrorContains(t, try(a), "unknown authority")
	require.NoError(t, try(b))

	for _, text := range []string{"", "-----BEGIN CERTIFICATE-----\n"} {
		put(t, path, []byte(text)) // halfway written
		err = try(b)
		require.ErrorContains(t, err, "Roots: "+path+" holds no certificate")
		_, stops := errors.AsType[*moq.ConfigError](err)
		require.False(t, stops, "a supervisor would end")
	}
	require.NoError(t, os.Remove(path))
	require.ErrorIs(t, try(b), os.ErrNotExist)
	put(t, path, b.certificatePEM())
	require.NoError(t, try(b))
}

func TestRootsSeveralFiles(t *testing.T) {
	a, b := issue(t, nil, authority), issue(t, nil, authority)
	s := Settings{Roots: []string{file(t, a.certificatePEM()), file(t, b.certificatePEM())}}
	c, err := s.Config()
	require.NoError(t, err)
	s.Roots[0], s.Roots[1] = "x", "y" // the Config has its own
	for _, by := range []*issued{a, b} {
		_, _, err = handshake(t, c.TLS, &tls.Config{Certificates: []tls.Certificate{issue(t, by, server).shown()}}, "relay.example.com")
		require.NoError(t, err)
	}
}

// A root that is gone is not believed for the sake of an old session either.
func TestRootsResumption(t *testing.T) {
	root := issue(t, nil, authority)
	path := file(t, root.certificatePEM())
	c, err := Settings{Roots: []string{path}}.Config()
	require.NoError(t, err)
	c.TLS.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	theirs := &tls.Config{Certificates: []tls.Certificate{issue(t, root, server).shown()}}
	for _, resumed := range []bool{false, true} {
		state, _, err := handshake(t, c.TLS, theirs, "relay.example.com")
		require.NoError(t, err)
		require.Equal(t, resumed, state.DidResume)
	}
	put(t, path, issue(t, nil, authority).certificatePEM())
	_, _, err = handshake(t, c.TLS, theirs, "relay.example.com")
	require.ErrorContains(t, err, "unknown authority")
}

func TestClientCertificate(t *testing.T) {
	root, other := issue(t, nil, authority), issue(t, nil, authority)
	pool := x509.NewCertPool()
	pool.AddCert(root.certificate)
	theirs := &tls.Config{
		Certificates: []tls.Certificate{issue(t, root, server).shown()},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: pool,
	}
	first, second, foreign := issue(t, root, client), issue(t, root, client), issue(t, other, client)
	dir := t.TempDir()
	certificate, key := filepath.Join(dir, "certificate.pem"), filepath.Join(dir, "key.pem")
	write := func(i *issued) {
		put(t, certificate, i.certificatePEM())
		put(t, key, i.keyPEM(t))
	}
	write(first)
	s := Settings{
		Roots: []string{file(t, root.certificatePEM())}, ClientCertificate: certificate, ClientKey: key,
	}
	c, err := s.Config()
	require.NoError(t, err)
	try := func() ([]*x509.Certificate, error) {
		_, state, err := handshake(t, c.TLS, theirs, "relay.example.com")
		return state.PeerCertificates, err
	}
	for _, i := range []*issued{first, second} {
		write(i)
		shown, err := try()
		require.NoError(t, err)
		require.Len(t, shown, 1)
		require.True(t, shown[0].Equal(i.certificate))
	}

	write(foreign)
	shown, err := try()
	require.NoError(t, err, "the server may do without, as with tls.Config.Certificates")
	require.Empty(t, shown)

	put(t, key, first.keyPEM(t)) // halfway replaced
	_, err = try()
	require.ErrorContains(t, err, "ClientKey: "+key)
	_, stops := errors.AsType[*moq.ConfigError](err)
	require.False(t, stops, "a supervisor would end")
	require.NoError(t, os.Remove(certificate))
	_, err = try()
	require.ErrorIs(t, err, os.ErrNotExist)
	require.ErrorContains(t, err, "ClientCertificate: ")

	write(first)
	shown, err = try()
	require.NoError(t, err)
	require.Len(t, shown, 1)
}

// Certificate, chain and key may stand in one file.
func TestClientCertificateOneFile(t *testing.T) {
	root := issue(t, nil, authority)
	middle := issue(t, root, authority)
	mine := issue(t, middle, client)
	path := file(t, append(append(mine.keyPEM(t), mine.certificatePEM()...), middle.certificatePEM()...))
	c, err := Settings{Insecure: true, ClientCertificate: path, ClientKey: path}.Config()
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(root.certificate)
	theirs := &tls.Config{
		Certificates: []tls.Certificate{issue(t, root, server).shown()},
		ClientAuth:   tls.RequireAndVerifyClientCert, ClientCAs: pool,
	}
	_, state, err := handshake(t, c.TLS, theirs, "anywhere")
	require.NoError(t, err)
	require.Len(t, state.VerifiedChains, 1)
}
