package moq

import (
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var allPhases = []Phase{Connecting, Connected, Migrating, Waiting, Paused, Stopped}

// inEachPhase runs f once for each phase, with the session of it, if there is one.
func inEachPhase(t *testing.T, f func(t *testing.T, g *stage, s *fakeSession)) {
	t.Helper()
	for _, phase := range allPhases {
		t.Run(phase.String(), func(t *testing.T) {
			onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) { f(t, g, g.lead(phase)) })
		})
	}
}

// A kick ends the present wait, and does nothing else.
func TestKick(t *testing.T) {
	inEachPhase(t, func(t *testing.T, g *stage, s *fakeSession) {
		before, dials := g.now(), g.attempts()
		for range 3 {
			g.kick()
		}
		if before.Phase == Waiting {
			require.Equal(t, Connecting, g.now().Phase)
			require.Equal(t, dials+1, g.attempts())
			require.Equal(t, time.Now(), g.lastDial().began)
			return
		}
		require.Equal(t, before, g.now())
		require.Equal(t, dials, g.attempts())
		if s != nil {
			checks, _ := s.pulse.counts()
			require.Zero(t, checks)
		}
	})
}

// A kick is never kept for a later wait, in whatever phase it came.
func TestKickIsNotBuffered(t *testing.T) {
	for _, phase := range []Phase{Connecting, Waiting, Connected, Migrating, Paused} {
		t.Run(phase.String(), func(t *testing.T) {
			onStage(t, supervision[*fakeSession]{backoff: Backoff{Initial: time.Hour, StableAfter: time.Second}}, func(t *testing.T, g *stage) {
				s := g.lead(phase)
				for range 3 {
					g.kick()
				}
				synctest.Wait()
				switch {
				case phase == Paused:
					g.setPause(false)
				case s != nil:
					s.end(io.EOF)
				}
				if g.now().Phase == Connecting {
					g.fail(errDown)
				}
				state := g.after(time.Minute)
				require.Equal(t, Waiting, state.Phase)
				require.Greater(t, time.Until(state.RetryAt), time.Minute)
			})
		})
	}
}

// Nor does one that comes while the loop is busy with a failure end the wait after it.
func TestKickWhileTheLoopIsBusy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: down}
		s := startWith(t.Context(), t, supervision[*fakeSession]{
			dial: p.dial, backoff: Backoff{Initial: time.Hour},
			classify: func(err error) rule {
				time.Sleep(time.Second)
				return ruleFor(err)
			},
		})
		synctest.Wait()
		require.Equal(t, Connecting, s.board.read().state.Phase)
		s.kick()
		time.Sleep(2 * time.Second)
		require.Equal(t, Waiting, s.board.read().state.Phase)
		require.Len(t, p.seen(), 1)
	})
}

// Of two kicks the one for the later wait counts, whichever is heard last.
func TestKickOfAnEarlierWait(t *testing.T) {
	for _, late := range []uint64{0, 1} { // how much earlier the second one's wait was
		onStage(t, supervision[*fakeSession]{backoff: Backoff{Initial: time.Hour}}, func(t *testing.T, g *stage) {
			g.lead(Waiting)
			wait := g.board.read().wait
			g.order(func(o *orders) {
				o.end(wait)
				o.end(wait - late)
			})
			require.Equal(t, Connecting, g.now().Phase)
			require.Equal(t, 2, g.attempts())
		})
	}
}

// Check probes what is live, and ends a wait.
func TestCheck(t *testing.T) {
	inEachPhase(t, func(t *testing.T, g *stage, s *fakeSession) {
		before, dials := g.now(), g.attempts()
		g.check()
		after := g.now()
		switch before.Phase {
		case Waiting:
			require.Equal(t, Connecting, after.Phase)
			require.Equal(t, dials+1, g.attempts())
		case Connected, Migrating:
			checks, _ := s.pulse.counts()
			require.Equal(t, 1, checks)
			require.Equal(t, before, after)
			require.Equal(t, dials, g.attempts())
		default:
			require.Equal(t, before, after)
			require.Equal(t, dials, g.attempts())
		}
	})
}

