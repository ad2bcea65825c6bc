package moq

import (
	"context"
	"io"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// reconnectingTo returns a handle whose attempts all end with err, or with ctx if that
// is nil.
func reconnectingTo(ctx context.Context, b Backoff, err error) *Reconnect {
	hooks := new(caller)
	return &Reconnect{history: new(history), hooks: hooks, supervisor: supervise(ctx, supervision[*Session]{
		hooks: hooks, classify: ruleFor, backoff: b, endpoint: "moqt://relay:443", logger: slog.New(slog.DiscardHandler), done: func(error) {},
		dial: func(ctx context.Context, _ trial) (*Session, error) {
			if err == nil {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			time.Sleep(time.Millisecond)
			return nil, err
		},
	})}
}

func TestReconnectClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reconnectingTo(t.Context(), Backoff{}, nil)
		synctest.Wait()
		require.NoError(t, r.Err())
		require.False(t, isClosed(r.Closed()))
		require.Equal(t, State{Endpoint: "moqt://relay:443", Since: time.Now()}, r.State())

		require.NoError(t, r.Close())
		require.True(t, isClosed(r.Closed()))
		require.NoError(t, r.Close())
		require.NoError(t, r.Err())
		require.NoError(t, r.Wait(t.Context()))
		require.Equal(t, Stopped, r.State().Phase)
		_, err := r.Session(t.Context())
		require.Equal(t, ErrClosed, err)
	})
}

func TestReconnectStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reconnectingTo(t.Context(), Backoff{}, &StatusError{Status: 403})
		err := r.Wait(t.Context())
		require.ErrorIs(t, err, ErrRefused)
		require.Equal(t, err, r.Err())
		require.Equal(t, err, r.State().Err)
		require.NoError(t, r.Close())
		require.Equal(t, err, r.Err(), "a close after the end changes nothing")
		_, of := r.Session(t.Context())
		require.Equal(t, err, of)

		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.Equal(t, err, r.Wait(ended), "nothing to wait for")
	})
}

func TestReconnectWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reconnectingTo(t.Context(), Backoff{Timeout: time.Minute}, errDown)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrNoProgress)
		defer cancel()
		require.Equal(t, io.ErrNoProgress, r.Wait(ctx))
		require.NoError(t, r.Err(), "the supervisor goes on")

		began := time.Now()
		require.ErrorIs(t, r.Wait(t.Context()), ErrGaveUp)
		require.Equal(t, 59*time.Second, time.Since(began))
	})
}

func TestReconnectContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		r := reconnectingTo(ctx, Backoff{}, errDown)
		synctest.Wait()
		cancel(io.ErrClosedPipe)
		require.Equal(t, io.ErrClosedPipe, r.Wait(t.Context()))
	})
}

func TestReconnectIterators(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := reconnectingTo(t.Context(), Backoff{Timeout: time.Minute}, errDown)
		var phases []Phase
		for state := range r.States(t.Context()) {
			phases = append(phases, state.Phase)
		}
		require.Equal(t, []Phase{Connecting, Waiting, Connecting, Waiting}, phases[:4])
		require.Equal(t, Stopped, phases[len(phases)-1])
		require.Empty(t, slices.Collect(r.Sessions(t.Context())))
	})
}
