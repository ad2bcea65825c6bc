package moq

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A session that falls silent gets a second dial beside it, which is dropped as soon as
// the session is heard again.
func TestHedgeWoke(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		s := g.lead(Migrating)
		require.Equal(t, 2, g.attempts(), "the second dial is made at once")
		require.False(t, isClosed(s.closed))
		time.Sleep(time.Second)
		g.feel(s, alive)

		state := g.now()
		require.Equal(t, Connected, state.Phase)
		require.Equal(t, uint64(1), state.Generation)
		require.Zero(t, state.Losses, "nothing was lost")
		require.Equal(t, errUnwanted, context.Cause(g.lastDial().ctx))
		require.Equal(t, Connected, g.after(time.Hour).Phase)
		require.Equal(t, 2, g.attempts())
		require.Equal(t, []EventKind{EventAttempt, EventConnected, EventSilent, EventAttempt, EventAwake}, g.heard())
	})
}

// A dial that succeeds although it was dropped leaves no second session behind.
func TestHedgeWokeTooLateForTheDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newFake(), newFake()
		p := &peer{answer: func(ctx context.Context, n int) (*fakeSession, error) {
			if n == 1 {
				return first, nil
			}
			<-ctx.Done()
			time.Sleep(time.Second)
			return second, nil
		}}
		s := start(t, p, Backoff{})
		time.Sleep(time.Minute)
		first.pulse.feel(silent)
		synctest.Wait()
		first.pulse.feel(alive)
		time.Sleep(time.Minute)
		require.True(t, isClosed(second.closed))
		require.False(t, isClosed(first.closed))
		require.Equal(t, uint64(1), s.board.read().state.Generation)
	})
}

// The new session takes the place of the silent one, which was lost.
func TestHedgeWins(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		old := g.lead(Connected)
		old.drain = time.Second
		g.feel(old, silent)
		last := old.pulse.LastPacket()
		time.Sleep(300 * time.Millisecond)
		next := g.give(newFake())

		v := g.board.read()
		require.Equal(t, Connected, v.state.Phase)
		require.Equal(t, uint64(2), v.state.Generation)
		require.Equal(t, uint64(1), v.state.Losses)
		require.Same(t, next, v.session)
		require.True(t, isClosed(old.closed), "nobody waits for its last words")
		require.ErrorIs(t, v.state.Err, os.ErrDeadlineExceeded)

		events := g.told()
		won := events[len(events)-1]
		require.Equal(t, EventConnected, won.Kind)
		require.Equal(t, time.Since(last), won.Down, "since something came last")

		// It was an outage of its own: the next one is paced from the start.
		time.Sleep(time.Minute)
		next.end(io.EOF)
		require.Equal(t, 1, g.now().Attempt)
	})
}

// What ends the old session afterwards is no concern of the new one.
func TestOldSessionEndsLate(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		old := g.lead(Connected)
		old.drain = 10 * time.Second
		answer := g.asking(t.Context())
		next := g.give(newFake())
		require.NoError(t, requireAnswer(t, answer))
		require.False(t, isClosed(old.closed), "it drains")

		g.feel(old, dead)
		old.end(io.ErrUnexpectedEOF)
		state := g.after(time.Minute)
		require.Equal(t, Connected, state.Phase)
		require.Equal(t, uint64(2), state.Generation)
		require.Zero(t, state.Losses)
		require.False(t, isClosed(next.closed))
	})
}

