package moq

import (
	"context"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"
)

var errRefusal = &SessionError{Code: SessionUnauthorized, Remote: true}

// expiring returns a session whose credential lives for d.
func expiring(d time.Duration) *fakeSession {
	s := newFake()
	s.expires = d
	return s
}

// A session whose credential expires is replaced in the last fifth of its life, but for
// the last tenth, and at a random moment.
func TestRenewal(t *testing.T) {
	const life = 100 * time.Second
	moments := make(map[time.Duration]bool)
	for range 40 {
		onStage(t, supervision[*fakeSession]{renewable: true}, func(t *testing.T, g *stage) {
			old := g.give(expiring(life))
			established := time.Now()
			for g.attempts() == 1 {
				time.Sleep(10 * time.Millisecond)
			}
			moment := time.Since(established)
			require.GreaterOrEqual(t, moment, life*8/10)
			require.LessOrEqual(t, moment, life*9/10+10*time.Millisecond)
			moments[moment] = true
			require.Equal(t, Migrating, g.now().Phase)
			require.False(t, isClosed(old.closed))
			g.feel(old, alive)
			require.Equal(t, Migrating, g.now().Phase)

			g.give(newFake())
			require.Equal(t, Connected, g.now().Phase)
			require.Zero(t, g.now().Losses)
			require.Equal(t, uint64(2), g.now().Generation)
			require.Equal(t, []EventKind{EventAttempt, EventConnected, EventAttempt, EventReplaced}, g.heard())
			require.Equal(t, Connected, g.after(time.Hour).Phase)
			require.Equal(t, 2, g.attempts(), "the new one does not expire")
		})
	}
	require.Greater(t, len(moments), 30, "they are spread")
}

// It is renewed for as long as it takes, each time from the new credential's life.
func TestRenewalAgainAndAgain(t *testing.T) {
	onStage(t, supervision[*fakeSession]{renewable: true}, func(t *testing.T, g *stage) {
		g.give(expiring(5 * time.Second))
		for n := 2; n < 50; n++ {
			time.Sleep(4500*time.Millisecond + 1)
			require.Equal(t, n, g.attempts())
			g.give(expiring(5 * time.Second))
		}
		require.Zero(t, g.now().Losses)
	})
}

// An attempt to renew that fails is made again, paced, while the old session serves.
func TestRenewalFails(t *testing.T) {
	onStage(t, supervision[*fakeSession]{renewable: true}, func(t *testing.T, g *stage) {
		old := g.give(expiring(time.Hour))
		time.Sleep(54*time.Minute + 1)
		delay := time.Second
		for n := 2; n < 7; n++ {
			require.Equal(t, n, g.attempts())
			failed := time.Now()
			g.fail(errRefusal)
			require.Equal(t, Connected, g.now().Phase)
			require.False(t, isClosed(old.closed))
			for g.attempts() == n {
				time.Sleep(10 * time.Millisecond)
			}
			requireWithin(t, g.lastDial().began.Sub(failed), delay+10*time.Millisecond)
			delay *= 2
		}
		g.give(expiring(time.Hour))
		require.Zero(t, g.now().Losses)

		time.Sleep(54*time.Minute + 1)
		failed := time.Now()
		g.fail(errDown)
		time.Sleep(time.Second)
		require.Equal(t, 8+1, g.attempts(), "the pace begins anew with each session")
		requireWithin(t, g.lastDial().began.Sub(failed), time.Second)
	})
}

// What failed to renew the credential of one session does not put off that of the next.
func TestRenewalsOfEachSession(t *testing.T) {
	t.Parallel()
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		s := g.give(expiring(100 * time.Second))
		g.after(91 * time.Second)
		for range 5 {
			g.fail(errDown)
			g.after(31 * time.Second)
		}
		require.Equal(t, Migrating, g.now().Phase)
		s.end(io.EOF)
		g.give(expiring(100 * time.Second))
		g.after(91 * time.Second)
		before := g.attempts()
		g.fail(errDown)
		g.after(time.Second)
		require.Equal(t, before+1, g.attempts(), "the first wait")
	})
}

// A session that is silent when its credential is due is hedged, and the credential does
// not make the loop dial without a pause.
func TestRenewalOfASilentSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first := expiring(100 * time.Second)
		p := &peer{}
		p.answer = func(_ context.Context, n int) (*fakeSession, error) {
			if n == 1 {
				return first, nil
			}
			if n > 1000 {
				time.Sleep(time.Hour) // a busy loop ends here
			}
			return nil, errDown
		}
		s := startWith(t.Context(), t, supervision[*fakeSession]{dial: p.dial, renewable: true})
		time.Sleep(70 * time.Second)
		first.pulse.feel(silent)
		time.Sleep(30 * time.Second)
		require.Less(t, len(p.seen()), 25)
		require.Equal(t, Connected, s.board.read().state.Phase)

		first.pulse.feel(alive)
		before := len(p.seen())
		time.Sleep(2 * time.Second)
		require.Greater(t, len(p.seen()), before, "it woke: now it is due")
	})
}

