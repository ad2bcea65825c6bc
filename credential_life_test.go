package moq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
)

// S8: what a relay says of a credential, and what becomes of it.

// door is a relay that lets in by what a table says, and notes who knocked.
type door struct {
	mu     sync.Mutex
	tokens []string          // in the order of the attempts
	refuse func(n int) error // of the n-th attempt, from 1; nil lets in
}

func tokenOf(target string) string {
	_, query, _ := strings.Cut(target, "?")
	values, _ := url.ParseQuery(query)
	return values.Get("jwt")
}

func (d *door) knock(target string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tokens = append(d.tokens, tokenOf(target))
	return d.refuse(len(d.tokens))
}

func (d *door) seen() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]string(nil), d.tokens...)
}

// config refuses by an HTTP status where the error is one, else by a close.
func (d *door) config() relay.Config {
	return relay.Config{
		Answer: func(target string) *StatusError {
			if status, ok := errors.AsType[*StatusError](d.knock(target)); ok {
				return status
			}
			return nil
		},
	}
}

// admitting refuses by a close.
func (d *door) admitting() relay.Config { return relay.Config{Admit: d.knock} }

// mint is a provider that gives another token each time.
type mint struct {
	mu   sync.Mutex
	made int
	life time.Duration
}

func (m *mint) credential(context.Context, Attempt) (Credential, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.made++
	c := Credential{Token: fmt.Sprintf("t%d", m.made)}
	if m.life > 0 {
		c.Expires = time.Now().Add(m.life)
	}
	return c, nil
}

// fate is what becomes of a Reconnect that was refused always.
type fate struct {
	name     string
	status   int           // answered on WebTransport, or as 64 + status in a close
	code     SessionCode   // of a close; used if status is 0
	wait     time.Duration // Retry-After
	version  Version       // "": the newest
	attempts int           // until it stops, with a provider of credentials; 0: it goes on
	reason   error
}

var fates = []fate{
	{name: "401", status: 401, attempts: 2, reason: ErrRefused}, // one new credential
	{name: "403", status: 403, attempts: 2, reason: ErrRefused},
	{name: "404", status: 404, attempts: maxSuspicions, reason: ErrStopped},
	{name: "400", status: 400, attempts: 1, reason: ErrStopped},
	{name: "500", status: 500, attempts: 1, reason: ErrStopped},
	{name: "408", status: 408},
	{name: "429", status: 429},
	{name: "429 and wait", status: 429, wait: 40 * time.Second},
	{name: "502", status: 502},
	{name: "503", status: 503},
	{name: "503 and wait", status: 503, wait: 40 * time.Second},
	{name: "504", status: 504},
	{name: "close 2", code: SessionUnauthorized, attempts: 2, reason: ErrRefused},
	{name: "close 6 on lite-05", code: SessionParameters, version: Lite05, attempts: 2, reason: ErrRefused},
	{name: "close 6 on lite-06", code: SessionParameters, version: Lite06},
	{name: "close 0", code: SessionNoError},
}

func TestRefusalsAtOnce(t *testing.T) {
	t.Parallel()
	for _, f := range fates {
		for _, carrier := range []string{"moqt", "https", "https by status"} {
			scheme, byStatus := strings.CutSuffix(carrier, " by status")
			if byStatus && f.status == 0 || !byStatus && f.wait > 0 {
				continue
			}
			t.Run(f.name+"/"+carrier, func(t *testing.T) {
				d := &door{refuse: func(int) error {
					switch {
					case byStatus:
						return &StatusError{Status: f.status, RetryAfter: f.wait}
					case f.status != 0:
						return &SessionError{Code: SessionApplication + SessionCode(f.status)}
					}
					return &SessionError{Code: f.code}
				}}
				conf := d.admitting()
				if byStatus {
					conf = d.config()
				}
				onBed(t, conf, func(t *testing.T, b *bed) { f.meet(t, b, d, scheme) })
			})
		}
	}
}

