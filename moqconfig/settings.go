package moqconfig

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/remoq/moq"
)

// Settings is what a program is told about its connection. The zero value connects
// with the defaults of [moq.Config].
//
// Fill it with the program's defaults, decode the file into it, call RegisterFlags,
// parse the flags, and call Config. It holds no state, and may be copied. However it is
// printed or written, its URL shows scheme, host and port only.
//
// A program that uses github.com/alecthomas/kong embeds it instead, for the same flags
// and variables:
//
//	Settings moqconfig.Settings `embed:""`
//
// A struct should hold Settings in a named field: one that embeds them takes over their
// methods, and is then itself written and read as Settings.
type Settings struct {
	// URL is the relay, for Connect and Reconnect. It may carry a token. Default: none,
	// and then the program knows better.
	URL URL `json:"url" toml:"url,omitempty" env:"MOQ_URL" help:"Relay to connect to, as in https://host:port/path, with its token if it needs one; moqt:// is raw QUIC."`
	// Versions are offered in this order. Default: every version that this build
	// speaks, newest first.
	Versions []moq.Version `json:"versions" toml:"versions,omitempty" env:"MOQ_VERSIONS" help:"Versions to offer, in this order, as in moq-lite-06,moq-lite-05; none is all, newest first."`

	// ServerName is the name, or the address, that the server's certificate must hold.
	// Default: the host that is dialed.
	ServerName string `json:"server_name" toml:"server_name,omitempty" env:"MOQ_SERVER_NAME" help:"Name that the server's certificate must hold; none is the host that is dialed."`
	// Roots are PEM files of the certificates to trust, instead of the system's. They
	// are read at every handshake, so what is put there counts for the next one.
	Roots []string `json:"roots" toml:"roots,omitempty" env:"MOQ_ROOTS" help:"PEM files of the root certificates to trust instead of the system's, separated by commas."`
	// Fingerprints are SHA-256 sums of the server's certificate, each of 64 hex digits.
	// One of them must match, and chain and name are not checked.
	Fingerprints []string `json:"fingerprints" toml:"fingerprints,omitempty" env:"MOQ_FINGERPRINTS" help:"SHA-256 sums in hex, one of which the server's certificate must have, separated by commas; replaces the check of chain and name."`
	// Insecure believes whoever answers, and sends him the URL's token.
	Insecure bool `json:"insecure" toml:"insecure,omitempty" env:"MOQ_INSECURE" help:"DANGER: do not verify the server at all. Whoever answers is believed, and gets the token. For development only."`

	// ClientCertificate is a PEM file of the certificate to show to a server that asks
	// for one, with its chain. ClientKey is that of its key; it may be the same file.
	// Both are read at every handshake.
	ClientCertificate string `json:"client_certificate" toml:"client_certificate,omitempty" env:"MOQ_CLIENT_CERTIFICATE" help:"PEM file of the certificate to show to a server that asks for one."`
	ClientKey         string `json:"client_key" toml:"client_key,omitempty" env:"MOQ_CLIENT_KEY" help:"PEM file of the key of the client certificate."`

	// ConnectTimeout bounds one attempt. Default: 30 s. Negative: none.
	ConnectTimeout time.Duration `json:"connect_timeout" toml:"connect_timeout,omitzero" env:"MOQ_CONNECT_TIMEOUT" help:"Longest time of one attempt to connect; 0 is 30s, negative is no limit."`
	// KeepAlive is the longest silence of ours. Default: 3 s. Negative: off.
	KeepAlive time.Duration `json:"keep_alive" toml:"keep_alive,omitzero" env:"MOQ_KEEP_ALIVE" help:"Longest silence before we send something; 0 is 3s, negative is off."`
	// IdleTimeout is how long the server may be silent before the session is lost.
	// Default: 10 s. It cannot be switched off.
	IdleTimeout time.Duration `json:"idle_timeout" toml:"idle_timeout,omitzero" env:"MOQ_IDLE_TIMEOUT" help:"Silence of the server after which the session is lost; 0 is 10s."`

	// Backoff is the pacing of Reconnect.
	Backoff moq.Backoff `json:"backoff" toml:"backoff,omitempty" embed:"" prefix:"backoff-"`
}

// Config returns what [moq.NewClient] takes, with nothing in it that Settings do not
// speak of: the program adds its origins, its logger and so on.
//
// Any error is a *[moq.ConfigError] that names the field of Settings: one that cannot
// be used, two that contradict each other, or a file that cannot be read, or holds no
// certificate. No error repeats any part of the URL.
//
// With Roots or ClientCertificate the Config's TLS reads these files again at every
// handshake, so that certificates can be replaced while the program runs. A file that
// cannot be used at that time fails the attempt, and [moq.Client.Reconnect] makes
// another. Roots are checked by a VerifyConnection of ours, which refuses what
// crypto/tls would; InsecureSkipVerify is set because of it. Do not replace it. A server
// that is dialed by an IP address must hold the one that ServerName or URL has. In FIPS
// 140 mode roots are read once, here.
func (s Settings) Config() (moq.Config, error) {
	if err := s.check(); err != nil {
		return moq.Config{}, err
	}
	if err := s.contradiction(); err != nil {
		return moq.Config{}, err
	}
	c := s.plain()
	var err error
	if c.TLS, err = s.tls(); err != nil {
		return moq.Config{}, err
	}
	return c, nil
}

// plain is the Config but for TLS.
func (s Settings) plain() moq.Config {
	return moq.Config{
		Versions:       slices.Clone(s.Versions),
		Fingerprints:   slices.Clone(s.Fingerprints),
		QUIC:           moq.QUICOptions{MaxIdleTimeout: s.IdleTimeout, KeepAlive: s.KeepAlive},
		ConnectTimeout: s.ConnectTimeout,
		Backoff:        s.Backoff,
	}
}

// check reports the first field that cannot be used, whatever the others say. The
// client's own rules decide.
func (s Settings) check() error {
	client, err := moq.NewClient(s.plain())
	if err != nil {
		if bad, ok := errors.AsType[*moq.ConfigError](err); ok && bad.Field == "QUIC.MaxIdleTimeout" {
			return &moq.ConfigError{Field: "IdleTimeout", Err: bad.Err}
		}
		return err
	}
	_ = client.Close()
	if s.URL == (URL{}) {
		return nil
	}
	// A closed client dials nothing, but still says what it could not dial.
	_, err = client.Connect(context.Background(), s.URL.Reveal())
	if errors.Is(err, moq.ErrClosed) {
		return nil
	}
	return err
}

// contradiction reports fields that cannot all be meant.
func (s Settings) contradiction() error {
	bad := func(field, text string) error {
		return &moq.ConfigError{Field: field, Err: errors.New(text)}
	}
	switch {
	case s.Insecure && len(s.Fingerprints) > 0:
		return bad("Insecure", "contradicts Fingerprints, which are to be verified")
	case s.Insecure && len(s.Roots) > 0:
		return bad("Insecure", "contradicts Roots, which are to be verified")
	case len(s.Roots) > 0 && len(s.Fingerprints) > 0:
		return bad("Roots", "would not be asked: Fingerprints replace the check of the chain")
	case s.ClientCertificate != "" && s.ClientKey == "":
		return bad("ClientKey", "is missing; ClientCertificate needs it")
	case s.ClientKey != "" && s.ClientCertificate == "":
		return bad("ClientCertificate", "is missing; ClientKey is of no use without it")
	}
	return nil
}
