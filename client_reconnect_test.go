package moq

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// What an origin publishes and subscribes outlives the relay.
func TestReconnectOutlivesRelay(t *testing.T) {
	for _, version := range versions {
		t.Run(string(version), func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				source := pubsub.NewOrigin()
				clock, err := source.CreateBroadcast("clock")
				require.NoError(t, err)
				require.NoError(t, clock.Announce())
				sink := pubsub.NewOrigin()
				config := Config{Versions: []Version{version}, QUIC: QUICOptions{MaxIdleTimeout: 5 * time.Second}}
				config.Publish = source
				publisher := b.client(config).Reconnect(t.Context(), b.url())
				config.Publish, config.Subscribe = nil, sink
				subscriber := b.client(config).Reconnect(t.Context(), b.url())

				var got []bool
				for a, err := range sink.Announced(t.Context(), "") {
					require.NoError(t, err)
					if a.Synced {
						continue
					}
					require.Equal(t, "clock", a.Path)
					if got = append(got, a.Active); len(got) == 3 {
						break
					}
					if a.Active {
						time.Sleep(time.Minute)
						require.NoError(t, b.up.Close()) // a clean end
						b.start()
					}
				}
				require.Equal(t, []bool{true, false, true}, got)

				time.Sleep(time.Minute)
				require.NoError(t, b.up.Kill()) // and none
				b.start()
				for _, r := range []*Reconnect{publisher, subscriber} {
					for state := range r.States(t.Context()) {
						if state.Generation == 3 {
							break
						}
					}
					require.Equal(t, uint64(2), r.State().Losses)
					require.ErrorIs(t, r.State().Err, os.ErrDeadlineExceeded, "the silence was noticed")
				}
				time.Sleep(time.Second)
				_, err = sink.Lookup("clock", 0)
				require.NoError(t, err)
			})
		})
	}
}

// What was announced is gone with the session, and there again with the next one. Nothing
// is kept in between for the sake of those who look.
func TestReconnectShowsTheOutage(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		source, sink := pubsub.NewOrigin(), pubsub.NewOrigin()
		clock, err := source.CreateBroadcast("clock")
		require.NoError(t, err)
		require.NoError(t, clock.Announce())
		b.client(Config{Publish: source}).Reconnect(t.Context(), b.url())
		b.client(Config{Subscribe: sink}).Reconnect(t.Context(), b.url())
		for range 3 {
			time.Sleep(2 * time.Minute)
			_, err = sink.Lookup("clock", 0)
			require.NoError(t, err)
			b.net.Dark(true)
			time.Sleep(time.Minute)
			_, err = sink.Lookup("clock", 0)
			require.Error(t, err)
			b.net.Dark(false)
		}
	})
}

func TestReconnectRefused(t *testing.T) {
	refuse := relay.Config{Admit: func(string) error { return errors.New("who are you?") }}
	onBed(t, refuse, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		r := b.client(Config{Subscribe: origin}).Reconnect(t.Context(), b.url())

		// Who waits on the origin learns that nobody feeds it any more.
		_, err := origin.Broadcast(t.Context(), "clock")
		stop, ok := errors.AsType[*StopError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, r.Wait(t.Context()), error(stop))
		require.Equal(t, ErrRefused, stop.Reason)
		require.Equal(t, 1, stop.Attempts, "%v", stop)
	})
}

// What a relay closes with that is no refusal is tried again, on both carriers, until it
// lets us in.
func TestReconnectRetriesCloses(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		for _, code := range []SessionCode{SessionNoError, SessionGoawayTimeout, SessionControlTimeout, SessionApplication + 502} {
			t.Run(fmt.Sprintf("%s/%d", scheme, code), func(t *testing.T) {
				attempts := 0 // by the relay's goroutines, one after the other
				conf := relay.Config{Admit: func(string) error {
					if attempts++; attempts < 4 {
						return &SessionError{Code: code, Reason: "not now"}
					}
					return nil
				}}
				onBed(t, conf, func(t *testing.T, b *bed) {
					r := b.client(Config{}).Reconnect(t.Context(), b.urlFor(scheme))
					failures := 0
					for state := range r.States(t.Context()) {
						if state.Phase == Connected {
							break
						}
						require.NotEqual(t, Stopped, state.Phase, "%v", state.Err)
						if state.Phase == Waiting {
							failures++
							require.Equal(t, failures, state.Attempt)
							ended, ok := errors.AsType[*SessionError](state.Err)
							require.True(t, ok, "%v", state.Err)
							require.Equal(t, code, ended.Code)
							require.True(t, ended.Remote)
						}
					}
					require.Equal(t, 3, failures)
				})
			})
		}
	}
}

