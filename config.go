package moq

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/pubsub"
)

const (
	// A relay gives a lost session 10 s; to notice later than that costs the takeover.
	defaultMaxIdleTimeout = 10 * time.Second
	// Three pings fit into the idle timeout, so two may be lost.
	defaultKeepAlive = 3 * time.Second
	// Each subscription of the peer holds a stream for as long as it lives. 1024 is
	// what relays grant themselves.
	defaultMaxStreams = 1024
	minUniStreams     = 16
	// Where quic-go's windows begin, before they grow with the traffic.
	initialStreamWindow     = 512 << 10
	initialConnectionWindow = 768 << 10

	defaultConnectTimeout = 30 * time.Second
)

// Version is a version of the protocol, named as in ALPN.
type Version string

// The versions that this build speaks (moq-lite.md §1.1).
const (
	Lite06 Version = "moq-lite-06"
	Lite05 Version = "moq-lite-05"
)

// versions are offered by default: newest first.
var versions = []Version{Lite06, Lite05}

// Config is what a [Client] works with. [NewClient] copies it. The zero value works;
// it then neither publishes nor subscribes.
type Config struct {
	// Publish is what the peer may read from us. Default: nothing.
	Publish *pubsub.Origin
	// Subscribe is filled with what the peer announces. Default: nothing is asked for.
	// The same Origin may stand in both.
	Subscribe *pubsub.Origin

	// Versions are offered in this order. Default: every version that this build
	// speaks, newest first.
	Versions []Version

	// TLS holds roots, client certificates, the server name and a session cache. It is
	// cloned. Default: the system's roots, and the URL's host as the name. A callback in it
	// that fails for a moment only, such as one that reads files, returns an error with a
	// method Transient() bool that says true: else three such failures end a [Reconnect].
	TLS *tls.Config
	// Fingerprints are SHA-256 sums of the server's leaf certificate, each of 64 hex
	// digits. If there are any, one of them must match, and they replace the checks of
	// chain and name. As in browsers (serverCertificateHashes of W3C WebTransport), such a
	// certificate must be valid now, for 14 days at most, and its key be ECDSA on P-256 or
	// P-384, or Ed25519. More than one are for rotation. Default: none.
	Fingerprints []string
	// QUIC tunes the transport.
	QUIC QUICOptions

	// ConnectTimeout bounds one attempt: DNS, QUIC, TLS, CONNECT and SETUP together.
	// Default: 30 s. Negative: none.
	ConnectTimeout time.Duration
	// Backoff is the pacing of Reconnect.
	Backoff Backoff
	// Hooks are functions of the program's that are asked and told.
	Hooks Hooks

	// ListenPacket opens the socket of one dial, which the client closes. Default: UDP
	// on any port. An attempt ends no sooner than this returns, so it must heed ctx.
	ListenPacket func(ctx context.Context, network string) (net.PacketConn, error)
	// Resolve looks up a host, and must heed ctx as well. Default: net.DefaultResolver.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)

	// Logger hears of outages and recoveries. No record holds more of a URL than
	// scheme, host and port. Default: silence.
	Logger *slog.Logger
}

// QUICOptions tune the transport of every session.
type QUICOptions struct {
	// MaxIdleTimeout is how long the peer may be silent before the session is lost; the
	// peer may have asked for less. Default: 10 s. It cannot be switched off.
	MaxIdleTimeout time.Duration
	// KeepAlive is the longest silence of ours. Default: 3 s. Negative: off, and then
	// an idle session ends after MaxIdleTimeout.
	KeepAlive time.Duration

	// MaxStreams bounds the requests that the peer may have open with us: each track
	// that it reads is one. Default: 1024. Negative: none.
	MaxStreams int64
	// MaxUniStreams bounds the groups that the peer may be sending at a time.
	// Default: 1024. It cannot be switched off, and less than 16 is raised to 16: the
	// transport needs a few of its own.
	MaxUniStreams int64

	// DisableICMP leaves ICMP errors unheard. They are a hint that the peer is gone, on
	// Linux only. Default: they are heard.
	DisableICMP bool

	// StreamWindow is how many bytes of one stream the peer may send ahead of our
	// reading. Default: 6 MB.
	StreamWindow uint64
	// ConnectionWindow is the same for all streams together. Default: 15 MB.
	ConnectionWindow uint64
}