// Redial means another session, in whatever phase it is asked for.
func TestRedial(t *testing.T) {
	inEachPhase(t, func(t *testing.T, g *stage, s *fakeSession) {
		before, dials := g.now(), g.attempts()
		answer := g.asking(t.Context())
		another := g.asking(t.Context())
		switch before.Phase {
		case Stopped:
			require.Equal(t, error(stopped(t, g.supervisor)), requireAnswer(t, answer))
			return
		case Paused:
			require.Equal(t, before, g.after(time.Hour))
			requireNoAnswer(t, answer)
			g.setPause(false)
			dials++
		case Connected:
			require.Equal(t, Migrating, g.now().Phase)
			dials++
		case Waiting:
			require.Equal(t, Connecting, g.now().Phase)
			dials++
		case Connecting, Migrating: // the attempt under way will do
			require.Equal(t, before, g.now())
		}
		require.Equal(t, dials, g.attempts())
		requireNoAnswer(t, answer)
		if before.Phase == Migrating {
			g.feel(s, alive)
			require.Equal(t, Migrating, g.now().Phase, "the dial goes on although the session woke")
		}
		g.give(newFake())
		require.NoError(t, requireAnswer(t, answer))
		require.NoError(t, requireAnswer(t, another))
		after := g.now()
		require.Equal(t, Connected, after.Phase)
		require.Equal(t, before.Generation+1, after.Generation)
		require.Zero(t, after.Losses, "make before break is no loss")
		require.Equal(t, Connected, g.after(time.Hour).Phase)
		require.Equal(t, dials, g.attempts())
	})
}

// The old session serves until the new one is there, and is then closed in good order.
func TestRedialMakesBeforeItBreaks(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		old := g.lead(Connected)
		old.drain = 700 * time.Millisecond
		answer := g.asking(t.Context())
		time.Sleep(time.Minute)
		require.False(t, isClosed(old.closed))
		require.Same(t, old, g.board.read().session)
		next := g.give(newFake())
		require.NoError(t, requireAnswer(t, answer))
		require.Same(t, next, g.board.read().session)
		require.False(t, isClosed(old.closed))
		time.Sleep(old.drain)
		synctest.Wait()
		require.True(t, isClosed(old.closed), "it drained")
		events := g.told()
		require.Equal(t, EventReplaced, events[len(events)-1].Kind)
		require.Zero(t, events[len(events)-1].Down)
	})
}

// A failure is the answer, and the live session goes on.
func TestRedialFails(t *testing.T) {
	for _, phase := range []Phase{Connecting, Connected, Migrating, Waiting} {
		t.Run(phase.String(), func(t *testing.T) {
			onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
				s := g.lead(phase)
				answer := g.asking(t.Context())
				g.fail(io.ErrUnexpectedEOF)
				require.Equal(t, io.ErrUnexpectedEOF, requireAnswer(t, answer))
				if s == nil {
					require.Equal(t, Waiting, g.now().Phase)
					return
				}
				require.Equal(t, Connected, g.now().Phase)
				require.False(t, isClosed(s.closed))
				require.Zero(t, g.now().Losses)
			})
		})
	}
}

// The session that is replaced may end meanwhile. The dial is then what reconnects.
func TestRedialWhileTheSessionEnds(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		s := g.lead(Connected)
		answer := g.asking(t.Context())
		s.end(io.EOF)
		require.Equal(t, Connecting, g.now().Phase)
		requireNoAnswer(t, answer)
		g.give(newFake())
		require.NoError(t, requireAnswer(t, answer))
		require.Equal(t, uint64(1), g.now().Losses)
		require.Equal(t, 2, g.attempts())
	})
}

// Whoever asks with a short context does not call off what others wait for.
func TestRedialContext(t *testing.T) {
	for _, phase := range []Phase{Connecting, Connected, Migrating, Waiting, Paused} {
		t.Run(phase.String(), func(t *testing.T) {
			onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
				g.lead(phase)
				short, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrNoProgress)
				defer cancel()
				answer, patient := g.asking(short), g.asking(t.Context())
				time.Sleep(time.Second)
				require.Equal(t, io.ErrNoProgress, requireAnswer(t, answer))
				requireNoAnswer(t, patient)
				g.setPause(false)
				require.NoError(t, g.lastDial().ctx.Err())
				g.give(newFake())
				require.NoError(t, requireAnswer(t, patient))
			})
		})
	}
}

