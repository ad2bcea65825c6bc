package schedule_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// host is a machine with one address and many ports.
type host struct {
	net *testnet.Network
	ip  netip.Addr

	mu   sync.Mutex
	port uint16
	last netip.AddrPort
}

// listen opens a socket, in the form that clients take. Between two of them there is room for
// those that rebinding makes.
func (h *host) listen(context.Context, string) (net.PacketConn, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.port += 16
	h.last = netip.AddrPortFrom(h.ip, h.port)
	return h.net.At(h.last), nil
}

func (h *host) rebind() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.last.IsValid() {
		h.net.Rebind(h.last)
	}
}

// program is one that is connected: the publisher, or the subscriber.
type program struct {
	t      *testing.T
	who    side
	host   *host
	url    string
	client *moq.Client
	r      *moq.Reconnect
	end    context.CancelCauseFunc // of r's context
	watch  *watch
	past   []*watch
}

func newProgram(t *testing.T, h *host, who side, s schedule, origin *pubsub.Origin) *program {
	p := &program{t: t, who: who, host: h, url: s.links[who].scheme + "://" + relayAt.String() + "/room?who=" + who.String()}
	config := moq.Config{
		Versions:       []moq.Version{s.links[who].version},
		TLS:            &tls.Config{RootCAs: testnet.Roots(t), ServerName: "localhost"},
		ConnectTimeout: connectTimeout,
		Backoff:        s.backoff,
		ListenPacket:   h.listen,
		Hooks:          moq.Hooks{Observe: func(e moq.Event) { p.watch.hear(e) }},
	}
	if who == publisher {
		config.Publish = origin
	} else {
		config.Subscribe = origin
	}
	var err error
	p.client, err = moq.NewClient(config)
	require.NoError(t, err)
	p.connect()
	return p
}

// connect makes a supervisor.
func (p *program) connect() {
	p.watch = &watch{name: p.who.String()}
	p.past = append(p.past, p.watch)
	ctx, cancel := context.WithCancelCause(p.t.Context())
	p.end = cancel
	p.r = p.client.Reconnect(ctx, p.url)
}

// errRecalled is the cause of the end of a supervisor's context.
var errRecalled = errors.New("recalled")

// disconnect ends the supervisor by its context.
func (p *program) disconnect() {
	p.end(errRecalled)
	require.Equal(p.t, errRecalled, p.r.Wait(p.t.Context()))
}

// close ends the program.
func (p *program) close() {
	require.NoError(p.t, p.client.Close())
	p.end(nil)
}

// author writes a track, and begins a new one when it is another process.
type author struct {
	t      *testing.T
	books  *books
	s      schedule
	origin *pubsub.Origin
	track  *pubsub.TrackProducer
	stop   chan struct{}
	done   chan struct{}
}

func newAuthor(t *testing.T, s schedule, b *books) *author {
	a := &author{t: t, books: b, s: s}
	a.begin()
	return a
}

// begin makes an origin with a new identity, and writes to it.
func (a *author) begin() {
	a.books.begin()
	a.origin = pubsub.NewOrigin()
	clock, err := a.origin.CreateBroadcast("clock")
	require.NoError(a.t, err)
	a.track, err = clock.CreateTrack("ticks", pubsub.TrackInfo{MaxAge: a.s.keep})
	require.NoError(a.t, err)
	require.NoError(a.t, clock.Announce())
	a.stop, a.done = make(chan struct{}), make(chan struct{})
	go a.write()
}

func (a *author) write() {
	defer close(a.done)
	pause := time.NewTicker(time.Second / time.Duration(a.s.rate))
	defer pause.Stop()
	for {
		g, err := a.track.AppendGroup()
		if err != nil {
			a.t.Errorf("group: %v", err)
			return
		}
		for range a.s.frames {
			select {
			case <-pause.C:
			case <-a.stop:
				_ = g.Close()
				return
			}
			at := time.Since(epoch).Truncate(time.Microsecond) // a tick
			if err := g.WriteFrame(pubsub.Frame{Timestamp: at, Payload: a.books.write(g.Sequence(), at)}); err != nil {
				a.t.Errorf("frame: %v", err)
				return
			}
		}
		_ = g.Close()
	}
}

// end stops writing. What was written stays.
func (a *author) end() {
	close(a.stop)
	<-a.done
}