func TestReconnectMalformedURL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := pubsub.NewOrigin()
		c, err := NewClient(Config{Subscribe: origin})
		require.NoError(t, err)
		r := c.Reconnect(t.Context(), "gopher://relay/"+canary)
		require.True(t, isClosed(r.Closed()))
		stop, ok := errors.AsType[*StopError](r.Err())
		require.True(t, ok)
		require.Equal(t, ErrStopped, stop.Reason)
		bad, ok := errors.AsType[*ConfigError](stop.Last)
		require.True(t, ok)
		require.Equal(t, "URL", bad.Field)
		require.NotContains(t, stop.Error(), canary)

		_, err = origin.Broadcast(t.Context(), "clock")
		require.Equal(t, error(stop), err)
		require.NoError(t, c.Close())
	})
}

// The whole attempt is inside the time to give up, to the nanosecond.
func TestReconnectGivesUpExactly(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		b.net.Dark(true)
		for _, timeout := range []time.Duration{200 * time.Millisecond, 7 * time.Second, 40 * time.Second} {
			began := time.Now()
			r := b.client(Config{Backoff: Backoff{Timeout: timeout}}).Reconnect(t.Context(), b.url())
			err := r.Wait(t.Context())
			require.ErrorIs(t, err, ErrGaveUp)
			require.Equal(t, timeout, time.Since(began))
		}
	})
}

// A relay that is killed and back is found again within the idle timeout, one
// keep-alive, the first wait and a handshake.
func TestReconnectAfterKill(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		r := b.client(Config{}).Reconnect(t.Context(), b.url())
		first, err := r.Session(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.NoError(t, b.up.Kill())
		b.start()
		killed := time.Now()
		<-first.Closed()
		second, err := r.Session(t.Context())
		require.NoError(t, err)
		require.NotSame(t, first, second)
		require.LessOrEqual(t, time.Since(killed), defaultMaxIdleTimeout+defaultKeepAlive+defaultInitial+4*latency)
	})
}

// Whoever closes a session of the supervisor's gets another one.
func TestReconnectAfterLocalClose(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		r := b.client(Config{}).Reconnect(t.Context(), b.url())
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		n := 0
		for s := range r.Sessions(ctx) {
			require.NoError(t, s.Close())
			n++
		}
		require.Greater(t, n, 3)
		require.NoError(t, r.Err())
	})
}

// TestResolverThatFails: a resolver's own error does not mean that the name was found.
func TestResolverThatFails(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		n := 0
		c := b.client(Config{Resolve: func(context.Context, string) ([]netip.Addr, error) {
			n++
			switch {
			case n == 1:
				return nil, errors.New("no network yet")
			case n < 6:
				return nil, nil // no such name yet
			}
			return []netip.Addr{b.at.Addr()}, nil
		}})
		r := c.Reconnect(t.Context(), "moqt://localhost:4443/")
		_, err := r.Session(t.Context())
		require.NoError(t, err)
	})
}

// TestReconnectOfABadURLReturnsAtOnce: however slow the observer is.
func TestReconnectOfABadURLReturnsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := make(chan Event)
		c, err := NewClient(Config{Hooks: Hooks{Observe: func(e Event) { events <- e }}})
		require.NoError(t, err)
		defer c.Close()
		began := time.Now()
		r := c.Reconnect(t.Context(), "no such url")
		took := time.Since(began)
		e := <-events
		<-r.Closed()
		synctest.Wait()
		require.Equal(t, EventStopped, e.Kind)
		require.Zero(t, r.Stats().AbandonedHooks)
		require.Zero(t, took)
	})
}
