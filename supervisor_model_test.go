package moq

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestSupervisorModel does anything to a supervisor, in any order, and checks after each step
// what has to hold in its phase: so many attempts and sessions, and a plan for what comes next.
// In the end it is connected, and nobody waits for an answer. A run is known by its seed.
func TestSupervisorModel(t *testing.T) {
	for seed := range uint64(1000) {
		m := &model{seed: seed, rand: rand.New(rand.NewPCG(seed, 7))}
		onStage(t, m.supervision(), func(t *testing.T, g *stage) {
			m.t, m.g = t, g
			for range 150 {
				if m.check(); g.now().Phase == Stopped {
					return
				}
				m.act()
				if m.rand.IntN(3) > 0 {
					time.Sleep(m.pick(0, time.Millisecond, 50*time.Millisecond, 100*time.Millisecond,
						500*time.Millisecond, time.Second, 10*time.Second, time.Minute))
				}
			}
			m.settle()
		})
	}
}

// model is one run.
type model struct {
	t        *testing.T
	g        *stage
	seed     uint64
	rand     *rand.Rand
	backoff  Backoff
	trace    []string
	sessions []*fakeSession
	answers  []<-chan error // to Redial
}

func (m *model) pick(from ...time.Duration) time.Duration { return from[m.rand.IntN(len(from))] }

func (m *model) supervision() supervision[*fakeSession] {
	m.backoff = Backoff{
		Initial:      m.pick(0, 50*time.Millisecond, time.Second, time.Hour),
		StableAfter:  m.pick(0, -1, time.Second, time.Minute),
		Timeout:      m.pick(0, 0, 0, time.Minute),
		FirstTimeout: m.pick(-1, -1, 20*time.Second),
	}
	return supervision[*fakeSession]{
		backoff: m.backoff, renewable: m.rand.IntN(2) == 0, timeout: m.pick(0, 30*time.Second, 5*time.Second),
	}
}

// require fails with what was done last.
func (m *model) require(ok bool, what string) {
	m.t.Helper()
	if !ok {
		require.Fail(m.t, what, "seed %d, %+v: %v", m.seed, m.backoff, m.trace[max(0, len(m.trace)-25):])
	}
}

// dialing returns how many attempts are under way.
func (m *model) dialing() (n int) {
	m.g.mu.Lock()
	defer m.g.mu.Unlock()
	for _, d := range m.g.dials {
		if d.ctx.Err() == nil {
			n++
		}
	}
	return n
}

// check requires what holds in the phase, whatever led to it.
func (m *model) check() {
	state, v := m.g.now(), m.g.board.read()
	m.trace = append(m.trace, fmt.Sprintf("[%v, generation %d, losses %d, attempt %d]", state.Phase, state.Generation, state.Losses, state.Attempt))
	got := [3]int{m.dialing(), 0, 0}
	if v.usable() {
		got[1]++
	}
	for _, s := range m.sessions {
		if !isClosed(s.closed) {
			got[2]++
		}
	}
	want := map[Phase][3]int{Connecting: {1, 0, 0}, Connected: {0, 1, 1}, Migrating: {1, 1, 1}, Waiting: {}, Paused: {}, Stopped: {}}
	m.require(got == want[state.Phase], fmt.Sprint("attempts, usable and open sessions: ", got))
	m.require(state.Losses <= state.Generation, "more losses than sessions")
	if state.Phase == Stopped {
		m.answered()
	}
	if raced { // the loop's own fields are its own
		return
	}
	waits := state.Phase == Waiting || state.Phase == Connected
	m.require(state.Phase != Waiting || time.Until(m.g.retryAt) >= 0, "it waits for nothing")
	m.require(!waits || m.g.orders.redial == nil || m.g.urgent, "a Redial is forgotten")
	m.require(state.Phase != Connecting || !m.g.pacer.spent(), "beyond the time to give up")
	m.require(state.Phase != Connected || !m.g.live.silent || !m.g.retryAt.IsZero(), "silent, and nothing planned")
}

func (m *model) answered() {
	synctest.Wait()
	for _, a := range m.answers {
		m.require(len(a) > 0, "a Redial waits for ever")
	}
}

// failures are what an attempt may end with.
var failures = []error{
	errDown, errDown, errDown, errDown, errDown, errDown, errDown, io.EOF,
	&StatusError{Status: 503, RetryAfter: time.Minute}, &StatusError{Status: 404}, &StatusError{Status: 401},
	&net.DNSError{IsNotFound: true}, &CredentialError{io.EOF},
}

// act does one thing, if it can be done.
func (m *model) act() {
	g, v := m.g, m.g.board.read()
	feel := func(h health) func() {
		return func() {
			if v.live {
				v.session.pulse.feel(h)
			}
		}
	}
	acts := []struct {
		name string
		do   func()
	}{
		{"nothing", func() {}},
		{"kicks", func() { go g.kick(); go g.kick() }},
		{"check", func() { go g.check() }},
		{"redial", func() { m.answers = append(m.answers, g.asking(m.t.Context())) }},
		{"pause", func() { go g.setPaused(true) }},
		{"resume", func() { go g.setPaused(false) }},
		{"resume", func() { go g.setPaused(false) }},
		{"give", m.give},
		{"give", m.give},
		{"give", m.give},
		{"fail", m.fail},
		{"fail", m.fail},
		{"end", func() {
			if v.live {
				v.session.end([]error{io.EOF, nil, &SessionError{Code: 2, Remote: true}}[m.rand.IntN(3)])
			}
		}},
		{"silent", feel(silent)},
		{"alive", feel(alive)},
		{"dead", feel(dead)},
	}
	act := acts[m.rand.IntN(len(acts))]
	m.trace = append(m.trace, act.name)
	act.do()
}

func (m *model) give() {
	if m.dialing() == 0 {
		return
	}
	s := newFake()
	if m.rand.IntN(3) == 0 {
		s.expires = m.pick(time.Second, time.Minute, time.Hour)
	}
	m.sessions = append(m.sessions, s)
	m.g.lastDial().answers <- result[*fakeSession]{session: s}
	if m.rand.IntN(4) == 0 {
		synctest.Wait()
	}
}

func (m *model) fail() {
	if m.dialing() > 0 {
		err := failures[m.rand.IntN(len(failures))]
		m.trace = append(m.trace, err.Error())
		m.g.lastDial().answers <- result[*fakeSession]{err: err}
	}
}

// settle lets everything succeed.
func (m *model) settle() {
	synctest.Wait()
	m.g.setPaused(false)
	synctest.Wait()
	for range 10 {
		if m.g.now().Phase == Stopped {
			break
		}
		if m.dialing() > 0 {
			m.g.lastDial().answers <- result[*fakeSession]{session: newFake()}
			synctest.Wait()
		}
		m.g.kick()
		m.g.after(2 * time.Second)
	}
	phase := m.g.now().Phase
	m.require(phase == Connected || phase == Migrating || phase == Stopped, "not connected in the end")
	m.answered()
}
