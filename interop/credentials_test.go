//go:build interop

package interop

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/pubsub"
)

// TestCredentials shows what a relay that asks an auth server makes of a token:
// a wrong one ends the supervisor at once, a right one connects, and an auth
// server that is down is worth waiting for.
func TestCredentials(t *testing.T) {
	for _, carrier := range []string{"https", "moqt"} {
		t.Run(carrier, func(t *testing.T) {
			t.Parallel()
			auth := startAuthServer(t)
			r := startRelay(t, peers.RelayOptions{AuthURL: auth.URL})
			client := newClient(t, r, "client", moq.Config{
				Publish: pubsub.NewOrigin(),
				Backoff: moq.Backoff{Initial: 200 * time.Millisecond, Max: 400 * time.Millisecond},
			})
			refused(t, client, r.tokenURL(carrier, "bad"))
			refused(t, client, r.URL(carrier))
			admitted(t, client, r.tokenURL(carrier, "good"))

			auth.SetDown(true)
			down := client.Reconnect(t.Context(), r.tokenURL(carrier, "good"))
			awaitState(t, down, 20*time.Second, func(s moq.State) bool { return s.Attempt >= 4 })
			require.NotErrorIs(t, down.State().Err, moq.ErrRefused)
			var closed *moq.SessionError
			require.ErrorAs(t, down.State().Err, &closed)
			require.EqualValues(t, 566, closed.Code)
			require.Zero(t, down.State().Generation, "a session that the relay closes in place of its SETUP was never established")
			auth.SetDown(false)
			awaitState(t, down, 10*time.Second, func(s moq.State) bool { return s.Phase == moq.Connected })
			require.NoError(t, down.Close())
			require.NoError(t, down.Err())
		})
	}
}

func refused(t *testing.T, client *moq.Client, url string) {
	t.Helper()
	r := client.Reconnect(t.Context(), url)
	await(t, r.Closed(), time.Second, "a refusal does not end the supervisor within a second")
	require.ErrorIs(t, r.Err(), moq.ErrRefused)
	var stop *moq.StopError
	require.ErrorAs(t, r.Err(), &stop)
	require.Equal(t, 1, stop.Attempts, "a refused token was presented again")

	_, err := client.Connect(within(t, 5*time.Second), url)
	require.ErrorIs(t, err, moq.ErrRefused, "a refusal that comes in place of SETUP is Connect's error")
	require.NotContains(t, err.Error(), "jwt")
}

func admitted(t *testing.T, client *moq.Client, url string) {
	t.Helper()
	r := client.Reconnect(t.Context(), url)
	_, err := r.Session(within(t, 5*time.Second))
	require.NoError(t, err)
	require.NoError(t, r.Close())
}

// awaitState waits for a state that fits.
func awaitState(t *testing.T, r *moq.Reconnect, limit time.Duration, fits func(moq.State) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for s := range r.States(ctx) {
		if fits(s) {
			return
		}
	}
	require.FailNow(t, "the supervisor does not get there", "%+v", r.State())
}
