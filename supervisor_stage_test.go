package moq

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// stage is a supervisor in a bubble, whose every dial waits for the test's answer and
// whose events are kept.
type stage struct {
	*supervisor[*fakeSession]
	t *testing.T

	mu     sync.Mutex
	dials  []*pendingDial
	events []Event
}

// pendingDial is a dial that was not answered yet, or was.
type pendingDial struct {
	trial   trial
	ctx     context.Context
	began   time.Time
	answers chan result[*fakeSession]
}

// onStage runs f on virtual time. with.dial and with.observe are the stage's own.
func onStage(t *testing.T, with supervision[*fakeSession], f func(t *testing.T, g *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		g := &stage{t: t}
		with := with
		with.dial, with.observe = g.dial, g.observe
		g.supervisor = startWith(t.Context(), t, with)
		synctest.Wait()
		f(t, g)
	})
}

func (g *stage) dial(ctx context.Context, t trial) (*fakeSession, error) {
	d := &pendingDial{trial: t, ctx: ctx, began: time.Now(), answers: make(chan result[*fakeSession], 1)}
	g.mu.Lock()
	g.dials = append(g.dials, d)
	g.mu.Unlock()
	select {
	case r := <-d.answers:
		return r.session, r.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (g *stage) observe(e Event) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.events = append(g.events, e)
}

// attempts returns how many dials there were.
func (g *stage) attempts() int {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.dials)
}

// lastDial returns the newest dial.
func (g *stage) lastDial() *pendingDial {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.dials[len(g.dials)-1]
}

// give lets the newest dial succeed with s.
func (g *stage) give(s *fakeSession) *fakeSession {
	g.lastDial().answers <- result[*fakeSession]{session: s}
	synctest.Wait()
	return s
}

// fail lets the newest dial end with err.
func (g *stage) fail(err error) {
	g.lastDial().answers <- result[*fakeSession]{err: err}
	synctest.Wait()
}

// feel makes a session's health h.
func (g *stage) feel(s *fakeSession, h health) {
	s.pulse.feel(h)
	synctest.Wait()
}

// after returns the state that d leads to.
func (g *stage) after(d time.Duration) State {
	time.Sleep(d)
	synctest.Wait()
	return g.board.read().state
}

func (g *stage) now() State { return g.after(0) }

// kickOn ends a wait, and gives the kick the time that it may take.
func (g *stage) kickOn() {
	g.kick()
	g.after(g.pacer.floor())
}

// setPause pauses or resumes, and returns what that leads to.
func (g *stage) setPause(on bool) State {
	g.setPaused(on)
	return g.now()
}

// heard returns the kinds of the events so far.
func (g *stage) heard() []EventKind {
	var kinds []EventKind
	for _, e := range g.told() {
		kinds = append(kinds, e.Kind)
	}
	return kinds
}

func (g *stage) told() []Event {
	synctest.Wait()
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]Event(nil), g.events...)
}

// lead brings the stage into a phase and returns the session of it, if there is one. It
// has lived for a minute, so it is stable.
func (g *stage) lead(to Phase) *fakeSession {
	g.t.Helper()
	var s *fakeSession
	switch to {
	case Connecting:
	case Waiting:
		g.fail(errDown)
	case Stopped:
		g.fail(&StatusError{Status: 410})
	default:
		s = g.give(newFake())
		time.Sleep(time.Minute)
	}
	switch to {
	case Migrating:
		g.feel(s, silent)
	case Paused:
		g.setPause(true)
	default:
	}
	require.Equal(g.t, to, g.now().Phase)
	return s
}

// asking calls redial on a goroutine of its own and returns where its answer comes.
func (g *stage) asking(ctx context.Context) <-chan error {
	answer := make(chan error, 1)
	go func() { answer <- g.redial(ctx) }()
	synctest.Wait()
	return answer
}

// requireAnswer asserts that an answer has come, and returns it.
func requireAnswer(t *testing.T, answer <-chan error) error {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-answer:
		return err
	default:
		require.FailNow(t, "no answer")
		return nil
	}
}

// requireNoAnswer asserts that none has come.
func requireNoAnswer(t *testing.T, answer <-chan error) {
	t.Helper()
	synctest.Wait()
	require.Empty(t, answer)
}
