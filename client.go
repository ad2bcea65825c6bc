package moq

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/remoq/moq/internal/session"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
)

// Client dials. It holds no connection of its own: each session has one to itself.
// All methods may be called concurrently.
type Client struct {
	config Config // with its defaults
	dialer transport.Dialer

	// ctx ends with Close, and with it the dials of Connect.
	ctx    context.Context
	cancel context.CancelFunc

	calls sync.WaitGroup // of Connect and Reconnect that are under way

	mu      sync.Mutex
	closed  bool
	owned   map[closer]struct{} // what Close has to end; may hold some that have ended
	sweepAt int                 // size of owned at which those are removed
}

// closer is a session or a supervisor.
type closer interface {
	Closed() <-chan struct{}
	Close() error
}

// minSweep keeps a client of few sessions from sweeping at each call.
const minSweep = 16

// NewClient makes a client. A setting that cannot be used is a *[ConfigError] that
// names it.
func NewClient(config Config) (*Client, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	pins, err := parseFingerprints(config.Fingerprints)
	if err != nil {
		return nil, err
	}
	config = config.withDefaults()
	c := &Client{
		config: config,
		dialer: transport.Dialer{
			TLS:          config.TLS,
			Fingerprints: pins,
			QUIC:         config.QUIC.quicConfig(),
			ListenPacket: config.ListenPacket,
			Resolve:      config.Resolve,
		},
		owned:   make(map[closer]struct{}),
		sweepAt: minSweep,
	}
	for _, v := range config.Versions {
		c.dialer.Protocols = append(c.dialer.Protocols, string(v))
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c, nil
}

// Connect makes one attempt and returns when the peer's SETUP was read, so a refusal
// is its error. ctx bounds the attempt only, and so does [Config].ConnectTimeout.
//
// The scheme of url is https (WebTransport), or moqt or moql (raw QUIC). A url that
// cannot be dialed is a *[ConfigError]. A peer that closes is a *[SessionError], an
// HTTP status a *[StatusError]; both match [ErrRefused] for a rejected credential.
// After [Client.Close] the error is [ErrClosed]. All other errors are the network's.
func (c *Client) Connect(ctx context.Context, url string) (*Session, error) {
	target, err := transport.ParseURL(url)
	if err != nil {
		return nil, err
	}
	if !c.enter() {
		return nil, ErrClosed
	}
	defer c.calls.Done()

	dialing, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.ctx, func() { cancel(ErrClosed) })()
	var limit time.Time
	if c.config.ConnectTimeout > 0 {
		limit = time.Now().Add(c.config.ConnectTimeout)
	}
	s, err := attempt(dialing, limit, func(ctx context.Context) (*Session, error) { return c.dial(ctx, target) })
	switch {
	case err == nil && c.own(s):
		return s, nil
	case err == nil:
		_ = s.Close()
		return nil, ErrClosed
	case c.ctx.Err() != nil:
		return nil, fmt.Errorf("%w while connecting: %w", ErrClosed, err)
	}
	return nil, err
}

// Reconnect keeps a session to url alive, and returns at once; url is as for
// [Client.Connect]. ctx bounds the supervisor's life.
//
// If url cannot be dialed, or the client is closed, the supervisor has already
// stopped, with a *[StopError] that wraps the *[ConfigError] or [ErrClosed].
func (c *Client) Reconnect(ctx context.Context, url string) *Reconnect {
	with := supervision[*Session]{
		timeout: c.config.ConnectTimeout,
		backoff: c.config.Backoff,
		logger:  c.config.Logger,
		done:    func(error) {},
	}
	if c.config.Subscribe != nil {
		with.done = c.config.Subscribe.Supervise()
	}
	target, err := transport.ParseURL(url)
	if err != nil {
		return &Reconnect{stillborn(with, err)}
	}
	if !c.enter() {
		return &Reconnect{stillborn(with, ErrClosed)}
	}
	defer c.calls.Done()

	with.endpoint = target.String()
	with.dial = func(ctx context.Context) (*Session, error) { return c.dial(ctx, target) }
	r := &Reconnect{supervise(ctx, with)}
	if !c.own(r) {
		_ = r.Close()
	}
	return r
}

// Close ends every session and supervisor of the client, and the attempts under way,
// and waits for all of them. It may be called again, and then waits the same. The
// error is always nil.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.cancel()
	// From here on nothing is added: what is under way finds the client closed.
	c.calls.Wait()

	c.mu.Lock()
	owned := make([]closer, 0, len(c.owned))
	for o := range c.owned {
		owned = append(owned, o)
	}
	c.mu.Unlock()
	var closing sync.WaitGroup
	for _, o := range owned {
		closing.Go(func() { _ = o.Close() })
	}
	closing.Wait()
	return nil
}

// enter begins a call, unless the client is closed. The caller ends it by calls.Done.
func (c *Client) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.calls.Add(1)
	return true
}

// own makes o the client's to close, unless the client is closed.
func (c *Client) own(o closer) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return false
	}
	c.owned[o] = struct{}{}
	if len(c.owned) >= c.sweepAt {
		for o := range c.owned {
			if isClosed(o.Closed()) {
				delete(c.owned, o)
			}
		}
		c.sweepAt = max(minSweep, 2*len(c.owned))
	}
	return true
}

// dial makes one session. ctx bounds that, not the session's life.
func (c *Client) dial(ctx context.Context, target *transport.Target) (*Session, error) {
	conn, err := c.dialer.Dial(ctx, target)
	if err != nil {
		return nil, err
	}
	version, known := wire.ParseVersion(conn.Protocol())
	if !known || !slices.Contains(c.config.Versions, Version(conn.Protocol())) {
		err := &SessionError{Code: SessionVersion, Reason: fmt.Sprintf("the peer chose %q", conn.Protocol())}
		_ = conn.Close(err.Code, err.Reason)
		return nil, err
	}
	config := session.Config{
		Publish:   c.config.Publish,
		Subscribe: c.config.Subscribe,
		Version:   version,
		Logger:    c.config.Logger,
	}
	if target.Raw() {
		config.Path = target.Request()
	}
	inner, err := session.Start(ctx, conn, config)
	if err != nil {
		return nil, err
	}
	return &Session{inner}, nil
}