// meet checks what becomes of a client that gets a new token for each attempt.
func (f fate) meet(t *testing.T, b *bed, d *door, scheme string) {
	config := Config{Hooks: Hooks{Credentials: new(mint).credential}}
	if f.version != "" {
		config.Versions = []Version{f.version}
	}
	r := b.client(config).Reconnect(t.Context(), b.urlFor(scheme))
	if f.attempts > 0 {
		err := r.Wait(t.Context())
		stop, ok := errors.AsType[*StopError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, f.reason, stop.Reason)
		require.Len(t, d.seen(), f.attempts)
	} else {
		var waited time.Duration
		for state := range r.States(t.Context()) {
			require.NotEqual(t, Stopped, state.Phase)
			if state.Phase == Waiting {
				waited = state.RetryAt.Sub(state.Since)
				require.GreaterOrEqual(t, waited, f.wait, "what the server asked for")
				require.LessOrEqual(t, waited, max(f.wait*11/10, defaultMax))
			}
			if state.Attempt == 5 {
				break
			}
		}
		require.GreaterOrEqual(t, len(d.seen()), 5)
	}
	for i, token := range d.seen() {
		require.Equal(t, fmt.Sprintf("t%d", i+1), token, "a fresh one for each attempt")
	}
	require.NoError(t, r.Close())
}

// Without a provider there is nothing to refresh.
func TestRefusedWithoutProvider(t *testing.T) {
	d := &door{refuse: func(int) error { return &SessionError{Code: SessionUnauthorized} }}
	onBed(t, d.admitting(), func(t *testing.T, b *bed) {
		err := b.client(Config{}).Reconnect(t.Context(), b.url()).Wait(t.Context())
		require.ErrorIs(t, err, ErrRefused)
		require.Equal(t, []string{canary}, d.seen())
	})
}

// A token that expires in mid-session: the relay closes with 2, or 6 on lite-05, and one
// new token is asked for at once.
func TestExpiryInMidSession(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		for version, code := range map[Version]SessionCode{Lite06: SessionUnauthorized, Lite05: SessionParameters} {
			t.Run(scheme+"/"+string(version), func(t *testing.T) {
				const life = 2 * time.Minute
				d := &door{refuse: func(int) error { return nil }}
				conf := d.admitting()
				conf.Evict = func(string) <-chan error { return after(life, &SessionError{Code: code, Reason: "expired"}) }
				onBed(t, conf, func(t *testing.T, b *bed) {
					config := Config{Versions: []Version{version}, Hooks: Hooks{Credentials: new(mint).credential}}
					r := b.client(config).Reconnect(t.Context(), b.urlFor(scheme))
					for s := range r.Sessions(t.Context()) {
						if r.State().Generation == 4 {
							break
						}
						<-s.Closed()
						ended := time.Now()
						_, err := r.Session(t.Context())
						require.NoError(t, err)
						require.LessOrEqual(t, time.Since(ended), 4*rtt, "it is tried at once")
					}
					require.Equal(t, []string{"t1", "t2", "t3", "t4"}, d.seen())
					require.Equal(t, uint64(3), r.State().Losses)
				})
			})
		}
	}
}

// after returns a channel on which err comes after d.
func after(d time.Duration, err error) <-chan error {
	out := make(chan error, 1)
	time.AfterFunc(d, func() { out <- err })
	return out
}

// A credential that says when it expires is replaced before, and nobody notices.
func TestRenewedBeforeExpiry(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		t.Run(scheme, func(t *testing.T) {
			const life = time.Minute
			d := &door{refuse: func(int) error { return nil }}
			conf := d.admitting()
			conf.Evict = func(string) <-chan error { return after(life, &SessionError{Code: SessionUnauthorized}) }
			onBed(t, conf, func(t *testing.T, b *bed) {
				m := &mint{life: life}
				r := b.client(Config{Hooks: Hooks{Credentials: m.credential}}).Reconnect(t.Context(), b.urlFor(scheme))
				_, err := r.Session(t.Context())
				require.NoError(t, err)
				began := time.Now()
				for state := range r.States(t.Context()) {
					require.Contains(t, []Phase{Connected, Migrating}, state.Phase)
					require.Zero(t, state.Losses)
					require.NoError(t, state.Err)
					if state.Generation == 6 {
						break
					}
				}
				require.GreaterOrEqual(t, time.Since(began), 5*life*8/10, "in the last fifth of its life")
				require.LessOrEqual(t, time.Since(began), 5*life*9/10+time.Second)
				require.Equal(t, []string{"t1", "t2", "t3", "t4", "t5", "t6"}, d.seen())
			})
		})
	}
}