// The session was given up before the second dial has answered: it goes on, and is the
// attempt to reconnect now.
func TestHedgeOutlivesTheSession(t *testing.T) {
	for name, end := range map[string]func(*stage, *fakeSession){
		"given up": func(g *stage, s *fakeSession) { g.feel(s, dead) },
		"ended":    func(_ *stage, s *fakeSession) { s.end(io.EOF) },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
				old := g.lead(Connected)
				g.feel(old, silent)
				last := old.pulse.LastPacket()
				time.Sleep(5 * time.Second)
				end(g, old)

				state := g.now()
				require.Equal(t, Connecting, state.Phase)
				require.Equal(t, uint64(1), state.Losses)
				require.Equal(t, 1, state.Attempt)
				require.True(t, isClosed(old.closed))
				require.False(t, g.board.read().live)
				require.NoError(t, g.lastDial().ctx.Err(), "the attempt goes on")
				require.Equal(t, 2, g.attempts())

				time.Sleep(time.Second)
				g.give(newFake())
				require.Equal(t, uint64(2), g.now().Generation)
				require.Equal(t, uint64(1), g.now().Losses, "once")
				events := g.told()
				require.Equal(t, []EventKind{EventSilent, EventAttempt, EventLost, EventConnected}, g.heard()[2:])
				require.Equal(t, time.Since(last), events[5].Down)
			})
		})
	}
}

// It has the time that is left until giving up, and not a moment more.
func TestHedgeIsCutToTheBudget(t *testing.T) {
	const budget = 10 * time.Second
	with := supervision[*fakeSession]{backoff: Backoff{FirstTimeout: -1, Timeout: budget}, timeout: time.Hour}
	onStage(t, with, func(t *testing.T, g *stage) {
		s := g.lead(Migrating)
		require.Zero(t, g.now().GiveUpAt, "while there is a session nobody gives up")
		time.Sleep(time.Minute)
		s.end(io.EOF)
		require.Equal(t, time.Now().Add(budget), g.now().GiveUpAt)

		began := time.Now()
		stop := stopped(t, g.supervisor)
		require.Equal(t, budget, time.Since(began))
		require.Equal(t, ErrGaveUp, stop.Reason)
		require.Equal(t, io.EOF, stop.First)
		require.ErrorIs(t, stop.Last, context.DeadlineExceeded)
		require.Equal(t, 2, stop.Attempts)
		require.Equal(t, 2, g.attempts())
	})
}

// A second dial that fails is made again, paced, while the session may still wake.
func TestHedgeFails(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		s := g.lead(Migrating)
		delay := time.Second
		for n := 2; n < 8; n++ {
			require.Equal(t, Migrating, g.now().Phase)
			failed := time.Now()
			g.fail(errDown)
			require.Equal(t, Connected, g.now().Phase)
			require.Equal(t, errDown, g.now().Err)
			require.Equal(t, n, g.attempts())
			for g.attempts() == n {
				time.Sleep(10 * time.Millisecond)
			}
			requireWithin(t, g.lastDial().began.Sub(failed), delay)
			delay = min(2*delay, 30*time.Second)
		}
		g.fail(errDown)
		g.feel(s, alive)
		require.Equal(t, Connected, g.after(time.Hour).Phase)
		require.Equal(t, 8, g.attempts(), "it woke: no more dials")
		require.Zero(t, g.now().Losses)
	})
}

// A session that was not stable does not buy a dial for free: a peer that accepts and
// falls silent is paced like one that accepts and drops.
func TestUnstableSilenceIsPaced(t *testing.T) {
	onStage(t, supervision[*fakeSession]{backoff: Backoff{StableAfter: time.Minute}}, func(t *testing.T, g *stage) {
		s := g.give(newFake())
		time.Sleep(time.Second)
		fell := time.Now()
		g.feel(s, silent)
		require.Equal(t, 1, g.attempts(), "not at once")
		require.Equal(t, Connected, g.now().Phase)
		for g.attempts() == 1 {
			time.Sleep(10 * time.Millisecond)
		}
		requireWithin(t, g.lastDial().began.Sub(fell), time.Second)
		require.Equal(t, Migrating, g.now().Phase)
	})
}

