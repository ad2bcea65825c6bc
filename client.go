package moq

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/remoq/moq/internal/netwatch"
	"github.com/remoq/moq/internal/transport"
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
	waker *waker

	unwatch func() // ends the watch over the machine's network; nil: none. Set by the first dial

	mu       sync.Mutex
	watching bool // unwatch is set, or is about to be
	closed   bool
	owned    map[closer]struct{} // what Close has to end; may hold some that have ended
	sweepAt  int                 // size of owned at which those are removed
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
			DeafToICMP:   config.QUIC.DisableICMP,
			Resolve:      config.Resolve,
		},
		owned:   make(map[closer]struct{}),
		sweepAt: minSweep,
	}
	for _, v := range config.Versions {
		c.dialer.Protocols = append(c.dialer.Protocols, string(v))
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.waker = newWaker(wallClock, c.check)
	if c.dialer.ListenPacket == nil {
		c.dialer.ListenPacket = c.listen
	}
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
	to := endpoint{client: c, target: target, url: url, hooks: new(caller)}
	s, err := within(dialing, limit, func(ctx context.Context) (*Session, error) { return to.dial(ctx, newTrial()) })
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
	hooks := new(caller)
	r := &Reconnect{history: new(history), hooks: hooks}
	with := supervision[*Session]{
		timeout:   c.config.ConnectTimeout,
		backoff:   c.config.Backoff,
		classify:  classifier(hooks, c.config.Hooks.Classify),
		renewable: c.config.Hooks.Credentials != nil,
		logger:    c.config.Logger,
		observe:   c.config.Hooks.Observe,
		asleep:    c.waker.asleep,
		gone:      r.history.close,
		done:      func(error) {},
		hooks:     hooks,
	}
	if c.config.Subscribe != nil {
		with.done = c.config.Subscribe.Supervise()
	}
	target, err := transport.ParseURL(url)
	if err != nil {
		r.supervisor = stillborn(with, err)
		return r
	}
	if !c.enter() {
		r.supervisor = stillborn(with, ErrClosed)
		return r
	}
	defer c.calls.Done()

	with.endpoint = target.String()
	to := endpoint{client: c, target: target, url: url, hooks: hooks}
	with.dial = func(ctx context.Context, t trial) (*Session, error) {
		s, err := to.dial(ctx, t)
		if err == nil {
			r.history.open(s)
		}
		return s, err
	}
	r.supervisor = supervise(ctx, with)
	if !c.own(r) {
		_ = r.Close()
	}
	return r
}

// listen opens a socket of the machine's, and begins to look for changes of its network.
func (c *Client) listen(ctx context.Context, network string) (net.PacketConn, error) {
	c.mu.Lock()
	first := !c.watching
	c.watching = true
	c.mu.Unlock()
	if first {
		c.unwatch, _ = netwatch.Watch(c.check)
	}
	return (&net.ListenConfig{}).ListenPacket(ctx, network, ":0")
}

// check lets every supervisor look at its path.
func (c *Client) check() {
	c.mu.Lock()
	var all []*Reconnect
	for o := range c.owned {
		if r, ok := o.(*Reconnect); ok {
			all = append(all, r)
		}
	}
	c.mu.Unlock()
	for _, r := range all {
		r.Check()
	}
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
	c.waker.stop()
	if c.unwatch != nil { // every dial has ended, so nobody sets it any more
		c.unwatch()
	}
	return nil
}

// String names the protocol versions that are offered.
func (c *Client) String() string { return fmt.Sprintf("moq client of %v", c.config.Versions) }

// Format writes String, whatever the verb, as [Session.Format] does.
func (c *Client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.String()) }

// MarshalText is String.
func (c *Client) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

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
