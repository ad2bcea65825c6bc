package session

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// Config says what a session serves, what it fills, and which side it is.
type Config struct {
	Publish   *pubsub.Origin // what the peer may read; nil: nothing
	Subscribe *pubsub.Origin // filled with what the peer announces; nil: not asked for
	Version   wire.Version

	// Path is the request target that the dialing side sends in SETUP on carriers
	// that have no URL (moq-lite.md §2).
	Path string

	// Admit makes this the accepting side. It is called once, with the peer's SETUP,
	// before anything is answered, and returns the prefix under which the peer's
	// names stand in the origins. An error refuses the peer: its session code is
	// sent instead of our SETUP (unauthorized, if it carries none).
	Admit func(wire.Setup) (root string, err error)

	// Budget bounds, in bytes, what the peer can make us hold: groups of its tracks,
	// announcements, open streams and what they have carried so far. Zero: the Subscribe
	// origin's, or 64 MiB. Negative: no bound.
	Budget int64

	Logger *slog.Logger // nil: silent
}

// Session is one live MoQ session. It is used once. All methods may be called
// concurrently.
type Session struct {
	cfg  Config
	conn transport.Conn
	log  *slog.Logger
	hop  uint64 // our identity towards this peer; 0: none
	root string // set before admitted is closed

	// ctx ends with the session, its cause says why. serving ends a little earlier
	// on a graceful close: what is there is still sent, nothing new is waited for.
	ctx     context.Context
	end     context.CancelCauseFunc
	serving context.Context
	drain   context.CancelFunc

	admitted chan struct{} // closed when the peer's SETUP was read and accepted
	peer     wire.Setup    // valid once admitted is closed
	setup    chan wire.Setup

	goingAway chan struct{}
	feed      *pubsub.Feed // nil without a Subscribe origin
	ranks     ranks        // of what we publish
	outflow   outflow
	budget    *pubsub.Budget

	work sync.WaitGroup // every goroutine but conclude
	done chan struct{}

	mu        sync.Mutex
	subs      map[uint64]*subscription // tracks that we asked the peer for, by subscribe id
	nextSub   uint64
	served    map[uint64]struct{} // subscribe ids that the peer has used
	goawayURI string
	gotGoaway bool
	gotSetup  bool
	closed    bool // Close was called: the end is no error
	over      bool // nothing may be started any more

	announcing int           // announce streams of the peer's
	publishing int           // publications under way
	published  chan struct{} // closed when there is none left after closed was set
	err        error
}

// Start runs a session over conn, which it owns from here on, and returns when the
// peer's SETUP was read (and admitted). ctx bounds that wait, not the session's life.
// If the peer closes instead, its reason is the error.
func Start(ctx context.Context, conn transport.Conn, cfg Config) (*Session, error) {
	s := newSession(conn, cfg)
	s.work.Add(1) // until all that Start starts is counted
	s.work.Go(s.acceptGroups)
	s.work.Go(s.acceptStreams)
	s.work.Go(s.receiveDatagrams)
	context.AfterFunc(s.ctx, s.conclude)
	err := s.establish(ctx)
	s.work.Done()
	if err != nil {
		s.fail(err)
		<-s.done
		// The peer's own words are better than what we made of them.
		if cause := conn.Err(); remote(cause) {
			return nil, cause
		}
		return nil, err
	}
	return s, nil
}