// validate reports the first setting that cannot be used.
func (c Config) validate() error {
	for i, v := range c.Versions {
		if !slices.Contains(versions, v) {
			return &ConfigError{Field: "Versions", Err: fmt.Errorf("unknown version %q", string(v))}
		}
		if slices.Contains(c.Versions[:i], v) {
			return &ConfigError{Field: "Versions", Err: fmt.Errorf("%q stands there twice", string(v))}
		}
	}
	if _, err := parseFingerprints(c.Fingerprints); err != nil {
		return err
	}
	if len(c.Fingerprints) > 0 && c.TLS != nil && c.TLS.InsecureSkipVerify {
		return &ConfigError{Field: "TLS.InsecureSkipVerify", Err: errors.New("contradicts Fingerprints, which are to be verified")}
	}
	if c.TLS != nil && c.TLS.MaxVersion != 0 && c.TLS.MaxVersion < tls.VersionTLS13 {
		return &ConfigError{Field: "TLS.MaxVersion", Err: errors.New("QUIC needs TLS 1.3")}
	}
	if err := c.QUIC.validate(); err != nil {
		return err
	}
	return c.Backoff.validate()
}

func (q QUICOptions) validate() error {
	if q.MaxIdleTimeout < 0 {
		return &ConfigError{Field: "QUIC.MaxIdleTimeout", Err: errors.New("a dead peer would never be noticed")}
	}
	if q.MaxUniStreams < 0 {
		return &ConfigError{Field: "QUIC.MaxUniStreams", Err: errors.New("the peer could not even send its SETUP")}
	}
	return nil
}

// withDefaults returns a copy with every field filled in; nothing in it is shared
// with the caller but the origins, the functions and the logger.
func (c Config) withDefaults() Config {
	c.Versions = slices.Clone(c.Versions)
	if len(c.Versions) == 0 {
		c.Versions = slices.Clone(versions)
	}
	c.TLS = c.TLS.Clone() // nil stays nil
	c.Fingerprints = slices.Clone(c.Fingerprints)
	c.QUIC = c.QUIC.withDefaults()
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	c.Backoff = c.Backoff.withDefaults()
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

func (q QUICOptions) withDefaults() QUICOptions {
	if q.MaxIdleTimeout == 0 {
		q.MaxIdleTimeout = defaultMaxIdleTimeout
	}
	if q.KeepAlive == 0 {
		q.KeepAlive = defaultKeepAlive
	}
	if q.MaxStreams == 0 {
		q.MaxStreams = defaultMaxStreams
	}
	if q.MaxUniStreams == 0 {
		q.MaxUniStreams = defaultMaxStreams
	}
	q.MaxUniStreams = max(q.MaxUniStreams, minUniStreams)
	return q
}

// quicConfig translates options that were filled in.
func (q QUICOptions) quicConfig() *quic.Config {
	c := &quic.Config{
		MaxIdleTimeout:             q.MaxIdleTimeout,
		KeepAlivePeriod:            max(q.KeepAlive, 0),
		MaxIncomingStreams:         q.MaxStreams,
		MaxIncomingUniStreams:      q.MaxUniStreams,
		MaxStreamReceiveWindow:     q.StreamWindow,
		MaxConnectionReceiveWindow: q.ConnectionWindow,
	}
	// A window that is smaller than the one to begin with would not bind otherwise.
	if q.StreamWindow > 0 {
		c.InitialStreamReceiveWindow = min(q.StreamWindow, initialStreamWindow)
	}
	if q.ConnectionWindow > 0 {
		c.InitialConnectionReceiveWindow = min(q.ConnectionWindow, initialConnectionWindow)
	}
	return c
}

// parseFingerprints decodes the pins.
func parseFingerprints(pins []string) ([][sha256.Size]byte, error) {
	var sums [][sha256.Size]byte
	for i, pin := range pins {
		sum, err := hex.DecodeString(pin)
		if err == nil && len(sum) != sha256.Size {
			err = fmt.Errorf("%d hex digits instead of %d", len(pin), 2*sha256.Size)
		}
		if err != nil {
			return nil, &ConfigError{Field: "Fingerprints", Err: fmt.Errorf("number %d: %w", i+1, err)}
		}
		sums = append(sums, [sha256.Size]byte(sum))
	}
	return sums, nil
}