// It may wake, or be given up, before that wait is over.
func TestUnstableSilenceEndsInTheWait(t *testing.T) {
	with := supervision[*fakeSession]{backoff: Backoff{Initial: time.Hour, StableAfter: 2 * time.Hour}}
	t.Run("woke", func(t *testing.T) {
		onStage(t, with, func(t *testing.T, g *stage) {
			s := g.give(newFake())
			g.feel(s, silent)
			g.feel(s, alive)
			require.Equal(t, Connected, g.after(100*time.Hour).Phase)
			require.Equal(t, 1, g.attempts())
			require.Equal(t, []EventKind{EventAttempt, EventConnected, EventSilent, EventAwake}, g.heard())
		})
	})
	t.Run("given up", func(t *testing.T) {
		onStage(t, with, func(t *testing.T, g *stage) {
			s := g.give(newFake())
			g.feel(s, silent)
			time.Sleep(time.Second)
			g.feel(s, dead)
			state := g.now()
			require.Equal(t, Waiting, state.Phase)
			require.Equal(t, uint64(1), state.Losses)
			require.Equal(t, 1, g.attempts())
			require.Greater(t, time.Until(state.RetryAt), time.Minute)
			require.Equal(t, []EventKind{EventAttempt, EventConnected, EventSilent, EventLost}, g.heard())
		})
	})
}

// The first cause is that of the outage's first failure, also if it began with a silence.
func TestFirstCauseAfterSilence(t *testing.T) {
	with := supervision[*fakeSession]{backoff: Backoff{StableAfter: time.Minute}}
	onStage(t, with, func(t *testing.T, g *stage) {
		s := g.give(newFake())
		time.Sleep(time.Second)
		g.feel(s, silent)
		s.end(io.EOF)
		require.Equal(t, Waiting, g.now().Phase)
		g.kick()
		g.fail(&StatusError{Status: 410})
		stop := stopped(t, g.supervisor)
		require.ErrorIs(t, stop.First, os.ErrDeadlineExceeded, "the silence")
		require.Equal(t, 2, stop.Attempts, "its loss is no failure of its own")
	})
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		s := g.lead(Migrating)
		g.fail(errDown) // beside the silent session
		s.end(io.EOF)
		require.Equal(t, Waiting, g.now().Phase)
		g.kick()
		g.fail(&StatusError{Status: 410})
		stop := stopped(t, g.supervisor)
		require.Equal(t, io.EOF, stop.First, "a stable session's loss begins an outage")
		require.Equal(t, 2, stop.Attempts)
	})
}

// No answer is final as long as there is a session.
func TestNoAnswerIsFinalBesideASession(t *testing.T) {
	refused := &SessionError{Code: SessionUnauthorized, Remote: true}
	for _, err := range []error{refused, &StatusError{Status: 404}, &StatusError{Status: 410}, &ConfigError{Field: "URL", Err: io.EOF}} {
		t.Run(err.Error(), func(t *testing.T) {
			onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
				s := g.lead(Connected)
				for range 5 {
					answer := g.asking(t.Context())
					require.Equal(t, Migrating, g.now().Phase)
					g.fail(err)
					require.Equal(t, err, requireAnswer(t, answer))
					g.after(g.pacer.floor())
				}
				state := g.now()
				require.Equal(t, Connected, state.Phase)
				require.Equal(t, err, state.Err)
				require.False(t, isClosed(s.closed))
			})
		})
	}
}

// When the path is heard again, the old session answers first if it can.
func TestHedgeGate(t *testing.T) {
	const answers = ackDelay + 15*time.Millisecond // 1.5 round trips of a fake pulse
	for _, test := range []struct {
		name  string
		wakes time.Duration // after the first packet; 0: never
		wins  bool          // the new one
	}{
		{"it wakes in time", answers - time.Millisecond, false},
		{"it wakes too late", answers + time.Millisecond, true},
		{"it does not wake", 0, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				old, next := newFake(), newFake()
				s := startWith(t.Context(), t, supervision[*fakeSession]{dial: func(ctx context.Context, tr trial) (*fakeSession, error) {
					if tr.generation == 1 {
						return old, nil
					}
					time.Sleep(time.Second)
					tr.heard()
					_, probes := old.pulse.counts()
					require.Equal(t, 1, probes, "it is asked once more")
					if test.wakes > 0 {
						time.AfterFunc(test.wakes, func() { old.pulse.feel(alive) })
					}
					heard := time.Now()
					if err := tr.wanted(ctx); err != nil {
						require.Equal(t, errUnwanted, err)
						require.Equal(t, test.wakes, time.Since(heard), "nobody waits on")
						return nil, err
					}
					require.Equal(t, answers, time.Since(heard))
					return next, nil
				}})
				time.Sleep(time.Minute)
				old.pulse.feel(silent)
				time.Sleep(time.Minute)
				v := s.board.read()
				require.Equal(t, Connected, v.state.Phase)
				require.Equal(t, test.wins, v.state.Generation == 2)
				require.Equal(t, test.wins, v.session == next)
				require.Equal(t, test.wins, v.state.Losses == 1)
			})
		})
	}
}

