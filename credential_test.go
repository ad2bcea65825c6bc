package moq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/transport"
)

// askedOf returns what the hook's answer makes of the first attempt at a URL with a token
// in it.
func askedOf(ctx context.Context, t *testing.T, hook func(context.Context, Attempt) (Credential, error)) (*transport.Target, Credential, error) {
	t.Helper()
	c, err := NewClient(Config{Hooks: Hooks{Credentials: hook}})
	require.NoError(t, err)
	defer func() { require.NoError(t, c.Close()) }()
	const to = "https://relay:4443/room?jwt=old&x=1"
	target, err := transport.ParseURL(to)
	require.NoError(t, err)
	return endpoint{client: c, target: target, url: to, hooks: new(caller)}.authorize(ctx, newTrial())
}

func TestCredentialOfAnAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soon := time.Now().Add(time.Minute)
		for _, test := range []struct {
			name   string
			answer Credential
			err    error
			want   string // request target
			fails  error
		}{
			{"a token", Credential{Token: "new"}, nil, "/room?x=1&jwt=new", nil},
			{"a token that expires", Credential{Token: "new", Expires: soon}, nil, "/room?x=1&jwt=new", nil},
			{"none: as in the URL", Credential{}, nil, "/room?jwt=old&x=1", nil},
			{"expired before use", Credential{Token: "new", Expires: time.Now()}, nil, "", errExpired},
			{"long expired", Credential{Token: "new", Expires: soon.Add(-time.Hour)}, nil, "", errExpired},
			{"an error", Credential{Token: "new"}, io.ErrNoProgress, "", io.ErrNoProgress},
		} {
			target, credential, err := askedOf(t.Context(), t, func(context.Context, Attempt) (Credential, error) {
				return test.answer, test.err
			})
			require.ErrorIs(t, err, test.fails, test.name)
			if test.fails != nil {
				continue
			}
			require.Equal(t, test.want, target.Request(), test.name)
			require.Equal(t, test.answer, credential, test.name)
		}
	})
}

// The hook is told what the credential is for. Its URL is a copy.
func TestCredentialIsAskedWithTheAttempt(t *testing.T) {
	var got Attempt
	_, _, err := askedOf(t.Context(), t, func(_ context.Context, a Attempt) (Credential, error) {
		got = a
		a.URL.Host = "elsewhere"
		return Credential{}, nil
	})
	require.NoError(t, err)
	require.Equal(t, 1, got.Number)
	require.Equal(t, uint64(1), got.Generation)
	require.False(t, got.Rejected)
	require.NoError(t, got.LastErr)
	require.Equal(t, "old", got.URL.Query().Get("jwt"))
}

// The attempt's time goes on while it is asked, and one that will not hear is left alone.
func TestCredentialIgnoresItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		defer close(block)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		_, _, err := askedOf(ctx, t, func(context.Context, Attempt) (Credential, error) {
			<-block
			return Credential{}, nil
		})
		require.ErrorIs(t, err, errAbandoned)
		require.Equal(t, time.Minute+hookGrace, time.Since(began))
	})
}

// provider is a hook of which each call is answered in its own way.
type provider struct {
	answer func(ctx context.Context, n int) (Credential, error)

	mu    sync.Mutex
	asked []Attempt
}

func (p *provider) credentials(ctx context.Context, a Attempt) (Credential, error) {
	p.mu.Lock()
	p.asked = append(p.asked, a)
	n := len(p.asked)
	p.mu.Unlock()
	return p.answer(ctx, n)
}

func (p *provider) attempts() []Attempt {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked
}

// Each session comes with a token of its own.
func TestCredentialIsAskedEachTime(t *testing.T) {
	var mu sync.Mutex
	var targets []string
	conf := relay.Config{Admit: func(target string) error {
		mu.Lock()
		defer mu.Unlock()
		targets = append(targets, target)
		return nil
	}}
	onBed(t, conf, func(t *testing.T, b *bed) {
		p := &provider{answer: func(_ context.Context, n int) (Credential, error) {
			return Credential{Token: fmt.Sprintf("token%d", n)}, nil
		}}
		r := b.client(Config{Hooks: Hooks{Credentials: p.credentials}}).Reconnect(t.Context(), b.url())
		for range 3 {
			s, err := r.Session(t.Context())
			require.NoError(t, err)
			time.Sleep(time.Minute)
			require.NoError(t, s.Close())
		}
		_, err := r.Session(t.Context())
		require.NoError(t, err)
		require.NoError(t, r.Redial(t.Context()))
		var want []string
		for n := 1; n <= 5; n++ {
			want = append(want, fmt.Sprintf("/room/%s?jwt=token%d", canary, n))
		}
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, want, targets)
		asked := p.attempts()
		require.Equal(t, uint64(5), asked[4].Generation)
		require.Error(t, asked[1].LastErr)
	})
}

// The one that is refused buys another, which is asked for with the reason.
func TestCredentialIsRefreshed(t *testing.T) {
	conf := relay.Config{Admit: func(target string) error {
		if !strings.Contains(target, "token2") {
			return errors.New("who are you?")
		}
		return nil
	}}
	onBed(t, conf, func(t *testing.T, b *bed) {
		p := &provider{answer: func(_ context.Context, n int) (Credential, error) {
			return Credential{Token: fmt.Sprintf("token%d", n)}, nil
		}}
		r := b.client(Config{Hooks: Hooks{Credentials: p.credentials}}).Reconnect(t.Context(), b.url())
		_, err := r.Session(t.Context())
		require.NoError(t, err)
		asked := p.attempts()
		require.Len(t, asked, 2)
		require.False(t, asked[0].Rejected)
		require.True(t, asked[1].Rejected)
		require.ErrorIs(t, asked[1].LastErr, ErrRefused)
	})
}

