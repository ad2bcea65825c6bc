package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// The relay's QUIC defaults are those of the released relay (moq-lite.md §2).
const (
	maxStreams  = 10_000
	idleTimeout = 10 * time.Second
	keepAlive   = 3 * time.Second
)

// SetupTimeout is how long a client may take from its first packet to its SETUP.
const SetupTimeout = 10 * time.Second

// Config says how a relay behaves. The zero value works.
type Config struct {
	TLS    *tls.Config    // nil: a new certificate for localhost, 127.0.0.1 and ::1
	QUIC   *quic.Config   // nil: the released relay's timeouts and limits
	Origin *pubsub.Origin // nil: a new one
	Logger *slog.Logger   // nil: silent

	// Versions are the ALPNs that are spoken, in order of preference; nil: all.
	Versions []string

	// Admit decides about each client by its request target (path and query, as the
	// client wrote them); nil admits everybody. The code of a *moqerr.SessionError is
	// sent as it is, any other error as "unauthorized" with its text.
	Admit func(target string) error
	// Answer is asked about each WebTransport client before its request is accepted, and
	// returns the status that refuses it, or nil. nil accepts all.
	Answer func(target string) *moqerr.StatusError
	// Evict returns, for each client that was admitted, a channel of which an error ends
	// its session, with what Admit's would send; nil lets everybody stay.
	Evict func(target string) <-chan error
}

// Handler serves one accepted QUIC connection of a protocol that the relay itself
// does not know. It returns when the connection has ended, and sees to it that it
// does when [Relay.Context] has.
type Handler func(conn *quic.Conn)

// Relay is a relay that listens on one UDP port. All methods may be called
// concurrently.
type Relay struct {
	cfg    Config
	origin *pubsub.Origin
	log    *slog.Logger
	cert   tls.Certificate

	// What every client's goroutine waits for: Drain has begun, its time is over, the
	// relay is closed.
	draining, overdue, ctx context.Context
	drain, expire, cancel  context.CancelFunc

	work sync.WaitGroup // the accept loop and one goroutine a connection

	mu        sync.Mutex
	handlers  map[string]Handler
	order     []string // ALPNs of handlers
	transport *quic.Transport
	listener  *quic.EarlyListener
	closed    bool
	live      int           // sessions
	empty     chan struct{} // closed while there is none
}

// New makes a relay that does not listen yet. A version that it does not speak is a
// *moqerr.ConfigError.
func New(cfg Config) (*Relay, error) {
	r := &Relay{
		cfg:      cfg,
		origin:   cfg.Origin,
		log:      cfg.Logger,
		handlers: make(map[string]Handler),
		empty:    make(chan struct{}),
	}
	close(r.empty)
	if r.origin == nil {
		r.origin = pubsub.NewOrigin()
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if len(r.cfg.Versions) == 0 {
		for _, v := range wire.Versions() {
			r.cfg.Versions = append(r.cfg.Versions, v.ALPN())
		}
	}
	for _, alpn := range r.cfg.Versions {
		if _, ok := wire.ParseVersion(alpn); !ok {
			return nil, &moqerr.ConfigError{Field: "Versions", Err: errors.New("unknown: " + alpn)}
		}
	}
	if cfg.TLS == nil {
		cert, err := NewCertificate("localhost", "127.0.0.1", "::1")
		if err != nil {
			return nil, err
		}
		r.cfg.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}
	}
	if len(r.cfg.TLS.Certificates) > 0 {
		r.cert = r.cfg.TLS.Certificates[0]
	}
	if cfg.QUIC == nil {
		r.cfg.QUIC = &quic.Config{
			MaxIdleTimeout:        idleTimeout,
			KeepAlivePeriod:       keepAlive,
			MaxIncomingStreams:    maxStreams,
			MaxIncomingUniStreams: maxStreams,
		}
	}
	r.draining, r.drain = context.WithCancel(context.Background())
	r.overdue, r.expire = context.WithCancel(context.Background())
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

// Handle lets h serve connections that negotiate the given ALPN. It must be called
// before Serve.
func (r *Relay) Handle(alpn string, h Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handlers[alpn] = h
	r.order = append(r.order, alpn)
}

// Versions returns the ALPNs that the relay speaks.
func (r *Relay) Versions() []string { return r.cfg.Versions }

// Origin returns the relay's table of broadcasts.
func (r *Relay) Origin() *pubsub.Origin { return r.origin }

// Fingerprint returns the hex SHA-256 of the relay's certificate.
func (r *Relay) Fingerprint() string { return Fingerprint(r.cert) }

// Context ends when the relay is closed or killed.
func (r *Relay) Context() context.Context { return r.ctx }

// Listen starts to serve on a UDP address and returns the one that it got. Port 0 is
// any free port.
func (r *Relay) Listen(addr string) (net.Addr, error) {
	udp, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", udp)
	if err != nil {
		return nil, err
	}
	if err := r.Serve(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return conn.LocalAddr(), nil
}

// Serve starts to serve on conn, and returns at once. If it succeeds the relay closes
// conn in the end, and another call is moqerr.ErrClosed, as after Close.
func (r *Relay) Serve(conn net.PacketConn) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.transport != nil {
		return moqerr.ErrClosed
	}
	conf := r.cfg.TLS.Clone()
	conf.NextProtos = append(append([]string(nil), r.cfg.Versions...), r.order...)
	quicConf := r.cfg.QUIC.Clone()
	quicConf.EnableDatagrams = true
	quicConf.EnableStreamResetPartialDelivery = true
	t := &quic.Transport{Conn: conn}
	listener, err := t.ListenEarly(conf, quicConf)
	if err != nil {
		return errors.Join(err, t.Close())
	}
	r.transport, r.listener = t, listener
	r.work.Go(func() { r.accept(listener) })
	return nil
}