// A dial that is not there for the sake of silence has no gate, and one that has heard
// nothing yet does not wait at it.
func TestGateStandsOpen(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		s := g.lead(Connected)
		began := time.Now()
		g.asking(t.Context())
		g.lastDial().trial.heard()
		require.NoError(t, g.lastDial().trial.wanted(t.Context()))
		_, probes := s.pulse.counts()
		require.Zero(t, probes)
		g.fail(errDown)
		g.feel(s, silent)
		require.NoError(t, g.lastDial().trial.wanted(t.Context()))
		require.Equal(t, began, time.Now())
	})
}

// However often the session falls silent and wakes, there are never three dials at once.
func TestNeverAThirdDial(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := newFake()
		var mu sync.Mutex
		running, most := 0, 0
		count := func(n int) {
			mu.Lock()
			defer mu.Unlock()
			running += n
			most = max(most, running)
		}
		p := &peer{answer: func(ctx context.Context, n int) (*fakeSession, error) {
			count(1)
			defer count(-1)
			if n == 1 {
				return session, nil
			}
			<-ctx.Done()
			time.Sleep(10 * time.Second) // its sockets take their time
			return nil, ctx.Err()
		}}
		start(t, p, Backoff{})
		time.Sleep(time.Minute)
		for range 20 {
			session.pulse.feel(silent)
			time.Sleep(100 * time.Millisecond)
			session.pulse.feel(alive)
			time.Sleep(100 * time.Millisecond)
		}
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, maxDials, most)
	})
}

// A path that has just fallen silent is dialed in a hurry.
func TestTrialKnowsTheQuietPath(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		require.Zero(t, g.lastDial().trial.patience)
		require.Equal(t, 1, g.lastDial().trial.number)
		require.Equal(t, uint64(1), g.lastDial().trial.generation)
		s := g.lead(Connected)
		g.feel(s, silent)
		last := s.pulse.LastPacket()
		order := g.lastDial().trial
		require.Equal(t, minUnheard, order.patience)
		require.Equal(t, last.Add(quietTime), order.hurryUntil)
		require.Equal(t, uint64(2), order.generation)
		g.feel(s, dead)
		g.fail(errDown)
		g.kick()
		order = g.lastDial().trial
		require.Equal(t, minUnheard, order.patience, "also once it was given up")
		require.Equal(t, 3, order.number)
		require.Equal(t, errDown, order.lastErr)
	})
}

// Sessions that come and go are counted once each, whoever looks on.
func TestIteratorsOverReplacedSessions(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		var generations []uint64
		var sessions []*fakeSession
		go func() {
			for state := range g.board.states(t.Context()) {
				if state.Phase == Connected {
					generations = append(generations, state.Generation)
				}
			}
		}()
		go func() {
			for s := range g.board.sessions(t.Context()) {
				sessions = append(sessions, s)
			}
		}()
		made := []*fakeSession{g.lead(Connected)}
		answer := g.asking(t.Context()) // replaced in good order
		made = append(made, g.give(newFake()))
		require.NoError(t, requireAnswer(t, answer))
		time.Sleep(time.Minute)
		g.feel(made[1], silent) // replaced, since it was silent
		made = append(made, g.give(newFake()))
		time.Sleep(time.Minute)
		made[2].end(io.EOF) // lost
		time.Sleep(time.Second)
		made = append(made, g.give(newFake()))
		require.Equal(t, made, sessions)
		require.Equal(t, []uint64{1, 2, 3, 4}, generations)
		require.Equal(t, uint64(2), g.now().Losses)
		g.close()
		synctest.Wait()
	})
}