// Pause calls everything off, and Resume begins anew.
func TestPause(t *testing.T) {
	inEachPhase(t, func(t *testing.T, g *stage, s *fakeSession) {
		before, dials := g.now(), g.attempts()
		attempt := g.lastDial()
		state := g.setPause(true)
		if before.Phase == Stopped {
			require.Equal(t, before, state)
			require.Equal(t, before, g.setPause(false))
			return
		}
		require.Equal(t, Paused, state.Phase)
		require.Zero(t, state.RetryAt)
		require.Zero(t, state.Losses, "it was not lost")
		require.False(t, g.board.read().live)
		if before.Phase != Waiting {
			require.Error(t, attempt.ctx.Err(), "the attempt has ended, or is called off")
		}
		if s != nil {
			require.True(t, isClosed(s.closed))
		}
		require.Equal(t, Paused, g.after(1000*time.Hour).Phase)
		require.Equal(t, dials, g.attempts())
		g.setPause(true) // again: nothing
		g.kick()
		g.check()
		require.Equal(t, state, g.now())

		state = g.setPause(false)
		require.Equal(t, Connecting, state.Phase)
		require.Zero(t, state.Attempt, "a new outage")
		require.Equal(t, dials+1, g.attempts())
		require.Equal(t, time.Now(), g.lastDial().began)
		g.give(newFake())
		require.Equal(t, Connected, g.now().Phase)
		require.Equal(t, before.Generation+1, g.now().Generation)
		require.Zero(t, g.now().Losses)
	})
}

// Resume is for a pause only.
func TestResumeWithoutPause(t *testing.T) {
	inEachPhase(t, func(t *testing.T, g *stage, _ *fakeSession) {
		before, dials := g.now(), g.attempts()
		if before.Phase == Paused {
			return
		}
		require.Equal(t, before, g.setPause(false))
		require.Equal(t, dials, g.attempts())
	})
}

// A session drains while it is paused, and does not hold up Resume.
func TestPauseDrains(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		s := newFake()
		s.drain = time.Second
		g.give(s)
		require.Equal(t, Paused, g.setPause(true).Phase)
		require.False(t, isClosed(s.closed))
		require.Equal(t, Connecting, g.setPause(false).Phase)
		g.give(newFake())
		require.Equal(t, Connected, g.after(time.Second).Phase)
		require.True(t, isClosed(s.closed))
		require.Zero(t, g.now().Losses)
	})
}

// The last word counts, however fast they come, and none is lost.
func TestPauseAndResumeInQuickSuccession(t *testing.T) {
	for range 50 {
		onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
			g.lead(allPhases[rand.N(5)])
			on := false
			for range 1 + rand.N(20) {
				on = rand.N(2) == 0
				g.setPaused(on)
				if rand.N(3) == 0 {
					synctest.Wait()
				}
			}
			if on {
				require.Equal(t, Paused, g.after(time.Hour).Phase)
				return
			}
			require.NotEqual(t, Paused, g.after(time.Hour).Phase)
			require.NotZero(t, g.attempts())
		})
	}
}

// The time to give up does not run while it is paused, and begins anew with Resume.
func TestPauseStopsTheClock(t *testing.T) {
	const budget = 10 * time.Second
	for _, phase := range []Phase{Connecting, Waiting, Connected} {
		t.Run(phase.String(), func(t *testing.T) {
			with := supervision[*fakeSession]{backoff: Backoff{Initial: time.Hour, Timeout: budget, StableAfter: time.Second}}
			onStage(t, with, func(t *testing.T, g *stage) {
				g.lead(phase)
				time.Sleep(budget - 1)
				g.setPause(true)
				require.Equal(t, Paused, g.after(1000*time.Hour).Phase)
				g.setPause(false)
				require.Equal(t, time.Now().Add(budget), g.now().GiveUpAt)
				resumed := time.Now()
				stop := stopped(t, g.supervisor)
				require.Equal(t, budget, time.Since(resumed))
				require.Equal(t, budget, stop.Down)
				require.Equal(t, 1, stop.Attempts)
				require.ErrorIs(t, stop.First, context.DeadlineExceeded, "what came before the pause is over")
			})
		})
	}
}

