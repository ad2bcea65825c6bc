package moq

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

func TestNewClient(t *testing.T) {
	_, err := NewClient(Config{Versions: []Version{"moq-lite-99"}})
	bad, ok := errors.AsType[*ConfigError](err)
	require.True(t, ok)
	require.Equal(t, "Versions", bad.Field)

	c, err := NewClient(Config{Fingerprints: []string{pinA}})
	require.NoError(t, err)
	require.Equal(t, []string{"moq-lite-06", "moq-lite-05"}, c.dialer.Protocols)
	require.Len(t, c.dialer.Fingerprints, 1)
	require.NoError(t, c.Close())
}

func TestVersionsAreThoseOfTheWire(t *testing.T) {
	var spoken []Version
	for _, v := range wire.Versions() {
		spoken = append(spoken, Version(v.ALPN()))
	}
	require.Equal(t, spoken, versions)
}

func TestConnect(t *testing.T) {
	t.Parallel()
	for _, carrier := range []struct {
		scheme, name string
		takes        time.Duration
	}{
		{"moqt", "quic", 2 * rtt},          // QUIC, and SETUP's answer
		{"https", "webtransport", 3 * rtt}, // and CONNECT's
	} {
		for _, version := range versions {
			t.Run(carrier.name+" "+string(version), func(t *testing.T) {
				var target string
				conf := relay.Config{Admit: func(t string) error { target = t; return nil }}
				onBed(t, conf, func(t *testing.T, b *bed) {
					origin := pubsub.NewOrigin()
					c := b.client(Config{Publish: origin, Subscribe: origin, Versions: []Version{version}})
					ctx, cancel := context.WithCancel(t.Context())
					began := time.Now()
					s, err := c.Connect(ctx, b.urlFor(carrier.scheme))
					require.NoError(t, err)
					require.LessOrEqual(t, time.Since(began), carrier.takes)
					require.Equal(t, "/room/"+canary+"?jwt="+canary, target)
					require.Equal(t, version, s.Version())
					require.Equal(t, carrier.name, s.Transport())
					require.Equal(t, b.at.String(), s.RemoteAddr().String())
					require.NoError(t, s.Err())

					cancel() // it bounded the attempt only
					time.Sleep(time.Hour)
					require.False(t, isClosed(s.Closed()))
					require.False(t, isClosed(s.GoingAway()))
					stats := s.Stats()
					require.Equal(t, rtt, stats.MinRTT)
					require.Positive(t, stats.BytesSent)
					require.Positive(t, stats.PacketsReceived)

					require.NoError(t, s.Close())
					require.True(t, isClosed(s.Closed()))
					require.NoError(t, s.Err())
					require.NoError(t, s.Close())
				})
			})
		}
	}
}

func TestSessionAbort(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		s, err := b.client(Config{}).Connect(t.Context(), b.url())
		require.NoError(t, err)
		s.Abort(SessionApplication+7, "enough")
		require.True(t, isClosed(s.Closed()))
		ended, ok := errors.AsType[*SessionError](s.Err())
		require.True(t, ok)
		require.Equal(t, SessionApplication+7, ended.Code)
		require.Equal(t, "enough", ended.Reason)
		require.False(t, ended.Remote)
	})
}

func TestSessionGoingAway(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		s, err := b.client(Config{}).Connect(t.Context(), b.url())
		require.NoError(t, err)
		drain, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		go func() { _ = b.up.Drain(drain) }()
		<-s.GoingAway()
		require.Less(t, time.Since(began), time.Second)
		<-s.Closed()
		ended, ok := errors.AsType[*SessionError](s.Err())
		require.True(t, ok)
		require.Equal(t, SessionGoawayTimeout, ended.Code)
		require.True(t, ended.Remote)
	})
}

func TestConnectFailures(t *testing.T) {
	refuse := relay.Config{Admit: func(string) error { return errors.New("who are you?") }}
	for _, test := range []struct {
		name  string
		relay relay.Config
		conf  Config
		url   string // instead of the relay's
		check func(*testing.T, error)
	}{
		{"refused", refuse, Config{}, "", func(t *testing.T, err error) {
			require.ErrorIs(t, err, ErrRefused)
			ended, ok := errors.AsType[*SessionError](err)
			require.True(t, ok)
			require.True(t, ended.Remote)
		}},
		{"no common version", relay.Config{Versions: []string{string(Lite05)}}, Config{Versions: []Version{Lite06}}, "", func(t *testing.T, err error) {
			alert, ok := errors.AsType[*quic.TransportError](err)
			require.True(t, ok)
			require.Equal(t, quic.TransportErrorCode(0x178), alert.ErrorCode)
		}},
		{"wrong pin", relay.Config{}, Config{Fingerprints: []string{pinA}}, "", func(t *testing.T, err error) {
			alert, ok := errors.AsType[*quic.TransportError](err)
			require.True(t, ok)
			require.True(t, alert.ErrorCode.IsCryptoError())
		}},
		{"malformed", relay.Config{}, Config{}, "ftp://relay/" + canary, func(t *testing.T, err error) {
			bad, ok := errors.AsType[*ConfigError](err)
			require.True(t, ok)
			require.Equal(t, "URL", bad.Field)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			onBed(t, test.relay, func(t *testing.T, b *bed) {
				if test.url == "" {
					test.url = b.url()
				}
				c := b.client(test.conf)
				s, err := c.Connect(t.Context(), test.url)
				require.Nil(t, s)
				test.check(t, err)
				require.NotContains(t, err.Error(), canary)
				require.Empty(t, c.owned)
			})
		})
	}
}