// The loop ends what it started also while a second dial is under way.
func TestCloseWhileMigrating(t *testing.T) {
	for _, gone := range []error{nil, errors.New("the program ends")} {
		onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
			s := g.lead(Migrating)
			answer := g.asking(t.Context())
			if gone == nil {
				g.close()
				require.Equal(t, ErrClosed, requireAnswer(t, answer))
			} else {
				g.cancel(gone)
				require.Equal(t, gone, resultOf(t, g.supervisor))
				require.Equal(t, gone, requireAnswer(t, answer))
			}
			require.True(t, isClosed(s.closed))
			require.Error(t, g.lastDial().ctx.Err())
			require.Zero(t, g.now().Losses)
		})
	}
}

// TestRetryAfterOutlivesTheSession: what a server asked for beside a live session holds when that
// is lost.
func TestRetryAfterOutlivesTheSession(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		s := g.lead(Migrating)
		g.fail(&StatusError{Status: 503, RetryAfter: 2 * time.Minute})
		asked := time.Now()
		time.Sleep(3 * time.Second)
		g.feel(s, dead)
		state := g.now()
		require.Equal(t, Waiting, state.Phase)
		require.GreaterOrEqual(t, state.RetryAt.Sub(asked), 2*time.Minute)
	})
}

// TestReplacedAfterItsEnd: a session that has ended when its successor is there was lost.
func TestReplacedAfterItsEnd(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			g := &stage{t: t}
			busy := make(chan struct{})
			g.supervisor = startWith(t.Context(), t, supervision[*fakeSession]{
				dial: g.dial, observe: g.observe,
				logger: slog.New(handler{slog.DiscardHandler, func(r slog.Record) {
					if r.Message == "silent" {
						<-busy
					}
				}}),
			})
			synctest.Wait()
			old := g.give(newFake())
			time.Sleep(time.Minute)
			_ = g.asking(t.Context())
			old.pulse.feel(silent)
			synctest.Wait()
			// the loop is busy: now the session ends, and the other one is there.
			old.pulse.feel(alive)
			old.end(io.EOF)
			g.lastDial().answers <- result[*fakeSession]{session: newFake()}
			synctest.Wait()
			close(busy)
			synctest.Wait()
			require.Equal(t, uint64(2), g.now().Generation)
			require.Equal(t, uint64(1), g.now().Losses)
		})
	}
}

// TestEverySessionIsStable: with a negative StableAfter also one that was never heard.
func TestEverySessionIsStable(t *testing.T) {
	onStage(t, supervision[*fakeSession]{backoff: Backoff{StableAfter: -1}}, func(t *testing.T, g *stage) {
		s := newFake() // the last packet came now
		time.Sleep(time.Millisecond)
		g.give(s)
		s.pulse.mu.Lock()
		s.pulse.now = silent
		s.pulse.mu.Unlock()
		s.pulse.rang <- struct{}{}
		require.Equal(t, Migrating, g.now().Phase)
		require.Zero(t, g.now().Attempt)
	})
}

// TestRetryAfterThenSilentAgain: nor is it forgotten when the session woke meanwhile.
func TestRetryAfterThenSilentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const asked = 2 * time.Minute
		first := newFake()
		p := &peer{answer: func(_ context.Context, n int) (*fakeSession, error) {
			if n == 1 {
				return first, nil
			}
			return nil, &StatusError{Status: 503, RetryAfter: asked}
		}}
		start(t, p, Backoff{})
		time.Sleep(time.Minute)
		first.pulse.feel(silent)
		time.Sleep(time.Second)
		require.Len(t, p.seen(), 2)
		answered := p.seen()[1]
		first.pulse.feel(alive)
		time.Sleep(10 * time.Second)
		first.pulse.feel(silent)
		time.Sleep(10 * time.Second)
		require.Len(t, p.seen(), 2, "dialed again %v after the answer", p.seen()[len(p.seen())-1].Sub(answered))
	})
}
