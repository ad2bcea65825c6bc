package moqconfig

import (
	"cmp"
	"crypto/fips140"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/remoq/moq"
)

// tls reads all files once, to report what is wrong with them, and returns the TLS
// settings: nil if there are none.
func (s Settings) tls() (*tls.Config, error) {
	if s.ServerName == "" && !s.Insecure && len(s.Roots) == 0 && s.ClientCertificate == "" {
		return nil, nil
	}
	c := &tls.Config{ServerName: s.ServerName, InsecureSkipVerify: s.Insecure} // asked for by its loud name
	if len(s.Roots) > 0 {
		if err := s.trustRoots(c); err != nil {
			return nil, err
		}
	}
	if s.ClientCertificate != "" {
		pair := keyPair{s.ClientCertificate, s.ClientKey}
		if _, err := pair.read(); err != nil {
			return nil, err
		}
		c.GetClientCertificate = pair.get
	}
	return c, nil
}

// trustRoots lets c verify servers by the root files alone.
func (s Settings) trustRoots(c *tls.Config) error {
	r := roots{files: slices.Clone(s.Roots)}
	pool, err := r.read()
	if err != nil {
		return err
	}
	if fips140.Enabled() {
		// Only crypto/tls knows which chains are allowed then, and it takes a pool that
		// does not change.
		c.RootCAs = pool
		return nil
	}
	r.address = address(cmp.Or(s.ServerName, s.URL.host()))
	c.InsecureSkipVerify = true // verify does it
	c.VerifyConnection = r.verify
	return nil
}

// address returns host if it is an IP address, in the form that certificates hold.
func address(host string) string {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return ""
	}
	return ip.WithZone("").String()
}

// roots are the PEM files of trusted certificates.
type roots struct {
	files []string
	// What the certificate must hold if the server was asked for no name: TLS does not
	// tell VerifyConnection which address was dialed.
	address string
}

func (r roots) read() (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	for _, file := range r.files {
		text, err := os.ReadFile(file)
		if err == nil && !pool.AppendCertsFromPEM(text) {
			err = fmt.Errorf("%s holds no certificate", file)
		}
		if err != nil {
			return nil, &moq.ConfigError{Field: "Roots", Err: err}
		}
	}
	return pool, nil
}

// verify is what crypto/tls does by default, with the roots of this moment. Unlike
// that, it also verifies sessions that are resumed.
func (r roots) verify(state tls.ConnectionState) error {
	name := state.ServerName
	if name == "" {
		name = r.address // no server is asked for by an address (RFC 6066, section 3)
	}
	if name == "" {
		return errors.New("a server that was dialed by its address needs that as ServerName, or in URL, to be verified")
	}
	if len(state.PeerCertificates) == 0 {
		return errors.New("the server showed no certificate")
	}
	pool, err := r.read()
	if err != nil {
		return unreadable(err)
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range state.PeerCertificates[1:] {
		intermediates.AddCert(certificate)
	}
	// No KeyUsages means that of a server.
	_, err = state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: name, Roots: pool, Intermediates: intermediates})
	if err != nil {
		return &tls.CertificateVerificationError{UnverifiedCertificates: state.PeerCertificates, Err: err}
	}
	return nil
}

// keyPair is the PEM files of a certificate and its key.
type keyPair struct{ certificate, key string }

func (p keyPair) read() (*tls.Certificate, error) {
	bad := func(field string, err error) (*tls.Certificate, error) {
		return nil, &moq.ConfigError{Field: field, Err: err}
	}
	certificate, err := os.ReadFile(p.certificate)
	if err == nil && !x509.NewCertPool().AppendCertsFromPEM(certificate) {
		err = fmt.Errorf("%s holds no certificate", p.certificate)
	}
	if err != nil {
		return bad("ClientCertificate", err)
	}
	key, err := os.ReadFile(p.key)
	if err != nil {
		return bad("ClientKey", err)
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return bad("ClientKey", fmt.Errorf("%s: %w", p.key, err))
	}
	return &pair, nil
}

// get is what crypto/tls does with Certificates, with the pair of this moment.
func (p keyPair) get(request *tls.CertificateRequestInfo) (*tls.Certificate, error) {
	pair, err := p.read()
	if err != nil {
		return nil, unreadable(err)
	}
	if request.SupportsCertificate(pair) != nil {
		return &tls.Certificate{}, nil // the server may do without
	}
	return pair, nil
}

// unreadable is the failure of one handshake. It is no ConfigError, with which a
// supervisor would stop: whoever replaces a file may be halfway through.
func unreadable(err error) error {
	if bad, ok := errors.AsType[*moq.ConfigError](err); ok {
		err = fmt.Errorf("%s: %w", bad.Field, bad.Err)
	}
	return transient{err}
}

// transient tells a supervisor that a failure is no answer of the peer's, although TLS
// reports it as a bad certificate.
type transient struct{ error }

func (t transient) Unwrap() error   { return t.error }
func (t transient) Transient() bool { return true }