func newSession(conn transport.Conn, cfg Config) *Session {
	if cfg.Budget == 0 && cfg.Subscribe != nil {
		cfg.Budget = cfg.Subscribe.Budget()
	}
	s := &Session{
		cfg:       cfg,
		conn:      conn,
		budget:    pubsub.NewBudget(cfg.Budget),
		log:       cfg.Logger,
		admitted:  make(chan struct{}),
		setup:     make(chan wire.Setup, 1),
		goingAway: make(chan struct{}),
		done:      make(chan struct{}),
		published: make(chan struct{}),
		subs:      make(map[uint64]*subscription),
		served:    make(map[uint64]struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	s.serving, s.drain = context.WithCancel(s.ctx)
	switch {
	case cfg.Publish != nil:
		s.hop = cfg.Publish.Identity()
	case cfg.Subscribe != nil:
		s.hop = cfg.Subscribe.Identity()
	}
	if cfg.Subscribe != nil {
		s.feed = cfg.Subscribe.FeedWith(s.budget)
		s.feed.AnswerFetches()
	}
	return s
}

// establish exchanges SETUP. The dialing side says everything that it has to say at
// once, so that the first announcements are here when the peer's SETUP is.
func (s *Session) establish(ctx context.Context) error {
	if s.cfg.Admit == nil {
		if err := s.begin(ctx); err != nil {
			return err
		}
	}
	select {
	case s.peer = <-s.setup:
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-s.conn.Done():
		return s.conn.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if s.cfg.Admit != nil {
		root, err := s.cfg.Admit(s.peer)
		if err != nil {
			return refusal(err)
		}
		s.root = root
		close(s.admitted)
		return s.begin(ctx)
	}
	close(s.admitted)
	return nil
}

// begin sends our SETUP and starts the subscriber half.
func (s *Session) begin(ctx context.Context) error {
	if err := s.sendSetup(ctx); err != nil {
		return err
	}
	if s.feed != nil {
		s.work.Go(s.serveRequests)
		s.work.Go(s.serveFetches)
		s.work.Go(s.readAnnouncements)
	}
	return nil
}

// conclude owns the end: when there is a reason for it, it closes the connection and
// waits for everything that was started. That the connection has died is told by those
// who accept its streams.
func (s *Session) conclude() {
	defer close(s.done)
	cause := context.Cause(s.ctx)
	code, reason := closeCode(cause)
	if err := s.conn.Close(code, reason); err != nil {
		s.log.Debug("close failed", "err", err)
	}
	if s.feed != nil {
		s.feed.Close(cause)
	}
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	s.work.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed || !errors.Is(cause, moqerr.ErrClosed) {
		s.err = cause
	}
}

// fail ends the session; the first cause wins.
func (s *Session) fail(err error) {
	if err == nil {
		err = moqerr.ErrClosed
	}
	s.end(err)
}

// violation ends the session because the peer broke the protocol.
func (s *Session) violation(err error) {
	s.fail(&moqerr.SessionError{Code: moqerr.SessionProtocol, Reason: err.Error()})
}

// Done is closed when the session has ended and everything that it started with it.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says, after Done, why the session ended: nil after Close, else the
// [*moqerr.SessionError] of either side, or the transport's error.
func (s *Session) Err() error {
	select {
	case <-s.done:
	default:
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Abort ends the session at once with the given code and reason, and waits.
func (s *Session) Abort(code moqerr.SessionCode, reason string) {
	s.fail(&moqerr.SessionError{Code: code, Reason: reason})
	<-s.done
}

// Abandon ends the session at once because of cause, which becomes its Err, and waits. The
// peer is told no more than that it is over.
func (s *Session) Abandon(cause error) {
	s.fail(&abandoned{cause})
	<-s.done
}

// GoingAway is closed when the peer has sent GOAWAY (moq-lite.md §4.8).
func (s *Session) GoingAway() <-chan struct{} { return s.goingAway }

// GoawayURI returns where the peer's GOAWAY points to; empty: to where it is.
func (s *Session) GoawayURI() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.goawayURI
}

// Version returns the protocol version that the session speaks.
func (s *Session) Version() wire.Version { return s.cfg.Version }

// Carrier returns the transport's name, "webtransport" or "quic".
func (s *Session) Carrier() string { return s.conn.Carrier() }

// RemoteAddr returns the peer's address.
func (s *Session) RemoteAddr() net.Addr { return s.conn.RemoteAddr() }

// Stats returns the connection's figures.
func (s *Session) Stats() transport.Stats { return s.conn.Stats() }

// PeerSetup returns what the peer said of itself.
func (s *Session) PeerSetup() wire.Setup { return s.peer }