// A refusal buys one new credential in an outage, at once.
func TestRefreshOnceAnOutage(t *testing.T) {
	onStage(t, supervision[*fakeSession]{renewable: true}, func(t *testing.T, g *stage) {
		require.False(t, g.lastDial().trial.rejected)
		g.fail(errDown)
		time.Sleep(time.Until(g.now().RetryAt))
		refused := time.Now()
		g.fail(errRefusal)
		require.Equal(t, Connecting, g.now().Phase)
		require.Equal(t, 3, g.attempts())
		require.Equal(t, refused, g.lastDial().began, "at once")
		require.True(t, g.lastDial().trial.rejected)
		require.Equal(t, errRefusal, g.lastDial().trial.lastErr)

		g.fail(errRefusal)
		stop := stopped(t, g.supervisor)
		require.Equal(t, ErrRefused, stop.Reason)
		require.Equal(t, errDown, stop.First)
		require.Equal(t, 3, stop.Attempts)
	})
}

// A credential that expires in mid-session is a refusal as well, and the next outage has
// a new try.
func TestRefreshAfterAStableSession(t *testing.T) {
	onStage(t, supervision[*fakeSession]{renewable: true}, func(t *testing.T, g *stage) {
		for n := 1; n < 5; n++ {
			require.Equal(t, n, g.attempts())
			s := g.give(newFake())
			time.Sleep(time.Minute)
			s.end(errRefusal)
			require.Equal(t, Connecting, g.now().Phase)
		}
		s := g.give(newFake()) // accepted, and refused at once: not stable
		s.end(errRefusal)
		require.Equal(t, ErrRefused, stopped(t, g.supervisor).Reason)
	})
}

// The provider is told of a refusal once, also if it came beside a live session; it is still
// true while there is no other credential, and not any more when another one was tried.
func TestRejectedIsTheLastCredential(t *testing.T) {
	t.Parallel()
	onStage(t, supervision[*fakeSession]{renewable: true}, func(t *testing.T, g *stage) {
		g.lead(Connected)
		next := func(rejected bool) {
			answer := g.asking(t.Context())
			require.Equal(t, rejected, g.lastDial().trial.rejected)
			require.Empty(t, answer)
		}
		for _, step := range []struct {
			err      error
			rejected bool // then
		}{
			{errDown, false}, {errRefusal, true}, {&CredentialError{io.EOF}, true}, {errDown, false}, {errRefusal, true},
		} {
			g.asking(t.Context())
			g.fail(step.err)
			g.after(time.Minute)
			next(step.rejected)
			g.fail(step.err)
			g.after(time.Minute)
		}
		next(true)
		s := g.give(newFake())
		g.after(time.Minute)
		next(false)
		g.fail(errDown)
		g.after(time.Minute)
		s.end(errRefusal)
		require.True(t, g.lastDial().trial.rejected, "in mid-session")
	})
}

// Where every session counts as stable, each refusal of one is a new outage with a new
// credential, but not a loop without a pause.
func TestRefreshesArePaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: func(_ context.Context, n int) (*fakeSession, error) {
			if n > 1000 {
				time.Sleep(time.Hour) // a busy loop ends here
			}
			return lasting(0, errRefusal), nil
		}}
		startWith(t.Context(), t, supervision[*fakeSession]{dial: p.dial, renewable: true, backoff: Backoff{StableAfter: -1}})
		time.Sleep(10 * time.Second)
		require.Greater(t, len(p.seen()), 50)
		require.LessOrEqual(t, len(p.seen()), 102)
	})
}

// Without anybody to ask for another credential a refusal is the end.
func TestRefreshNeedsAProvider(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		g.fail(errRefusal)
		require.Equal(t, ErrRefused, stopped(t, g.supervisor).Reason)
		require.Equal(t, 1, g.attempts())
	})
}

