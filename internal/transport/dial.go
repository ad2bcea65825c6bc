package transport

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/moqerr"
)

var errNoShare = errors.New("no answer in this address's share of the time")

// Dialer makes connections. The zero Dialer works for WebTransport with system
// roots; raw QUIC needs Protocols. It may be used concurrently, and must not be
// changed meanwhile.
type Dialer struct {
	// Protocols are the names offered, in order of preference: as ALPN on raw QUIC,
	// in WT-Available-Protocols on WebTransport.
	Protocols []string
	// TLS may be nil. It is cloned; a ServerName in it overrides the URL's host.
	TLS *tls.Config
	// Fingerprints are SHA-256 sums of certificates. If there are any, one must match
	// the server's leaf, and chain and name are not checked. Such a leaf is valid now and
	// for 14 days at most, and its key is not RSA. The clock is TLS.Time.
	Fingerprints [][sha256.Size]byte
	// QUIC may be nil. It is cloned, and datagrams and partial delivery of reset
	// streams are switched on.
	QUIC *quic.Config
	// ListenPacket makes the socket of one dial, "udp4" or "udp6"; it is closed with
	// the connection. nil means UDP on a port of the kernel's choice.
	ListenPacket func(ctx context.Context, network string) (net.PacketConn, error)
	// DeafToICMP leaves unheard what ICMP tells of the path.
	DeafToICMP bool
	// Resolve returns a host's addresses, in the order to try them in. nil means the
	// system's resolver. It is not asked about address literals.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Dial connects to t. ctx bounds the dialing only: name resolution, QUIC, TLS, on
// WebTransport the CONNECT request, and trial's Begin. Addresses are tried in turn, each with its share
// of the time that is left, until one answers; a refusal is an answer.
//
// A status other than 2xx is a *moqerr.StatusError; a close during the dial, or a
// protocol that was not offered, a *moqerr.SessionError; a TLS failure or a refused
// ALPN a *quic.TransportError with a code of 0x100 + the alert; silence a
// *quic.IdleTimeoutError or ctx's error; a name that does not resolve a
// *net.DNSError. All of them are wrapped.
func (d *Dialer) Dial(ctx context.Context, t *Target, trial Trial) (Conn, error) {
	if t.Raw() && len(d.Protocols) == 0 {
		return nil, &moqerr.ConfigError{Field: "Protocols", Err: errors.New("raw QUIC needs at least one")}
	}
	addrs, err := d.resolve(ctx, t.host)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", t.host, err)
	}
	var failed error
	for i, addr := range addrs {
		addr := netip.AddrPortFrom(addr.Unmap(), t.port)
		conn, err := d.attempt(ctx, t, addr, len(addrs)-i, trial)
		if err == nil {
			return conn, nil
		}
		err = fmt.Errorf("dial %s: %w", addr, err)
		over := ctx.Err() != nil || answered(err)
		switch {
		case failed == nil:
			failed = err
		case over: // what decides stands in front
			failed = fmt.Errorf("%w; before that: %w", err, failed)
		default:
			failed = fmt.Errorf("%w; %w", failed, err)
		}
		if over {
			break
		}
	}
	return nil, failed
}

