package moq

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A reader that keeps up sees every state, with everything that is known in it.
func TestStatesInFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := &SessionError{Code: SessionUnauthorized, Remote: true}
		p := &peer{answer: playing(outcome{-1, errDown}, outcome{time.Minute, io.EOF}, outcome{-1, refused})}
		began := time.Now()
		s := startWith(t.Context(), t, supervision[*fakeSession]{
			dial: func(ctx context.Context, tr trial) (*fakeSession, error) {
				time.Sleep(10 * time.Millisecond)
				return p.dial(ctx, tr)
			},
			endpoint: "https://relay:443",
			backoff:  Backoff{FirstTimeout: time.Hour, Timeout: 2 * time.Hour},
		})
		got := slices.Collect(s.board.states(t.Context()))
		stop := stopped(t, s)
		require.Len(t, got, 7)

		const dialing = 10 * time.Millisecond
		retry1, retry2 := got[1].RetryAt, got[4].RetryAt
		lost := retry1.Add(dialing + time.Minute)
		giveUp1, giveUp2 := began.Add(time.Hour), lost.Add(2*time.Hour)
		want := []State{
			{Phase: Connecting, Since: began, GiveUpAt: giveUp1},
			{Phase: Waiting, Since: began.Add(dialing), RetryAt: retry1, GiveUpAt: giveUp1, Attempt: 1, Err: errDown},
			{Phase: Connecting, Since: retry1, GiveUpAt: giveUp1, Attempt: 1, Err: errDown},
			{Phase: Connected, Since: retry1.Add(dialing), Generation: 1, Attempt: 1, Err: errDown},
			{Phase: Waiting, Since: lost, RetryAt: retry2, GiveUpAt: giveUp2, Generation: 1, Losses: 1, Attempt: 1, Err: io.EOF},
			{Phase: Connecting, Since: retry2, GiveUpAt: giveUp2, Generation: 1, Losses: 1, Attempt: 1, Err: io.EOF},
			{Phase: Stopped, Since: retry2.Add(dialing), Generation: 1, Losses: 1, Attempt: 2, Err: stop},
		}
		for i := range want {
			want[i].Endpoint = "https://relay:443"
			require.Equal(t, want[i], got[i], "state %d", i)
		}
		requireWithin(t, retry1.Sub(got[1].Since), time.Second)
		requireWithin(t, retry2.Sub(got[4].Since), time.Second)
	})
}

// The last wait before giving up leads to no attempt, and says so.
func TestStateOfLastWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &peer{answer: down}, Backoff{Initial: time.Hour, Timeout: 2 * time.Second})
		synctest.Wait()
		state := s.board.read().state
		require.Equal(t, Waiting, state.Phase)
		require.Equal(t, time.Now().Add(2*time.Second), state.GiveUpAt)
		require.Zero(t, state.RetryAt)
	})
}

// A reader that is too slow misses states in between, never the newest; the counters
// tell what it missed. It holds up nobody.
func TestStatesNewestWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fails := errors.New("the last one")
		p := &peer{answer: playing(
			outcome{time.Minute, io.EOF}, outcome{time.Minute, io.EOF}, outcome{time.Minute, fails},
			outcome{time.Hour, io.EOF},
		)}
		s := start(t, p, Backoff{})
		synctest.Wait()
		var got []State
		for state := range s.board.states(t.Context()) {
			got = append(got, state)
			if len(got) == 2 {
				break
			}
			time.Sleep(10 * time.Minute)
		}
		require.Equal(t, uint64(1), got[0].Generation, "the present state comes first")
		require.Equal(t, Connected, got[1].Phase)
		require.Equal(t, uint64(4), got[1].Generation)
		require.Equal(t, uint64(3), got[1].Losses)
		require.Equal(t, fails, got[1].Err)
	})
}

func TestStatesEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &peer{answer: mute}, Backoff{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		require.Len(t, slices.Collect(s.board.states(ctx)), 1)
		require.Equal(t, time.Minute, time.Since(began))
		require.Len(t, slices.Collect(s.board.states(ctx)), 1, "the present one also for a context that has ended")

		s.close()
		states := slices.Collect(s.board.states(t.Context()))
		require.Len(t, states, 1)
		require.Equal(t, Stopped, states[0].Phase)
		require.NoError(t, states[0].Err)
	})
}

// Any number of readers see the end, whenever they come.
func TestStatesManyReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: servingFor(0, io.EOF)}
		s := start(t, p, Backoff{Timeout: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var readers sync.WaitGroup
		for i := range 100 {
			readers.Go(func() {
				time.Sleep(time.Duration(i) * time.Second)
				var last State
				for state := range s.board.states(ctx) {
					require.GreaterOrEqual(t, state.Generation, last.Generation)
					require.GreaterOrEqual(t, state.Losses, last.Losses)
					require.LessOrEqual(t, state.Generation-state.Losses, uint64(1))
					last = state
				}
				require.Equal(t, Stopped, last.Phase)
				require.Equal(t, len(p.seen()), int(last.Generation))
				require.Equal(t, last.Generation, last.Losses)
			})
		}
		readers.Wait()
	})
}

func TestSessions(t *testing.T) {
	lives := func(d ...time.Duration) *peer {
		return &peer{answer: func(_ context.Context, n int) (*fakeSession, error) {
			if n > len(d) {
				return nil, &StatusError{Status: 404}
			}
			return lasting(d[n-1], io.EOF), nil
		}}
	}
	t.Run("one for each generation", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, lives(time.Minute, time.Hour, time.Minute), Backoff{})
			var seen []*fakeSession
			for session := range s.board.sessions(t.Context()) {
				require.False(t, isClosed(session.closed))
				require.NotContains(t, seen, session)
				seen = append(seen, session)
			}
			require.Len(t, seen, 3)
			require.Equal(t, Stopped, s.board.read().state.Phase, "it ends with the supervisor")
		})
	})
	t.Run("the newest wins", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, lives(time.Minute, time.Minute, time.Minute, time.Hour), Backoff{})
			var generations []uint64
			for range s.board.sessions(t.Context()) {
				generations = append(generations, s.board.read().state.Generation)
				time.Sleep(10 * time.Minute)
			}
			require.Equal(t, []uint64{1, 4}, generations)
		})
	})
	t.Run("ends with its context", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := start(t, &peer{answer: servingFor(time.Hour, io.EOF)}, Backoff{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			require.Len(t, slices.Collect(s.board.sessions(ctx)), 1)
			require.False(t, isClosed(s.closed))
		})
	})
}

func TestSessionWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &peer{answer: func(_ context.Context, n int) (*fakeSession, error) {
			if n < 4 {
				return nil, errDown
			}
			return newFake(), nil
		}}
		s := start(t, p, Backoff{})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 50*time.Millisecond, io.ErrNoProgress)
		defer cancel()
		_, err := s.board.session(ctx)
		require.Equal(t, io.ErrNoProgress, err)

		session, err := s.board.session(t.Context())
		require.NoError(t, err)
		require.Len(t, p.seen(), 4)
		again, err := s.board.session(ctx)
		require.NoError(t, err, "nothing to wait for")
		require.Same(t, session, again)

		// A session that has ended is nobody's, even before the loop has noticed.
		session.end(io.EOF)
		next, err := s.board.session(t.Context())
		require.NoError(t, err)
		require.NotSame(t, session, next)

		s.close()
		_, err = s.board.session(t.Context())
		require.Equal(t, ErrClosed, err)
	})
}

func TestSessionOfStoppedSupervisor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &peer{answer: playing(outcome{-1, errDown}, outcome{-1, &StatusError{Status: 401}})}, Backoff{})
		_, err := s.board.session(t.Context())
		require.Equal(t, error(stopped(t, s)), err, "who waits is told")
		require.ErrorIs(t, err, ErrRefused)
		_, err = s.board.session(t.Context())
		require.Equal(t, error(stopped(t, s)), err, "and who comes later")
	})
}
