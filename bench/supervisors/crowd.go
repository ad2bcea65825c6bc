package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq"
	"github.com/remoq/moq/pubsub"
)

// crowd is many of the same, which do nothing.
type crowd interface {
	grow(ctx context.Context, n int) error // by n, which are ready when it returns
	sent() uint64                          // packets so far
	lost() int                             // how many of them have had to begin anew, or have ended
	close()
}

// The arms of P11 and P12.
const (
	sleeping  = "sleeping"  // goroutines
	waiting   = "waiting"   // supervisors between two attempts
	raw       = "R"         // quic-go's connections, and nothing else
	connected = "connected" // supervisors with a session over raw QUIC
	origins   = "origins"   // the same, with something to publish to and to subscribe to
	overWeb   = "web"       // as connected, over WebTransport
)

var arms = map[string]func(order) (crowd, error){
	sleeping: func(order) (crowd, error) { return newSleepers(), nil },
	raw:      func(o order) (crowd, error) { return &connections{order: o}, nil },
	waiting: func(o order) (crowd, error) {
		return newSupervisors(o, "moqt://"+nobody, moq.Waiting, moq.Config{Backoff: longWaits, ConnectTimeout: giveUp})
	},
	connected: func(o order) (crowd, error) {
		return newSupervisors(o, "moqt://"+o.Addr, moq.Connected, moq.Config{})
	},
	origins: func(o order) (crowd, error) {
		both := pubsub.NewOrigin()
		return newSupervisors(o, "moqt://"+o.Addr, moq.Connected, moq.Config{Publish: both, Subscribe: both})
	},
	overWeb: func(o order) (crowd, error) {
		return newSupervisors(o, "https://"+o.Addr, moq.Connected, moq.Config{})
	},
}

const (
	// nobody listens there, and as the port is a reserved one no socket of ours gets it.
	nobody = "127.0.0.1:9"
	// giveUp is how long a dial to it may take. What it waits for does not come.
	giveUp = 100 * time.Millisecond
	// parallel is how many dials there are at a time.
	parallel = 64
)

// longWaits are of 6 minutes at least: none ends while we look.
var longWaits = moq.Backoff{Initial: time.Hour, Max: time.Hour}

// supervisors are those of one client.
type supervisors struct {
	client *moq.Client
	url    string
	phase  moq.Phase // to wait for

	mu       sync.Mutex
	all      []*moq.Reconnect
	sessions []*moq.Session
}

func newSupervisors(o order, url string, phase moq.Phase, config moq.Config) (*supervisors, error) {
	config.Fingerprints = []string{o.Fingerprint}
	client, err := moq.NewClient(config)
	if err != nil {
		return nil, err
	}
	return &supervisors{client: client, url: url, phase: phase}, nil
}

func (s *supervisors) grow(ctx context.Context, n int) error {
	return each(n, func() error {
		// Its life is the client's: a context of its own would be counted.
		r := s.client.Reconnect(context.Background(), s.url)
		for state := range r.States(ctx) {
			if state.Phase == s.phase {
				return s.add(ctx, r)
			}
		}
		return errors.Join(context.Cause(ctx), r.Err())
	})
}

func (s *supervisors) add(ctx context.Context, r *moq.Reconnect) error {
	var session *moq.Session
	if s.phase == moq.Connected {
		var err error
		if session, err = r.Session(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, r)
	if session != nil {
		s.sessions = append(s.sessions, session)
	}
	return nil
}

func (s *supervisors) sent() (packets uint64) {
	for _, session := range s.sessions {
		packets += session.Stats().PacketsSent
	}
	return packets
}

func (s *supervisors) lost() (n int) {
	for _, r := range s.all {
		if state := r.State(); state.Losses > 0 || state.Phase == moq.Stopped {
			n++
		}
	}
	return n
}

func (s *supervisors) close() { _ = s.client.Close() }

// keepAlive is how long a supervised session with default settings lets pass before it
// probes: 250 ms less than [moq.QUICOptions].KeepAlive. Raw connections ping as often.
const keepAlive = 2750 * time.Millisecond

// connections are arm R: dialed as our carrier does it, each from its own socket.
type connections struct {
	order
	mu  sync.Mutex
	all []connection
}

type connection struct {
	*quic.Conn
	transport *quic.Transport
}

func (c *connections) grow(ctx context.Context, n int) error {
	to, err := net.ResolveUDPAddr("udp", c.Addr)
	if err != nil {
		return err
	}
	conf := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{rawProtocol}, MinVersion: tls.VersionTLS13}
	quicConf := &quic.Config{
		MaxIdleTimeout: 10 * time.Second, KeepAlivePeriod: keepAlive,
		MaxIncomingStreams: 1024, MaxIncomingUniStreams: 1024,
		EnableDatagrams: true, EnableStreamResetPartialDelivery: true,
	}
	return each(n, func() (err error) {
		for range tries { // a supervisor tries again, too
			if err = c.dial(ctx, to, conf.Clone(), quicConf.Clone()); err == nil {
				return nil
			}
		}
		return err
	})
}

// tries is how often a busy machine may fail a raw dial.
const tries = 5

func (c *connections) dial(ctx context.Context, to net.Addr, conf *tls.Config, quicConf *quic.Config) error {
	socket, err := net.ListenUDP("udp4", nil)
	if err != nil {
		return err
	}
	transport := &quic.Transport{Conn: socket}
	conn, err := transport.Dial(ctx, to, conf, quicConf)
	if err != nil {
		return errors.Join(err, transport.Close(), socket.Close())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, connection{conn, transport})
	return nil
}

func (c *connections) sent() (packets uint64) {
	for _, conn := range c.all {
		packets += conn.ConnectionStats().PacketsSent
	}
	return packets
}

func (c *connections) lost() (n int) {
	for _, conn := range c.all {
		if conn.Context().Err() != nil {
			n++
		}
	}
	return n
}

func (c *connections) close() {
	for _, conn := range c.all {
		_ = conn.CloseWithError(0, "")
		_ = conn.transport.Close()
		_ = conn.transport.Conn.Close()
	}
}

// sleepers are goroutines that wait for a time that does not come.
type sleepers struct {
	ctx  context.Context
	stop context.CancelFunc
	work sync.WaitGroup
}

func newSleepers() *sleepers {
	s := new(sleepers)
	s.ctx, s.stop = context.WithCancel(context.Background())
	return s
}

func (s *sleepers) grow(_ context.Context, n int) error {
	for range n {
		s.work.Go(func() { _ = sleep(s.ctx, longWaits.Initial) })
	}
	return nil
}

func (s *sleepers) sent() uint64 { return 0 }

func (s *sleepers) lost() int { return 0 }

func (s *sleepers) close() {
	s.stop()
	s.work.Wait()
}

// each calls f n times, some calls at a time, and returns the first error.
func each(n int, f func() error) error {
	var work sync.WaitGroup
	failed := make(chan error, n)
	slots := make(chan struct{}, parallel)
	for range n {
		slots <- struct{}{}
		work.Go(func() {
			defer func() { <-slots }()
			if err := f(); err != nil {
				failed <- err
			}
		})
	}
	work.Wait()
	close(failed)
	return <-failed
}