func (d *Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	resolve := d.Resolve
	if resolve == nil {
		resolve = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	addrs, err := resolve(ctx, host)
	if err == nil && len(addrs) == 0 {
		err = &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	if _, told := errors.AsType[*net.DNSError](err); err != nil && !told {
		err = &net.DNSError{UnwrapErr: err, Err: err.Error(), Name: host}
	}
	return addrs, err
}

// attempt dials one address; left counts the addresses not tried yet, with this one.
func (d *Dialer) attempt(ctx context.Context, t *Target, addr netip.AddrPort, left int, trial Trial) (Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && left > 1 {
		var cancel context.CancelFunc
		share := time.Until(deadline) / time.Duration(left)
		ctx, cancel = context.WithTimeoutCause(ctx, share, errNoShare)
		defer cancel()
	}
	if left > 1 {
		trial.leaveAt = time.Now().Add(ordinaryPatience)
	}
	for {
		conn, err := d.knock(ctx, t, addr, trial)
		switch {
		case !errors.Is(err, errInVain) || ctx.Err() != nil:
			return conn, err
		case left > 1 && !time.Now().Before(trial.leaveAt):
			return nil, &quic.IdleTimeoutError{}
		}
	}
}

// knock dials from one socket. It fails with errInVain if it was in a hurry, and was not
// answered.
func (d *Dialer) knock(ctx context.Context, t *Target, addr netip.AddrPort, trial Trial) (Conn, error) {
	socket, err := d.listen(ctx, addr.Addr())
	if err != nil {
		return nil, err
	}
	stamps := newStamps(trial.Heard)
	ctx, done := trial.watch(ctx, stamps)
	defer done()
	conn, err := d.connect(ctx, t, addr, socket, stamps)
	if err == nil && trial.Begin != nil {
		err = trial.Begin(ctx, conn)
	}
	if err != nil {
		return nil, err
	}
	return conn, nil
}

// connect makes a connection on a socket, which it owns.
func (d *Dialer) connect(ctx context.Context, t *Target, addr netip.AddrPort, socket net.PacketConn, stamps *stamps) (Conn, error) {
	observed := observe(socket, stamps, !d.DeafToICMP)
	carrier := &quic.Transport{Conn: observed, ConnectionIDGenerator: unnamed{}}
	release := func() {
		// The socket first: a PacketConn that ignores deadlines would hold up the other.
		_ = socket.Close()
		_ = carrier.Close()
	}
	qconn, err := carrier.Dial(ctx, net.UDPAddrFromAddrPort(addr), d.tlsConfig(t), d.quicConfig())
	if err != nil {
		release()
		return nil, t.hush(err)
	}
	observed.tolerate()
	if t.Raw() {
		l := newLink(qconn, CarrierQUIC, release)
		l.stamps, l.target = stamps, t
		l.start()
		return rawQUIC{l}, nil
	}
	return dialWebTransport(ctx, qconn, t, d.Protocols, stamps, release)
}

// unnamed lets a dialed connection have no ID of its own: its socket is for it alone. A
// server by quic-go spends one ID of the client's at each change of the client's address,
// never gives it back, and has none left for the third.
type unnamed struct{}

// GenerateConnectionID implements quic.ConnectionIDGenerator.
func (unnamed) GenerateConnectionID() (quic.ConnectionID, error) { return quic.ConnectionID{}, nil }

// ConnectionIDLen implements quic.ConnectionIDGenerator.
func (unnamed) ConnectionIDLen() int { return 0 }

func (d *Dialer) listen(ctx context.Context, ip netip.Addr) (net.PacketConn, error) {
	network := "udp4"
	if ip.Is6() {
		network = "udp6"
	}
	if d.ListenPacket != nil {
		return d.ListenPacket(ctx, network)
	}
	return (&net.ListenConfig{}).ListenPacket(ctx, network, ":0")
}

func (d *Dialer) quicConfig() *quic.Config {
	c := &quic.Config{}
	if d.QUIC != nil {
		c = d.QUIC.Clone()
	}
	c.EnableDatagrams = true
	c.EnableStreamResetPartialDelivery = true
	return c
}

// answered says that somebody spoke at the address, so that trying another one
// would only hide what was said.
func answered(err error) bool {
	if _, ok := errors.AsType[*moqerr.StatusError](err); ok {
		return true
	}
	if _, ok := errors.AsType[*moqerr.SessionError](err); ok {
		return true
	}
	// Codes from 0x100 on are TLS alerts (RFC 9001 §4.8).
	transport, ok := errors.AsType[*quic.TransportError](err)
	return ok && transport.ErrorCode.IsCryptoError()
}
