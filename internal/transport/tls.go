package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"slices"
)

var errPin = errors.New("certificate matches no fingerprint")

// tlsConfig returns what one dial uses: a copy of the caller's, completed.
func (d *Dialer) tlsConfig(t *Target) *tls.Config {
	c := &tls.Config{}
	if d.TLS != nil {
		c = d.TLS.Clone()
	}
	if c.ServerName == "" {
		c.ServerName = t.serverName()
	}
	c.MinVersion = max(c.MinVersion, tls.VersionTLS13)
	c.NextProtos = []string{"h3"}
	if t.Raw() {
		c.NextProtos = slices.Clone(d.Protocols)
	}
	if len(d.Fingerprints) > 0 {
		pin(c, slices.Clone(d.Fingerprints))
	}
	return c
}

// pin replaces chain and name checks by the fingerprints. It stands in
// VerifyConnection because VerifyPeerCertificate is skipped on a resumed session.
func pin(c *tls.Config, fingerprints [][sha256.Size]byte) {
	next := c.VerifyConnection
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 ||
			!slices.Contains(fingerprints, sha256.Sum256(state.PeerCertificates[0].Raw)) {
			return errPin
		}
		if next != nil {
			return next(state)
		}
		return nil
	}
}