// A session is replaced before its token expires, for as long as it takes.
func TestCredentialIsRenewed(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		p := &provider{answer: func(context.Context, int) (Credential, error) {
			return Credential{Token: "token", Expires: time.Now().Add(5 * time.Second)}, nil
		}}
		r := b.client(Config{Hooks: Hooks{Credentials: p.credentials}}).Reconnect(t.Context(), b.url())
		time.Sleep(time.Minute)
		state := r.State()
		require.GreaterOrEqual(t, state.Generation, uint64(13))
		require.LessOrEqual(t, state.Generation, uint64(15))
		require.Zero(t, state.Losses)
	})
}

// Whatever the provider does, the loop goes on, paced, and ends when it is told to.
func TestCredentialsCannotStopTheLoop(t *testing.T) {
	t.Parallel()
	block := func(ctx context.Context, _ int) (Credential, error) {
		<-ctx.Done()
		time.Sleep(hookGrace * 2)
		return Credential{}, nil
	}
	for _, test := range []struct {
		name   string
		answer func(context.Context, int) (Credential, error)
		stats  func(ReconnectStats) uint64 // what counts its calls; nil: nothing
	}{
		{"fails", func(context.Context, int) (Credential, error) { return Credential{}, io.EOF }, nil},
		{"refuses", func(context.Context, int) (Credential, error) { return Credential{}, &StatusError{Status: 403} }, nil},
		{"stops", func(context.Context, int) (Credential, error) {
			return Credential{}, &ConfigError{Field: "Token", Err: io.EOF}
		}, nil},
		{"panics", func(context.Context, int) (Credential, error) { panic(canary) }, func(s ReconnectStats) uint64 { return s.PanickedHooks }},
		{"ends its goroutine", func(context.Context, int) (Credential, error) { runtime.Goexit(); return Credential{}, nil }, nil},
		{"is slow", mutely, nil},
		{"ignores its context", block, func(s ReconnectStats) uint64 { return s.AbandonedHooks }},
		{"is out of date", func(context.Context, int) (Credential, error) { return Credential{Expires: time.Now()}, nil }, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &provider{answer: test.answer}
				c, err := NewClient(Config{
					ConnectTimeout: 2 * time.Second, Hooks: Hooks{Credentials: p.credentials},
					Backoff: Backoff{Multiplier: 1},
				})
				require.NoError(t, err)
				r := c.Reconnect(t.Context(), "moqt://relay/"+canary)
				time.Sleep(10 * time.Minute)
				asked := p.attempts()
				require.Greater(t, len(asked), 150)
				require.Less(t, len(asked), 1500, "each failure is paced")
				failed, ok := errors.AsType[*CredentialError](r.State().Err)
				require.True(t, ok, "%v", r.State().Err)
				require.NotContains(t, failed.Error(), canary)
				if test.stats != nil {
					require.InDelta(t, len(asked), test.stats(r.Stats()), 1)
				}
				began := time.Now()
				require.NoError(t, c.Close())
				require.LessOrEqual(t, time.Since(began), hookGrace)
				time.Sleep(2 * hookGrace)
			})
		})
	}
}

// mutely waits for its context, as it should.
func mutely(ctx context.Context, _ int) (Credential, error) {
	<-ctx.Done()
	return Credential{}, ctx.Err()
}

// The provider may end what it is asked for.
func TestCloseFromCredentials(t *testing.T) {
	for name, order := range map[string]func(*Reconnect, context.Context){
		"close":  func(r *Reconnect, _ context.Context) { _ = r.Close() },
		"pause":  func(r *Reconnect, _ context.Context) { r.Pause() },
		"redial": func(r *Reconnect, ctx context.Context) { _ = r.Redial(ctx) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ready := make(chan *Reconnect, 1)
				c, err := NewClient(Config{ConnectTimeout: 2 * time.Second, Hooks: Hooks{
					Credentials: func(ctx context.Context, _ Attempt) (Credential, error) {
						r := <-ready
						ready <- r
						order(r, ctx)
						return Credential{}, io.EOF
					},
				}})
				require.NoError(t, err)
				r := c.Reconnect(t.Context(), "moqt://relay")
				ready <- r
				time.Sleep(time.Minute)
				switch name {
				case "close":
					require.True(t, isClosed(r.Closed()))
				case "pause":
					require.Equal(t, Paused, r.State().Phase)
				default:
					require.Greater(t, r.State().Attempt, 1)
				}
				require.NoError(t, c.Close())
				time.Sleep(2 * hookGrace)
			})
		})
	}
}

// However they are printed, neither shows what it holds.
func TestCredentialIsNeverPrinted(t *testing.T) {
	secret, err := url.Parse("https://" + canary + ":" + canary + "@relay:443/" + canary + "?jwt=" + canary)
	require.NoError(t, err)
	credential := Credential{Token: canary, Expires: time.Now()}
	attempt := Attempt{Number: 2, URL: secret, Rejected: true, LastErr: io.EOF}
	var out strings.Builder
	logger := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{credential, &credential, attempt, &attempt, []Credential{credential}, map[string]Attempt{"a": attempt}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb, v)
		}
		text, err := json.Marshal(v)
		require.NoError(t, err)
		out.Write(text)
		logger.Info("printed", "v", v)
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("printed", "c", credential, "a", attempt)
	require.NotContains(t, out.String(), canary)
	require.NotContains(t, out.String(), fmt.Sprintf("%x", canary))
	require.Contains(t, out.String(), "https://relay:443")
	require.Contains(t, out.String(), "(hidden)")
	require.Contains(t, Credential{}.String(), "(none)")
	require.Equal(t, "attempt 1", Attempt{Number: 1}.String())
}
