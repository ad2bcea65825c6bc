package moq

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var errDown = errors.New("nobody there")

// fakeSession stands for what a dial returns.
type fakeSession struct {
	drain  time.Duration // what a local Close takes
	closed chan struct{}

	expires time.Duration // of its credential; 0: it does not
	pulse   *fakePulse

	mu    sync.Mutex
	ended bool
	err   error
}

func newFake() *fakeSession {
	return &fakeSession{closed: make(chan struct{}), pulse: newFakePulse()}
}

// fakePulse says what the test makes it say.
type fakePulse struct {
	rang chan struct{}

	mu             sync.Mutex
	now            health
	last           time.Time
	checks, probes int
}

func newFakePulse() *fakePulse { return &fakePulse{rang: make(chan struct{}, 1), last: time.Now()} }

// feel makes the session's health h. A session whose silence begins, or ends, was heard
// just now.
func (p *fakePulse) feel(h health) {
	p.mu.Lock()
	if h != dead && h != p.now {
		p.last = time.Now()
	}
	p.now = h
	p.mu.Unlock()
	select {
	case p.rang <- struct{}{}:
	default:
	}
}

func (p *fakePulse) Changed() <-chan struct{} { return p.rang }
func (p *fakePulse) RTT() time.Duration       { return 10 * time.Millisecond }

func (p *fakePulse) health() health {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

func (p *fakePulse) LastPacket() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

func (p *fakePulse) Check() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.checks++
}

func (p *fakePulse) Probe() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.probes++
}

func (p *fakePulse) counts() (checks, probes int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.checks, p.probes
}

// lasting returns a session that the peer ends after d.
func lasting(d time.Duration, err error) *fakeSession {
	s := newFake()
	if d == 0 {
		s.end(err)
		return s
	}
	time.AfterFunc(d, func() { s.end(err) })
	return s
}

func (s *fakeSession) end(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.ended, s.err = true, err
		close(s.closed)
	}
}

func (s *fakeSession) Closed() <-chan struct{} { return s.closed }

func (s *fakeSession) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *fakeSession) Close() error {
	time.Sleep(s.drain)
	s.end(nil)
	return nil
}

func (s *fakeSession) abandon(cause error) { s.end(cause) }
func (s *fakeSession) watch() pulse        { return s.pulse }

func (s *fakeSession) life() (since, till time.Time) {
	if s.expires == 0 {
		return time.Time{}, time.Time{}
	}
	return time.Now(), time.Now().Add(s.expires)
}

// peer answers dials and notes when they came. n counts from 1.
type peer struct {
	answer func(ctx context.Context, n int) (*fakeSession, error)

	mu     sync.Mutex
	dials  []time.Time
	trials []trial
}

func (p *peer) dial(ctx context.Context, t trial) (*fakeSession, error) {
	p.mu.Lock()
	p.dials = append(p.dials, time.Now())
	p.trials = append(p.trials, t)
	n := len(p.dials)
	p.mu.Unlock()
	return p.answer(ctx, n)
}

func (p *peer) seen() []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dials
}

// down is a peer that nobody reaches.
func down(context.Context, int) (*fakeSession, error) { return nil, errDown }

// mute is a peer that never answers.
func mute(ctx context.Context, _ int) (*fakeSession, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// servingFor is a peer whose every session lives for d and ends with err.
func servingFor(d time.Duration, err error) func(context.Context, int) (*fakeSession, error) {
	return func(context.Context, int) (*fakeSession, error) { return lasting(d, err), nil }
}

// outcome is the error of an attempt or, after d, of a session.
type outcome struct {
	session time.Duration // -1: none
	err     error
}

// playing is a peer that gives the outcomes one after the other, and then is down.
func playing(outcomes ...outcome) func(context.Context, int) (*fakeSession, error) {
	return func(_ context.Context, n int) (*fakeSession, error) {
		switch {
		case n > len(outcomes):
			return nil, errDown
		case outcomes[n-1].session < 0:
			return nil, outcomes[n-1].err
		}
		return lasting(outcomes[n-1].session, outcomes[n-1].err), nil
	}
}

// start supervises p until the test ends.
func start(t *testing.T, p *peer, b Backoff) *supervisor[*fakeSession] {
	t.Helper()
	return startWith(t.Context(), t, supervision[*fakeSession]{dial: p.dial, backoff: b})
}

func startWith(ctx context.Context, t *testing.T, with supervision[*fakeSession]) *supervisor[*fakeSession] {
	t.Helper()
	if with.logger == nil {
		with.logger = slog.New(slog.DiscardHandler)
	}
	if with.done == nil {
		with.done = func(error) {}
	}
	if with.classify == nil {
		with.classify = ruleFor
	}
	with.hooks = new(caller)
	s := supervise(ctx, with)
	t.Cleanup(s.close)
	return s
}

// resultOf waits for the end and returns the final error.
func resultOf(t *testing.T, s *supervisor[*fakeSession]) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 24*time.Hour)
	defer cancel()
	require.NoError(t, await(ctx, s.closed), "it goes on and on")
	return s.board.read().err
}

// stopped waits for the end, which has to be a StopError.
func stopped(t *testing.T, s *supervisor[*fakeSession]) *StopError {
	t.Helper()
	stop, ok := errors.AsType[*StopError](resultOf(t, s))
	require.True(t, ok)
	return stop
}