// reader follows the track, and says what it gets to an account.
type reader struct {
	origin *pubsub.Origin
	how    follow
	books  *books
	sure   bool // nothing may be lost
	skip   func(position) bool
	caught chan struct{}
	done   chan struct{}
	ended  bool // by the end of the track; written before done is closed

	mu       sync.Mutex
	follower *pubsub.Follower
	accounts []*account
	again    chan struct{} // closed when a Follower that was closed is to be replaced; nil: it was not
	gate     chan struct{} // closed when the reader may go on
	short    time.Duration // of each call's context; 0: no bound
	call     context.Context
	abort    context.CancelFunc
}

func newReader(origin *pubsub.Origin, how follow, b *books, sure bool, skip func(position) bool) *reader {
	r := &reader{origin: origin, how: how, books: b, sure: sure, skip: skip, caught: make(chan struct{}, 8), done: make(chan struct{}), gate: make(chan struct{})}
	close(r.gate)
	r.call, r.abort = context.WithCancel(context.Background())
	r.open()
	go r.run()
	return r
}

func (r *reader) open() {
	f := r.origin.Follow("clock", "ticks", pubsub.FollowOptions{Resume: r.how.resume, Stall: r.how.stall})
	r.mu.Lock()
	defer r.mu.Unlock()
	r.follower, r.again = f, nil
	r.accounts = append(r.accounts, &account{
		books: r.books, lossless: r.sure && r.how.resume == pubsub.ResumeLast, caught: r.caught, skip: r.skip,
	})
}

// String tells where the present Follower is, and how it does.
func (r *reader) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return fmt.Sprintf("%v, %+v", r.accounts[len(r.accounts)-1], r.follower.State())
}

func (r *reader) run() {
	defer close(r.done)
	for {
		r.mu.Lock()
		f, a := r.follower, r.accounts[len(r.accounts)-1]
		r.mu.Unlock()
		r.ended = r.read(f, a)
		_ = f.Close()
		r.mu.Lock()
		again := r.again
		r.mu.Unlock()
		if again == nil {
			return
		}
		<-again
		r.open()
	}
}

// read reads to the end of the track, which it reports, or until the Follower is closed.
func (r *reader) read(f *pubsub.Follower, a *account) bool {
	var groups sync.WaitGroup
	defer groups.Wait()
	for {
		var g *pubsub.GroupConsumer
		err := r.retry(func(ctx context.Context) (err error) {
			g, err = f.NextGroup(ctx)
			return err
		})
		switch {
		case err == io.EOF:
			return true
		case err == moqerr.ErrClosed:
			return false
		case err != nil:
			a.mu.Lock()
			a.blame("no more groups: %v", err)
			a.mu.Unlock()
			return false
		}
		s, p := a.group(g.Sequence(), g.Gaps())
		if r.how.parallel {
			groups.Go(func() { r.frames(g, a, s, p) })
		} else {
			r.frames(g, a, s, p)
		}
	}
}

func (r *reader) frames(g *pubsub.GroupConsumer, a *account, s *series, p *page) {
	for {
		var frame pubsub.Frame
		err := r.retry(func(ctx context.Context) (err error) {
			frame, err = g.NextFrame(ctx)
			return err
		})
		switch err {
		case nil:
			a.frame(s, p, frame)
		case io.EOF:
			a.end(p, nil)
			return
		case moqerr.ErrClosed: // the Follower
			return
		default:
			a.end(p, err)
			return
		}
	}
}

// retry makes a call until it ends by itself, through stalls and cancelled contexts.
func (r *reader) retry(call func(context.Context) error) error {
	for {
		r.mu.Lock()
		gate, ctx, short := r.gate, r.call, r.short
		r.mu.Unlock()
		<-gate
		stop := func() {}
		if short > 0 {
			ctx, stop = context.WithTimeout(ctx, short)
		}
		err := call(ctx)
		cancelled := ctx.Err()
		stop()
		switch {
		case err == errRecalled: // there is no supervisor
			time.Sleep(50 * time.Millisecond)
		case err == nil || err != cancelled:
			return err
		}
	}
}

// stall stops the reader, resume lets it go on.
func (r *reader) stall() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gate = make(chan struct{})
	r.interrupt()
}

func (r *reader) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.gate)
}

// cancel ends the calls under way; those that follow may last so long, or for ever.
func (r *reader) cancel(short time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.short = short
	r.interrupt()
}

// interrupt ends the calls under way. The caller holds mu.
func (r *reader) interrupt() {
	r.abort()
	r.call, r.abort = context.WithCancel(context.Background())
}

// close closes the Follower. The returned function lets the reader make another one.
func (r *reader) close() (again func()) {
	r.mu.Lock()
	f, ch := r.follower, make(chan struct{})
	r.again = ch
	r.mu.Unlock()
	_ = f.Close()
	return func() { close(ch) }
}