// A provider that has a bad day cannot stop the loop, nor hold up Close.
func TestBadProviders(t *testing.T) {
	for name, hook := range map[string]func(ctx context.Context) (Credential, error){
		"fails":               func(context.Context) (Credential, error) { return Credential{}, errDown },
		"fails as refused":    func(context.Context) (Credential, error) { return Credential{}, ErrRefused },
		"fails as a status":   func(context.Context) (Credential, error) { return Credential{}, &StatusError{Status: 401} },
		"fails as cancelled":  func(context.Context) (Credential, error) { return Credential{}, context.Canceled },
		"panics":              func(context.Context) (Credential, error) { panic("at the disco") },
		"ends its goroutine":  func(context.Context) (Credential, error) { runtime.Goexit(); return Credential{}, nil },
		"is slow":             func(ctx context.Context) (Credential, error) { <-ctx.Done(); return Credential{}, ctx.Err() },
		"is deaf for a while": func(context.Context) (Credential, error) { time.Sleep(8 * time.Second); return Credential{}, errDown },
		"is late by far": func(context.Context) (Credential, error) {
			time.Sleep(time.Minute)
			return Credential{Token: "late"}, nil
		},
		"gives what expired": func(context.Context) (Credential, error) {
			return Credential{Token: "old", Expires: time.Unix(1, 0)}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			d := &door{refuse: func(int) error { return nil }}
			onBed(t, d.admitting(), func(t *testing.T, b *bed) {
				var mu sync.Mutex
				bad, asked := true, 0
				config := Config{ConnectTimeout: 5 * time.Second, Hooks: Hooks{Credentials: func(ctx context.Context, a Attempt) (Credential, error) {
					mu.Lock()
					is := bad
					asked++
					mu.Unlock()
					if is {
						return hook(ctx)
					}
					return Credential{Token: "good"}, nil
				}}}
				c := b.client(config)
				r := c.Reconnect(t.Context(), b.url())
				for state := range r.States(t.Context()) {
					require.NotEqual(t, Stopped, state.Phase, "%v", state.Err)
					if state.Attempt == 4 {
						require.ErrorAs(t, state.Err, new(*CredentialError))
						break
					}
				}
				mu.Lock()
				require.GreaterOrEqual(t, asked, 4)
				bad = false
				mu.Unlock()
				_, err := r.Session(t.Context())
				require.NoError(t, err)
				require.Equal(t, []string{"good"}, d.seen(), "nothing else was sent")

				mu.Lock()
				bad = true
				mu.Unlock()
				require.NoError(t, b.up.Close())
				b.start()
				time.Sleep(time.Second) // it is asked again, or waits
				began := time.Now()
				require.NoError(t, r.Close())
				require.LessOrEqual(t, time.Since(began), hookGrace)
				time.Sleep(2 * time.Minute) // until what was abandoned has ended
			})
		})
	}
}

// A token goes to the host of the URL alone, whatever the hook does to the URL it is shown.
func TestTokenGoesToItsHostAlone(t *testing.T) {
	d, other := &door{refuse: func(int) error { return nil }}, &door{refuse: func(int) error { return nil }}
	onBed(t, d.admitting(), func(t *testing.T, b *bed) {
		elsewhere := &bed{t: t, net: b.net, conf: b.conf, at: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, 2}), 4443)}
		elsewhere.conf.Admit = other.knock
		elsewhere.start()
		r := b.client(Config{Hooks: Hooks{Credentials: func(_ context.Context, a Attempt) (Credential, error) {
			require.Equal(t, b.at.String(), a.URL.Host)
			a.URL.Host = elsewhere.at.String() // it is a copy
			return Credential{Token: "t"}, nil
		}}}).Reconnect(t.Context(), b.url())
		for range 3 {
			s, err := r.Session(t.Context())
			require.NoError(t, err)
			require.NoError(t, b.up.Close())
			<-s.Closed()
			b.start()
		}
		_, err := r.Session(t.Context())
		require.NoError(t, err)
		require.Equal(t, []string{"t", "t", "t", "t"}, d.seen())
		require.Empty(t, other.seen())
	})
}

// TestRenewedServiceIsStable: sessions that are each renewed before they count as stable are one
// service, whose loss begins an outage of its own.
func TestRenewedServiceIsStable(t *testing.T) {
	with := supervision[*fakeSession]{backoff: Backoff{StableAfter: 5 * time.Minute, FirstTimeout: 30 * time.Second, Timeout: time.Hour}}
	onStage(t, with, func(t *testing.T, g *stage) {
		s := newFake()
		s.expires = 5 * time.Minute
		g.give(s)
		for n := 2; n < 40; n++ {
			for g.attempts() < n {
				time.Sleep(time.Second)
			}
			s = newFake()
			s.expires = 5 * time.Minute
			g.give(s)
		}
		require.Zero(t, g.now().Losses)
		time.Sleep(time.Minute)
		s.end(io.EOF)
		require.Equal(t, Waiting, g.now().Phase, "%v", g.now().Err)
	})
}