// A pause at the very moment of giving up comes before it or after it, not both.
func TestPauseAsTheTimeIsUp(t *testing.T) {
	const budget = 10 * time.Second
	paused := 0
	for range 200 {
		onStage(t, supervision[*fakeSession]{backoff: Backoff{Initial: time.Hour, Timeout: budget}}, func(t *testing.T, g *stage) {
			g.fail(errDown)
			time.Sleep(budget)
			g.setPaused(true)
			var phases []Phase
			for state := range g.board.states(t.Context()) {
				if phases = append(phases, state.Phase); state.Phase == Paused {
					paused++
					require.Equal(t, Paused, g.after(time.Hour).Phase, "it did not give up meanwhile")
					break
				}
			}
		})
	}
	require.NotZero(t, paused)
}

// A pause does not undo what a stable session has proven: the address is right, and an
// outage has the longer time.
func TestPauseOfAProvenSession(t *testing.T) {
	with := supervision[*fakeSession]{backoff: Backoff{FirstTimeout: time.Second, Timeout: time.Hour}}
	onStage(t, with, func(t *testing.T, g *stage) {
		g.lead(Paused)
		state := g.setPause(false)
		require.Equal(t, time.Now().Add(time.Hour), state.GiveUpAt)
	})
}

// Close and the program's end reach it in a pause as well.
func TestCloseWhilePaused(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		g.lead(Paused)
		answer := g.asking(t.Context())
		g.close()
		require.Equal(t, ErrClosed, requireAnswer(t, answer))
		require.NoError(t, g.board.read().err)
		require.Equal(t, Stopped, g.now().Phase)
		require.Equal(t, ErrClosed, g.redial(t.Context()))
		require.Equal(t, Stopped, g.setPause(true).Phase)
	})
}

// However fast orders come, the dials that they are for are paced; a single one is obeyed
// at once.
func TestOrdersInALoop(t *testing.T) {
	t.Parallel()
	redial := func(ctx context.Context, s *supervisor[*fakeSession]) { _ = s.redial(ctx) }
	again := func(_ context.Context, s *supervisor[*fakeSession]) {
		s.setPaused(true)
		synctest.Wait()
		s.setPaused(false)
	}
	serving := servingFor(time.Hour, io.EOF)
	for name, test := range map[string]struct {
		order  func(context.Context, *supervisor[*fakeSession])
		answer func(context.Context, int) (*fakeSession, error)
	}{
		"redial":           {redial, serving},
		"redial, down":     {redial, down},
		"pause and resume": {again, serving},
		"pause, down":      {again, down},
		"kick":             {func(_ context.Context, s *supervisor[*fakeSession]) { s.kick() }, down},
		"check":            {func(_ context.Context, s *supervisor[*fakeSession]) { s.check() }, down},
	} {
		t.Run(name, func(t *testing.T) {
			for policy, floor := range map[Backoff]time.Duration{
				{}:                               100 * time.Millisecond,
				Gentle():                         500 * time.Millisecond,
				{Initial: 50 * time.Millisecond}: minDuration,
				{Initial: time.Hour}:             maxFloor,
			} {
				synctest.Test(t, func(t *testing.T) {
					p := &peer{answer: test.answer}
					s := start(t, p, policy)
					time.Sleep(time.Second)
					synctest.Wait()
					before, began := len(p.seen()), time.Now()
					ctx, stop := context.WithTimeout(t.Context(), 5*floor+1)
					defer stop()
					for ctx.Err() == nil {
						test.order(ctx, s)
						time.Sleep(floor / 100)
						synctest.Wait() // an order at the moment of a dial may call it off
					}
					dials := p.seen()[before:]
					require.GreaterOrEqual(t, len(dials), 5)
					require.Equal(t, began, dials[0], "at once")
					for i := 2; i < len(dials); i++ { // of two, one may be the policy's own
						require.GreaterOrEqual(t, dials[i].Sub(dials[i-2]), floor)
					}
				})
			}
		})
	}
}