func TestConnectIsBounded(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		b.net.Dark(true)
		began := time.Now()
		_, err := b.client(Config{ConnectTimeout: 2 * time.Second}).Connect(t.Context(), b.url())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorContains(t, err, "no session within 2s")
		require.Equal(t, 2*time.Second, time.Since(began))

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = b.client(Config{ConnectTimeout: -1}).Connect(ctx, b.url())
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}

func TestClientClose(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		c := b.client(Config{})
		session, err := c.Connect(t.Context(), b.url())
		require.NoError(t, err)
		live := c.Reconnect(t.Context(), b.url())
		_, err = live.Session(t.Context())
		require.NoError(t, err)

		b.net.Dark(true)
		dialing := c.Reconnect(t.Context(), b.url())
		connecting := make(chan error, 1)
		go func() {
			_, err := c.Connect(t.Context(), b.url())
			connecting <- err
		}()
		synctest.Wait()
		var closing sync.WaitGroup
		began := time.Now()
		for range 5 {
			closing.Go(func() {
				require.NoError(t, c.Close())
				require.True(t, isClosed(session.Closed()))
				require.True(t, isClosed(live.Closed()))
				require.True(t, isClosed(dialing.Closed()))
			})
		}
		closing.Wait()
		require.LessOrEqual(t, time.Since(began), 2*time.Second, "a drain that nobody answers, and the close")
		require.NoError(t, session.Err())
		require.NoError(t, live.Err())
		require.NoError(t, dialing.Err())
		require.ErrorIs(t, <-connecting, ErrClosed)

		_, err = c.Connect(t.Context(), b.url())
		require.Equal(t, ErrClosed, err)
		late := c.Reconnect(t.Context(), b.url())
		require.True(t, isClosed(late.Closed()))
		require.ErrorIs(t, late.Err(), ErrClosed)
		require.ErrorIs(t, late.Err(), ErrStopped)
		require.NoError(t, c.Close())
	})
}

// Close waits for an attempt that takes its time to end.
func TestClientCloseWaitsForConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := NewClient(Config{Resolve: func(ctx context.Context, _ string) ([]netip.Addr, error) {
			<-ctx.Done()
			time.Sleep(time.Second)
			return nil, ctx.Err()
		}})
		require.NoError(t, err)
		go func() {
			_, err := c.Connect(t.Context(), "moqt://relay")
			require.ErrorIs(t, err, ErrClosed)
		}()
		synctest.Wait()
		began := time.Now()
		require.NoError(t, c.Close())
		require.Equal(t, time.Second, time.Since(began))
	})
}

// A client that lives long does not remember what has ended.
func TestClientForgets(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		c := b.client(Config{})
		kept, err := c.Connect(t.Context(), b.url())
		require.NoError(t, err)
		for range 3 * minSweep {
			s, err := c.Connect(t.Context(), b.url())
			require.NoError(t, err)
			require.NoError(t, s.Close())
		}
		require.Less(t, len(c.owned), minSweep)
		require.Contains(t, c.owned, closer(kept))
	})
}

// The path and the query of a URL may be credentials: they appear nowhere.
func TestURLStaysSecret(t *testing.T) {
	admit := true
	conf := relay.Config{Admit: func(string) error {
		if admit {
			return nil
		}
		return errors.New("no")
	}}
	onBed(t, conf, func(t *testing.T, b *bed) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c := b.client(Config{Logger: logger, Publish: pubsub.NewOrigin(), Subscribe: pubsub.NewOrigin()})
		r := c.Reconnect(t.Context(), b.url())
		session, err := r.Session(t.Context())
		require.NoError(t, err)
		time.Sleep(time.Minute)
		admit = false
		require.NoError(t, b.up.Kill())
		b.start()
		err = r.Wait(t.Context())
		require.ErrorIs(t, err, ErrRefused)

		for _, v := range []any{r, c, session, err, r.State(), r.State().Endpoint} {
			for _, format := range []string{"%v", "%+v"} {
				require.NotContains(t, fmt.Sprintf(format, v), canary)
			}
		}
		require.Contains(t, out.String(), "stopped")
		require.NotContains(t, out.String(), canary)
	})
}
