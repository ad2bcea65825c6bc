package moq

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSupervisorPacesFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := &peer{answer: down}
		s := start(t, p, Backoff{})
		synctest.Wait()
		require.Equal(t, []time.Time{began}, p.seen(), "the first attempt is made at once")

		delay := time.Second
		for n := 1; n <= 50; n++ {
			state := s.board.read().state
			require.Equal(t, Waiting, state.Phase)
			require.Equal(t, n, state.Attempt)
			requireWithin(t, state.RetryAt.Sub(state.Since), delay)
			time.Sleep(time.Until(state.RetryAt))
			synctest.Wait()
			require.Equal(t, state.RetryAt, p.seen()[n], "attempt %d", n+1)
			delay = min(2*delay, 30*time.Second)
		}
	})
}

func TestSupervisorStability(t *testing.T) {
	lost := errors.New("lost")
	for _, test := range []struct {
		name     string
		lived    time.Duration
		failures int
		delay    time.Duration
		first    error
	}{
		{"shorter: one more failure", 2*time.Second - 1, 5, 16 * time.Second, errDown},
		{"long enough: a new outage", 2 * time.Second, 1, time.Second, lost},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				fail := outcome{-1, errDown}
				p := &peer{answer: playing(fail, fail, fail, fail, outcome{test.lived, lost}, outcome{-1, &StatusError{Status: 410}})}
				s := start(t, p, Backoff{StableAfter: 2 * time.Second})

				var after State
				for state := range s.board.states(t.Context()) {
					if state.Losses == 1 {
						after = state
						break
					}
				}
				require.Equal(t, Waiting, after.Phase)
				require.Equal(t, test.failures, after.Attempt)
				require.Equal(t, lost, after.Err, "the close reason is kept")
				requireWithin(t, after.RetryAt.Sub(after.Since), test.delay)

				stop := stopped(t, s)
				require.Equal(t, test.first, stop.First)
				require.Equal(t, test.failures+1, stop.Attempts)
			})
		})
	}
}

func TestSupervisorGivesUp(t *testing.T) {
	const budget = 10 * time.Second
	clipped := context.DeadlineExceeded
	for _, test := range []struct {
		name    string
		answer  func(context.Context, int) (*fakeSession, error)
		timeout time.Duration
		backoff Backoff
		after   time.Duration // when it gives up
		down    time.Duration
		first   error
		last    error
	}{
		{"waiting", down, 0, Backoff{Timeout: budget}, budget, budget, errDown, errDown},
		{"one long wait", down, 0, Backoff{Initial: time.Hour, Timeout: budget}, budget, budget, errDown, errDown},
		{"dialing", mute, 0, Backoff{Timeout: budget}, budget, budget, clipped, clipped},
		{"dialing, with a longer limit", mute, time.Hour, Backoff{Timeout: budget}, budget, budget, clipped, clipped},
		{"dialing, several", mute, 3 * time.Second, Backoff{Timeout: budget}, budget, budget, clipped, clipped},
		{"first session", down, 0, Backoff{FirstTimeout: budget, Timeout: time.Hour}, budget, budget, errDown, errDown},
		{"first session, no other", down, 0, Backoff{FirstTimeout: budget, Timeout: -1}, budget, budget, errDown, errDown},
		{
			"outage", playing(outcome{time.Hour, io.EOF}), 0,
			Backoff{FirstTimeout: time.Second, Timeout: budget},
			time.Hour + budget, budget, io.EOF, errDown,
		},
		{
			"outage, after a patient start", playing(outcome{time.Hour, io.EOF}), 0,
			Backoff{FirstTimeout: -1, Timeout: budget},
			time.Hour + budget, budget, io.EOF, errDown,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				p := &peer{answer: test.answer}
				s := startWith(t.Context(), t, supervision[*fakeSession]{dial: p.dial, backoff: test.backoff, timeout: test.timeout})
				stop := stopped(t, s)
				require.Equal(t, test.after, time.Since(began))
				require.Equal(t, test.down, stop.Down)
				require.Equal(t, ErrGaveUp, stop.Reason)
				require.ErrorIs(t, stop.First, test.first)
				require.ErrorIs(t, stop.Last, test.last)
				require.Equal(t, len(p.seen()), stop.Attempts)
			})
		})
	}
}

// Sessions that are not stable buy no time, but one that is live is not cut.
func TestSupervisorGivesUpFlapping(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			const lived, budget = 900 * time.Millisecond, 10 * time.Second
			began := time.Now()
			s := start(t, &peer{answer: servingFor(lived, io.EOF)}, Backoff{Max: 2 * time.Second, Timeout: budget})
			stop := stopped(t, s)
			require.Equal(t, time.Since(began), stop.Down)
			require.GreaterOrEqual(t, stop.Down, budget)
			require.Less(t, stop.Down, budget+lived)
			require.ErrorIs(t, stop, io.EOF)
			require.Equal(t, uint64(stop.Attempts), s.board.read().state.Losses)
		})
	}
}