// A suspect answer is believed when it came three times in a row.
func TestSuspectThreeInARow(t *testing.T) {
	missing, version := &StatusError{Status: 404}, &SessionError{Code: SessionVersion, Remote: true}
	certificate, bad := &quic.TransportError{ErrorCode: 0x12a}, &quic.TransportError{ErrorCode: 0x12d}
	unknown, noDNS := &net.DNSError{Err: "no such host", IsNotFound: true}, &net.DNSError{Err: "network is unreachable"}
	for _, test := range []struct {
		name    string
		answers []error
		last    bool // stops with the last
	}{
		{"three", []error{missing, missing, missing}, true},
		{"different codes, one meaning", []error{certificate, bad, certificate}, true},
		{"two", []error{missing, missing}, false},
		{"another one between", []error{missing, missing, version, missing, missing}, false},
		{"an ordinary failure between", []error{missing, missing, errDown, missing, missing}, false},
		{"three after others", []error{version, errDown, missing, version, version, version}, true},
		{"a name that was never found", []error{unknown, unknown, unknown, unknown, unknown}, false},
		{"a name that was found once", []error{errDown, unknown, unknown, unknown}, true},
		{"names that nobody could ask for", []error{noDNS, &CredentialError{io.EOF}, unknown, unknown, unknown, unknown}, false},
		{"found by its answer", []error{missing, unknown, unknown, unknown}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
				for n, err := range test.answers {
					require.Equal(t, Connecting, g.now().Phase, "answer %d", n+1)
					g.fail(err)
					g.kickOn()
				}
				if !test.last {
					require.Equal(t, Connecting, g.now().Phase)
					return
				}
				stop := stopped(t, g.supervisor)
				require.Equal(t, ErrStopped, stop.Reason)
				require.Equal(t, len(test.answers), stop.Attempts)
			})
		})
	}
}

// A session shows that the answers before it are no pattern.
func TestSuspicionEndsWithASession(t *testing.T) {
	missing := &StatusError{Status: 404}
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		for range 2 {
			g.fail(missing)
			g.kickOn()
		}
		g.give(newFake()).end(io.EOF)
		for range 2 {
			g.kickOn()
			g.fail(missing)
			require.Equal(t, Waiting, g.now().Phase)
		}
	})
}

// busy is an answer that asks for a delay.
func busy(d time.Duration) error { return &StatusError{Status: 503, RetryAfter: d} }

// What the server asks for is obeyed within reason: never less, at most a tenth more.
func TestRetryAfter(t *testing.T) {
	for _, test := range []struct{ asked, least, most time.Duration }{
		{0, 100 * time.Millisecond, time.Second},
		{-time.Hour, 100 * time.Millisecond, time.Second},
		{time.Millisecond, 100 * time.Millisecond, time.Second},
		{10 * time.Second, 10 * time.Second, 11 * time.Second},
		{maxServerDelay, maxServerDelay, maxServerDelay * 11 / 10},
		{1000 * time.Hour, maxServerDelay, maxServerDelay * 11 / 10},
	} {
		t.Run(test.asked.String(), func(t *testing.T) {
			waits := make(map[time.Duration]bool)
			for range 40 {
				onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
					g.fail(busy(test.asked))
					state := g.now()
					wait := state.RetryAt.Sub(state.Since)
					require.GreaterOrEqual(t, wait, test.least)
					require.LessOrEqual(t, wait, test.most)
					waits[wait] = true
					time.Sleep(wait - 1)
					require.Equal(t, 1, g.attempts())
					time.Sleep(time.Nanosecond)
					require.Equal(t, 2, g.attempts())
				})
			}
			require.Greater(t, len(waits), 30, "they are spread")
		})
	}
}

// It is part of the time to give up, and does not outlast it.
func TestRetryAfterLongerThanTheBudget(t *testing.T) {
	const budget = 20 * time.Second
	onStage(t, supervision[*fakeSession]{backoff: Backoff{Timeout: budget}}, func(t *testing.T, g *stage) {
		began := time.Now()
		g.fail(busy(time.Minute))
		require.Zero(t, g.now().RetryAt, "there will be no attempt")
		require.Equal(t, began.Add(budget), g.now().GiveUpAt)
		stop := stopped(t, g.supervisor)
		require.Equal(t, budget, time.Since(began))
		require.Equal(t, ErrGaveUp, stop.Reason)
		require.Equal(t, busy(time.Minute), stop.Last)
	})
}

// It also holds for dials beside a session.
func TestRetryAfterBesideASession(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		g.lead(Migrating)
		g.fail(busy(time.Minute))
		time.Sleep(time.Minute - 1)
		require.Equal(t, 2, g.attempts())
		time.Sleep(6*time.Second + 1)
		require.Equal(t, 3, g.attempts())
	})
	onStage(t, supervision[*fakeSession]{renewable: true}, func(t *testing.T, g *stage) {
		g.give(expiring(time.Hour))
		time.Sleep(54*time.Minute + 1)
		require.Equal(t, 2, g.attempts())
		g.fail(busy(time.Minute))
		time.Sleep(time.Minute - 1)
		require.Equal(t, 2, g.attempts())
		time.Sleep(6*time.Second + 1)
		require.Equal(t, 3, g.attempts())
	})
}

// A peer that accepts and drops, and whose end is swift, makes no busy loop.
func TestAcceptAndDropIsPaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: servingFor(time.Millisecond, io.EOF)}
		start(t, p, Backoff{})
		time.Sleep(time.Minute)
		require.Less(t, len(p.seen()), 40)
	})
}
