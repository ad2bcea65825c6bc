package transport

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxPinnedLife is the longest that a pinned certificate may be valid, as in browsers.
const maxPinnedLife = 14 * 24 * time.Hour

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

// pin replaces chain and name checks by the fingerprints, and what W3C WebTransport asks
// of a certificate that is trusted by serverCertificateHashes. It stands in
// VerifyConnection because VerifyPeerCertificate is skipped on a resumed session.
func pin(c *tls.Config, fingerprints [][sha256.Size]byte) {
	next, now := c.VerifyConnection, c.Time
	if now == nil {
		now = time.Now
	}
	c.InsecureSkipVerify = true
	c.VerifyConnection = func(state tls.ConnectionState) error {
		if len(state.PeerCertificates) == 0 {
			return errPin
		}
		leaf := state.PeerCertificates[0]
		if !slices.Contains(fingerprints, sha256.Sum256(leaf.Raw)) {
			return errPin
		}
		if err := checkPinned(leaf, now()); err != nil {
			return fmt.Errorf("pinned certificate: %w", err)
		}
		if next != nil {
			return next(state)
		}
		return nil
	}
}

// checkPinned says which rule a pinned certificate breaks. Without a chain nobody can
// revoke it, so a short life has to do instead.
func checkPinned(leaf *x509.Certificate, now time.Time) error {
	switch life := leaf.NotAfter.Sub(leaf.NotBefore); {
	case leaf.Version != 3:
		return fmt.Errorf("X.509 version %d instead of 3", leaf.Version)
	case life > maxPinnedLife:
		return fmt.Errorf("valid for %v, which is more than 14 days", life)
	case now.Before(leaf.NotBefore):
		return fmt.Errorf("not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	case now.After(leaf.NotAfter):
		return fmt.Errorf("not valid after %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	switch key := leaf.PublicKey.(type) {
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() && key.Curve != elliptic.P384() {
			return fmt.Errorf("key on curve %s instead of P-256 or P-384", key.Curve.Params().Name)
		}
		return nil
	case ed25519.PublicKey:
		return nil
	}
	return fmt.Errorf("key of type %s instead of ECDSA or Ed25519", leaf.PublicKeyAlgorithm)
}