func TestSupervisorNeverGivesUp(t *testing.T) {
	t.Parallel()
	for _, b := range []Backoff{{}, {Timeout: -1}, {FirstTimeout: -1, Timeout: time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, &peer{answer: down}, b)
			time.Sleep(3 * 24 * time.Hour)
			state := s.board.read().state
			require.Zero(t, state.GiveUpAt)
			require.Greater(t, state.Attempt, 3*24*60*60/30)
			require.False(t, isClosed(s.closed))
		})
	}
}

// An attempt that nobody answers ends by itself, and the loop goes on.
func TestSupervisorBoundsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := &peer{answer: func(ctx context.Context, n int) (*fakeSession, error) {
			if n == 1 {
				return mute(ctx, n)
			}
			return newFake(), nil
		}}
		s := startWith(t.Context(), t, supervision[*fakeSession]{dial: p.dial, timeout: 30 * time.Second})
		synctest.Wait()
		time.Sleep(30*time.Second - 1)
		synctest.Wait()
		require.Equal(t, Connecting, s.board.read().state.Phase)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		state := s.board.read().state
		require.Equal(t, Waiting, state.Phase)
		require.Equal(t, began.Add(30*time.Second), state.Since)
		require.ErrorIs(t, state.Err, context.DeadlineExceeded)
		require.ErrorContains(t, state.Err, "no session within 30s")

		_, err := s.board.session(t.Context())
		require.NoError(t, err)
	})
}

// The bound is the attempt's: what came of it in time lives on.
func TestSupervisorLimitSparesSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: func(ctx context.Context, n int) (*fakeSession, error) {
			limit, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, time.Now().Add(time.Second), limit)
			return newFake(), nil
		}}
		s := startWith(t.Context(), t, supervision[*fakeSession]{
			dial: p.dial, timeout: time.Second, backoff: Backoff{Timeout: 5 * time.Second},
		})
		time.Sleep(time.Hour)
		require.Equal(t, Connected, s.board.read().state.Phase)
		require.Len(t, p.seen(), 1)
	})
}

// Whatever comes out of a dial or a session, if it is not our own end and no final
// answer, is an ordinary failure.
func TestSupervisorRetries(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
	}{
		{"clean close", &SessionError{Code: SessionNoError, Remote: true}},
		{"closed by who got hold of it", nil},
		{"somebody's context", context.Canceled},
		{"somebody's deadline", context.DeadlineExceeded},
		{"gone away", &SessionError{Code: SessionGoawayTimeout, Remote: true}},
		{"bad gateway", &StatusError{Status: 502}},
	} {
		for _, lived := range []time.Duration{-1, 0, time.Minute} {
			if lived < 0 && test.err == nil {
				continue // a dial that fails has an error
			}
			t.Run(test.name+" "+lived.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &peer{answer: playing(outcome{lived, test.err}, outcome{time.Hour, nil})}
					s := start(t, p, Backoff{})
					time.Sleep(max(lived, 0) + time.Second)
					synctest.Wait()
					state := s.board.read().state
					require.Equal(t, Connected, state.Phase)
					require.Len(t, p.seen(), 2)
					require.Error(t, state.Err)
					if test.err != nil {
						require.Equal(t, test.err, state.Err)
					}
				})
			})
		}
	}
}

func TestSupervisorStops(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		reason error
	}{
		{"refused", &SessionError{Code: SessionUnauthorized, Remote: true}, ErrRefused},
		{"forbidden", &StatusError{Status: 403}, ErrRefused},
		{"bad request", &SessionError{Code: 464, Remote: true}, ErrStopped},
		{"gone", &StatusError{Status: 410}, ErrStopped},
		{"setting", &ConfigError{Field: "Protocols", Err: io.EOF}, ErrStopped},
	} {
		for _, play := range []struct {
			name     string
			outcomes []outcome
			first    error
			attempts int
			after    time.Duration
			down     time.Duration
		}{
			{"first attempt", []outcome{{-1, test.err}}, test.err, 1, 0, 0},
			{"first session", []outcome{{0, test.err}}, test.err, 1, 0, 0},
			{"later in a session's life", []outcome{{time.Hour, test.err}}, test.err, 1, time.Hour, 0},
			{"in an outage", []outcome{{-1, errDown}, {-1, errDown}, {-1, test.err}}, errDown, 3, -1, -1},
		} {
			t.Run(test.name+", "+play.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					p := &peer{answer: playing(play.outcomes...)}
					stop := stopped(t, start(t, p, Backoff{}))
					if play.after < 0 {
						play.after = p.seen()[2].Sub(began)
						play.down = play.after
					}
					require.Equal(t, &StopError{
						Reason: test.reason, First: play.first, Last: test.err, Attempts: play.attempts, Down: play.down,
					}, stop)
					require.ErrorIs(t, stop, test.reason)
					require.Equal(t, play.after, time.Since(began), "at once")
				})
			})
		}
	}
}

// TestContextEndedBefore: nothing is asked or dialed for a context that has ended.
func TestContextEndedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p := &peer{answer: mute}
		s := startWith(ctx, t, supervision[*fakeSession]{dial: p.dial})
		<-s.closed
		require.Empty(t, p.seen())
	})
}