// Who asks for another session again and again, and waits for none, is not remembered each
// time.
func TestRedialsAreOneWish(t *testing.T) {
	t.Parallel()
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		g.lead(Paused)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		answer := g.asking(t.Context())
		wish := g.orders.redial
		for range 100 {
			require.Equal(t, context.Canceled, g.redial(ended))
			synctest.Wait()
			require.Same(t, wish, g.orders.redial)
		}
		g.setPause(false)
		g.give(newFake())
		require.NoError(t, requireAnswer(t, answer))
		require.Equal(t, 2, g.attempts())
	})
}

// A Resume that is taken back before its time has come was never there.
func TestResumeTakenBack(t *testing.T) {
	t.Parallel()
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		g.lead(Paused)
		g.setPause(false)
		g.setPause(true)
		dials := g.attempts()
		require.Equal(t, Paused, g.setPause(false).Phase, "the attempt before was just now")
		g.setPause(true)
		require.Equal(t, Paused, g.after(time.Hour).Phase)
		require.Equal(t, dials, g.attempts())
	})
}

// A redial that has to wait for its turn survives what happens meanwhile.
func TestRedialOutlastsItsDelay(t *testing.T) {
	t.Parallel()
	for name, meanwhile := range map[string]func(*stage, *fakeSession){
		"the session ends":             func(_ *stage, s *fakeSession) { s.end(io.EOF) },
		"the session falls silent":     func(g *stage, s *fakeSession) { g.feel(s, silent) },
		"it falls silent, and wakes":   func(g *stage, s *fakeSession) { g.feel(s, silent); g.feel(s, alive) },
		"it is paused, and then it is": func(g *stage, _ *fakeSession) { g.setPause(true); g.setPause(false) },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, supervision[*fakeSession]{backoff: Backoff{Initial: time.Hour, StableAfter: 50 * time.Millisecond}}, func(t *testing.T, g *stage) {
				g.lead(Connected)
				first := g.asking(t.Context())
				s := g.give(newFake())
				require.NoError(t, requireAnswer(t, first))
				g.after(maxFloor / 2)
				dials := g.attempts()
				answer := g.asking(t.Context())
				require.Equal(t, dials, g.attempts())
				meanwhile(g, s)
				g.after(maxFloor / 2)
				require.Equal(t, dials+1, g.attempts())
				requireNoAnswer(t, answer)
				g.give(newFake())
				require.NoError(t, requireAnswer(t, answer))
			})
		})
	}
}

// A network that changes all the time does not keep an attempt from failing in time.
func TestChecksDoNotLengthenAnAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: mute}
		s := startWith(t.Context(), t, supervision[*fakeSession]{dial: p.dial, timeout: 10 * time.Second, backoff: Backoff{Initial: time.Hour}})
		for range 19 {
			time.Sleep(500 * time.Millisecond)
			s.check()
		}
		time.Sleep(499 * time.Millisecond)
		require.Equal(t, Connecting, s.board.read().state.Phase)
		require.Len(t, p.seen(), 20)
		time.Sleep(time.Millisecond)
		synctest.Wait()
		require.Equal(t, Waiting, s.board.read().state.Phase)
		require.ErrorIs(t, s.board.read().state.Err, context.DeadlineExceeded)
	})
}

// Dials that were called off and do not return take up the room of the next one, but that
// one fails in time.
func TestAnAttemptWithoutASlotFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hung := make(chan struct{})
		defer close(hung)
		p := &peer{answer: func(context.Context, int) (*fakeSession, error) {
			<-hung
			return nil, errDown
		}}
		s := startWith(t.Context(), t, supervision[*fakeSession]{dial: p.dial, timeout: 10 * time.Second, backoff: Backoff{Initial: time.Hour}})
		for range maxDials {
			time.Sleep(time.Second)
			s.setPaused(true)
			synctest.Wait()
			s.setPaused(false)
			synctest.Wait()
		}
		require.Len(t, p.seen(), maxDials)
		require.Equal(t, Connecting, s.board.read().state.Phase)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		require.Equal(t, Waiting, s.board.read().state.Phase)
		require.ErrorIs(t, s.board.read().state.Err, context.DeadlineExceeded)
	})
}
