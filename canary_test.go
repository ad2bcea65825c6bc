package moq

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// canaries stand in the parts of a URL, and in the credentials of a hook. None of them is
// part of another.
var canaries = map[string]string{
	"user": "Us3rKanari", "password": "P4ssw0rt!", "path": "p4th~room", "key": "k3yname",
	"query": "q/ery v4lue", "jwt": "h34der.p4yl0ad.s1gnature", "fragment": "fr4gment", "token": "t0ken+of.the/h00k",
}

// secretURL has a canary wherever a URL has room for one.
func secretURL(scheme, host string) string {
	return scheme + "://" + canaries["user"] + ":" + url.QueryEscape(canaries["password"]) + "@" + host + "/" + canaries["path"] +
		"?" + canaries["key"] + "=" + url.QueryEscape(canaries["query"]) + "&jwt=" + canaries["jwt"] + "#" + canaries["fragment"]
}

// disguises are the forms in which a canary would still be read.
func disguises(canary string) []string {
	raw := []byte(canary)
	forms := []string{
		canary, url.QueryEscape(canary), url.PathEscape(canary), fmt.Sprintf("%q", canary)[1 : len(canary)+1],
		hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)), fmt.Sprintf("% x", raw),
		strings.Trim(fmt.Sprintf("%d", raw), "[]"), "%" + strings.ReplaceAll(fmt.Sprintf("% x", raw), " ", "%"),
	}
	if n := 8; len(canary) >= n { // its beginning gives it away
		forms = append(forms, canary[:n], url.QueryEscape(canary[:n]))
	}
	for cut := range 3 {
		text := base64.RawStdEncoding.EncodeToString(raw[cut : cut+(len(raw)-cut)/3*3])
		forms = append(forms, text, strings.NewReplacer("+", "-", "/", "_").Replace(text))
	}
	return forms
}

// disguised tells canaries by what they look like, in lower case.
var disguised = sync.OnceValue(func() map[string]string {
	all := make(map[string]string)
	for name, canary := range canaries {
		for _, form := range disguises(canary) {
			all[strings.ToLower(form)] = name
		}
	}
	return all
})

// requireNoCanary fails if text holds a canary, in whatever form.
func requireNoCanary(t *testing.T, text, where string) {
	t.Helper()
	lower := strings.ToLower(text)
	for form, name := range disguised() {
		if strings.Contains(lower, form) {
			require.Failf(t, "a canary got out", "%s, as %q, in %s:\n%s", name, form, where, text)
		}
	}
}

// renderings are all the texts that v makes of itself.
func renderings(v any) string {
	var out strings.Builder
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		_, _ = fmt.Fprintf(&out, verb+"\n", v)
	}
	if text, err := json.Marshal(v); err == nil {
		out.Write(text)
	}
	if text, err := xml.Marshal(v); err == nil {
		out.Write(text)
	}
	if m, ok := v.(encoding.TextMarshaler); ok {
		text, err := m.MarshalText()
		_, _ = fmt.Fprint(&out, string(text), err)
	}
	if s, ok := v.(fmt.Stringer); ok {
		out.WriteString(s.String())
	}
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "v", v)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", slog.Group("g", slog.Any("v", v)))
	return out.String()
}

// requireSilent checks all that v shows of itself: the value behind a pointer too, and each
// error of a chain.
func requireSilent(t *testing.T, v any) {
	t.Helper()
	requireNoCanary(t, renderings(v), fmt.Sprintf("%T", v))
	err, ok := v.(error)
	if !ok {
		return
	}
	if r := reflect.ValueOf(v); r.Kind() == reflect.Pointer && r.Elem().Kind() == reflect.Struct {
		requireNoCanary(t, renderings(r.Elem().Interface()), fmt.Sprintf("%T", v))
	}
	if inner := errors.Unwrap(err); inner != nil {
		requireSilent(t, inner)
	}
	if e, ok := v.(interface{ Unwrap() []error }); ok {
		for _, inner := range e.Unwrap() {
			if inner != nil {
				requireSilent(t, inner)
			}
		}
	}
}

// witness hears everything that a client tells.
type witness struct {
	t      *testing.T
	text   bytes.Buffer
	json   bytes.Buffer
	events sync.Mutex
	heard  []Event
	asked  []Attempt
}

// config is a client that logs, observes and asks, everything.
func (w *witness) config() Config {
	both := teed{
		slog.NewTextHandler(&w.text, &slog.HandlerOptions{Level: slog.LevelDebug, AddSource: true}),
		slog.NewJSONHandler(&w.json, &slog.HandlerOptions{Level: slog.LevelDebug}),
	}
	return Config{
		Publish: pubsub.NewOrigin(), Subscribe: pubsub.NewOrigin(),
		Logger:         slog.New(both),
		ConnectTimeout: 5 * time.Second,
		Backoff:        Backoff{Timeout: 20 * time.Second, FirstTimeout: 20 * time.Second},
		Hooks: Hooks{
			Credentials: func(_ context.Context, a Attempt) (Credential, error) {
				w.events.Lock()
				defer w.events.Unlock()
				w.asked = append(w.asked, a)
				return Credential{Token: canaries["token"]}, nil
			},
			Observe: func(e Event) {
				w.events.Lock()
				defer w.events.Unlock()
				w.heard = append(w.heard, e)
			},
		},
	}
}

// teed hands each record to two handlers.
type teed [2]slog.Handler

func (h teed) Enabled(context.Context, slog.Level) bool { return true }
func (h teed) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(h[0].Handle(ctx, r), h[1].Handle(ctx, r))
}

func (h teed) WithAttrs(a []slog.Attr) slog.Handler {
	return teed{h[0].WithAttrs(a), h[1].WithAttrs(a)}
}
func (h teed) WithGroup(n string) slog.Handler { return teed{h[0].WithGroup(n), h[1].WithGroup(n)} }

// requireSilence runs Connect and Reconnect to the end, and checks all that was said.
func (w *witness) requireSilence(t *testing.T, c *Client, url string) {
	t.Helper()
	said := []any{c, struct{ c *Client }{c}, c.config, c.config.Hooks, c.config.QUIC, c.config.Backoff}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	session, err := c.Connect(ctx, url)
	if err == nil {
		time.Sleep(10 * time.Second)
		require.Contains(t, session.String(), session.RemoteAddr().String())
		said = append(said, session, struct{ s *Session }{session}, session.Stats(), session.RemoteAddr(), session.Version())
		require.NoError(t, session.Close())
		err = session.Err()
	}
	said = append(said, err)
	r := c.Reconnect(ctx, url)
	for state := range r.States(ctx) {
		said = append(said, state, state.Err, state.Endpoint, state.Phase)
	}
	said = append(said, r, struct{ r *Reconnect }{r}, r.Stats(), r.State())
	require.NoError(t, r.Close())
	said = append(said, r.Err())
	w.events.Lock()
	defer w.events.Unlock()
	for _, e := range w.heard {
		said = append(said, e, e.Err, e.Kind, e.Class)
	}
	for _, a := range w.asked {
		said = append(said, a, &a, a.LastErr, struct{ A Attempt }{a}, []Attempt{a}, map[string]Attempt{"a": a})
	}
	for _, v := range said {
		if v != nil {
			requireSilent(t, v)
		}
	}
	requireNoCanary(t, w.text.String(), "the log")
	requireNoCanary(t, w.json.String(), "the log")
	require.Contains(t, w.text.String(), r.State().Endpoint, "something was logged")
}

func TestCredentialStaysSecret(t *testing.T) {
	for _, c := range []Credential{{Token: canaries["token"]}, {Token: canaries["token"], Expires: time.Now()}} {
		for _, v := range []any{c, &c, []Credential{c}, map[string]Credential{"c": c}, struct{ C Credential }{c}, struct{ C *Credential }{&c}} {
			requireSilent(t, v)
		}
	}
}

func TestCanaryInMalformedURLs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for _, bad := range []string{
			"", "//relay/KEY", "/KEY", "KEY", "KEY:KEY@relay", "http://u:KEY@relay/KEY", "ws://relay/KEY?KEY", "KEY://relay",
			"https:relay/KEY", "https:///KEY", "https://u:KEY@/KEY", "https://relay:0/KEY?KEY", "https://relay:99999/KEY",
			"https://relay:KEY/", "https://KEY:KEY:KEY@relay:x/", "https://relay/%zzKEY", "https://KEY:%zzKEY@relay", "https://[::KEY]/",
			"https://relay/KEY\x7f", "moqt://relay/KEY\n", "moqt://xn--\u00e9/?KEY", "moqt://relay/?KEY=%\x00", "https://re lay/KEY",
		} {
			for _, canary := range canaries {
				w := &witness{t: t}
				config := w.config()
				config.Resolve = noSuchHost // the canary may make a name of it
				c, err := NewClient(config)
				require.NoError(t, err)
				raw := strings.ReplaceAll(bad, "KEY", canary)
				_, err = c.Connect(t.Context(), raw)
				if _, bad := errors.AsType[*ConfigError](err); !bad {
					continue // the canary has made it well-formed
				}
				w.requireSilence(t, c, raw)
				require.NoError(t, c.Close())
			}
		}
	})
}

// echoes are what a relay may make of a target in its reasons.
var echoes = []func(target string) string{
	func(s string) string { return "no such room: " + s },
	func(s string) string { p, _ := url.PathUnescape(s); q, _ := url.QueryUnescape(s); return p + " " + q },
	func(s string) string { return url.QueryEscape(s) + " " + url.PathEscape(s) },
	func(s string) string { return "%" + strings.ReplaceAll(fmt.Sprintf("% x", s), " ", "%") },
	func(s string) string { return hex.EncodeToString([]byte(s)) },
	func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	func(s string) string { return base64.URLEncoding.EncodeToString([]byte("x" + s)) },
	func(s string) string { return fmt.Sprintf("%q", s) },
	func(s string) string { return "token " + s[strings.Index(s, "jwt=")+4:][:12] + "..." },
	func(s string) string { return strings.ReplaceAll(s[strings.Index(s, "jwt=")+4:], "&", " ") },
}

// A relay that repeats what it was asked for, each time in another form.
func TestCanaryEchoed(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"moqt", "https"} {
		for _, code := range []SessionCode{SessionNoError, SessionUnauthorized} {
			t.Run(fmt.Sprintf("at once with %d/%s", code, scheme), func(t *testing.T) {
				var turn atomic.Int64
				echoing(t, scheme, &turn, relay.Config{Admit: func(target string) error { return echoed(&turn, code, target) }})
			})
		}
		t.Run("later/"+scheme, func(t *testing.T) {
			var turn atomic.Int64
			echoing(t, scheme, &turn, relay.Config{Evict: func(target string) <-chan error {
				out := make(chan error, 1)
				time.AfterFunc(time.Second, func() { out <- echoed(&turn, SessionApplication, target) })
				return out
			}})
		})
	}
}

// echoed is a close that repeats the target in the next form.
func echoed(turn *atomic.Int64, code SessionCode, target string) error {
	n := int(turn.Add(1)) % len(echoes)
	return &SessionError{Code: code, Reason: echoes[n](target)}
}

func echoing(t *testing.T, scheme string, turn *atomic.Int64, conf relay.Config) {
	onBed(t, conf, func(t *testing.T, b *bed) {
		w := &witness{t: t}
		config := w.config()
		config.Backoff = Backoff{Initial: 100 * time.Millisecond, Max: time.Second, Timeout: 20 * time.Second}
		for turn.Load() < int64(len(echoes)) {
			w.requireSilence(t, b.client(config), secretURL(scheme, b.at.String()))
		}
	})
}

// TestCanaryInBrokenResponses: http3 quotes the fields of a response that it does not like.
func TestCanaryInBrokenResponses(t *testing.T) {
	t.Parallel()
	w := &witness{t: t}
	target := "/" + canaries["path"] + "?" + canaries["key"] + "=" + url.QueryEscape(canaries["query"]) + "&jwt=" + url.QueryEscape(canaries["token"])
	for name, fields := range map[string][][2]string{
		"status":         {{":status", target}},
		"field name":     {{":status", "200"}, {target, "x"}},
		"pseudo header":  {{":" + target, "200"}},
		"content length": {{":status", "200"}, {"content-length", target}},
		"field value":    {{":status", "200"}, {"x", target + "\x00"}},
		"protocol":       {{":status", "200"}, {"wt-protocol", `"` + canaries["token"] + `"`}},
	} {
		t.Run(name, func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				b.amend = func(up *relay.Relay) { up.Handle("h3", func(conn *quic.Conn) { respondRaw(conn, fields) }) }
				require.NoError(t, b.up.Close())
				b.start()
				w = &witness{t: t}
				w.requireSilence(t, b.client(w.config()), secretURL("https", b.at.String()))
			})
		})
	}
}

// respondRaw answers the first request with the fields, and waits for the client to leave.
func respondRaw(conn *quic.Conn, fields [][2]string) {
	stream, err := conn.AcceptStream(conn.Context())
	if err != nil {
		return
	}
	literal := func(b []byte, first byte, bits uint, text string) []byte { // RFC 7541 §5.1
		limit := 1<<bits - 1
		if len(text) < limit {
			return append(append(b, first|byte(len(text))), text...)
		}
		b = append(b, first|byte(limit))
		rest := len(text) - limit
		for ; rest >= 128; rest /= 128 {
			b = append(b, byte(rest%128)|128)
		}
		return append(append(b, byte(rest)), text...)
	}
	block := []byte{0, 0}
	for _, f := range fields {
		block = literal(literal(block, 0x20, 3, f[0]), 0, 7, f[1])
	}
	frame := quicvarint.Append(quicvarint.Append(nil, 1), uint64(len(block)))
	_, _ = stream.Write(append(frame, block...))
	<-conn.Context().Done()
}

// What fails before a relay says anything, and what it says without words.
func TestCanaryInFailures(t *testing.T) {
	t.Parallel()
	status := func(code int, wait time.Duration) relay.Config {
		return relay.Config{Answer: func(string) *StatusError { return &StatusError{Status: code, RetryAfter: wait} }}
	}
	stranger := certified(t, "P-256", "x"+canaries["path"]+"."+strings.ReplaceAll(canaries["jwt"], ".", "-"), -time.Hour, day)
	for name, test := range map[string]struct {
		conf  relay.Config
		amend func(*Config)
		after func(*bed)
		host  string
	}{
		"admitted":     {after: func(b *bed) { time.AfterFunc(20*time.Second, func() { b.net.Dark(true) }) }},
		"closed":       {after: func(b *bed) { time.AfterFunc(20*time.Second, func() { _ = b.up.Close() }) }},
		"no host":      {host: "relay.test", amend: func(c *Config) { c.Resolve = notFound }},
		"no DNS":       {host: "relay.test", amend: func(c *Config) { c.Resolve = tryAgain }},
		"nobody there": {host: "10.0.9.9:1"},
		"no socket":    {amend: func(c *Config) { c.ListenPacket = noSocket }},
		"dark":         {after: func(b *bed) { b.net.Dark(true) }},
		"401":          {conf: status(401, 0)},
		"403":          {conf: status(403, 0)},
		"404":          {conf: status(404, 0)},
		"500":          {conf: status(500, 0)},
		"503 and wait": {conf: status(503, 3*time.Second)},
		"another root": {amend: func(c *Config) { c.TLS = &tls.Config{ServerName: "localhost"} }},
		"another pin":  {amend: func(c *Config) { c.Fingerprints = []string{pinA} }},
		"names in the certificate": {
			conf: relay.Config{TLS: &tls.Config{Certificates: []tls.Certificate{stranger}}},
			amend: func(c *Config) {
				c.TLS = &tls.Config{RootCAs: x509.NewCertPool(), ServerName: "localhost"}
				c.TLS.RootCAs.AddCert(stranger.Leaf)
			},
		},
		"no version": {conf: relay.Config{Versions: []string{string(Lite05)}}, amend: func(c *Config) { c.Versions = []Version{Lite06} }},
		"panic in Credentials": {amend: func(c *Config) {
			c.Hooks.Credentials = func(_ context.Context, a Attempt) (Credential, error) { panic(a.URL.String() + canaries["token"]) }
		}},
		"Goexit in Credentials": {amend: func(c *Config) {
			c.Hooks.Credentials = func(context.Context, Attempt) (Credential, error) { runtime.Goexit(); return Credential{}, nil }
		}},
		"expired credential": {amend: func(c *Config) {
			c.Hooks.Credentials = func(context.Context, Attempt) (Credential, error) {
				return Credential{Token: canaries["token"], Expires: time.Unix(1, 0)}, nil
			}
		}},
		"panic in Classify": {conf: status(401, 0), amend: func(c *Config) { c.Hooks.Classify = func(err error) Action { panic(canaries["token"]) } }},
		"panic in Observe":  {amend: func(c *Config) { c.Hooks.Observe = func(e Event) { panic(canaries["token"]) } }},
		"slow Credentials": {amend: func(c *Config) {
			c.Hooks.Credentials = func(ctx context.Context, a Attempt) (Credential, error) { <-ctx.Done(); return Credential{}, ctx.Err() }
		}},
	} {
		for _, scheme := range []string{"moqt", "https"} {
			t.Run(name+"/"+scheme, func(t *testing.T) {
				onBed(t, test.conf, func(t *testing.T, b *bed) {
					w := &witness{t: t}
					config := w.config()
					if test.amend != nil {
						test.amend(&config)
					}
					c := b.client(config)
					if test.after != nil {
						test.after(b)
					}
					host := test.host
					if host == "" {
						host = b.at.String()
					}
					w.requireSilence(t, c, secretURL(scheme, host))
				})
			})
		}
	}
}

func notFound(_ context.Context, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func tryAgain(_ context.Context, host string) ([]netip.Addr, error) {
	return nil, &net.DNSError{Err: "server misbehaving", Name: host, Server: "10.0.0.53", IsTemporary: true}
}

func noSocket(context.Context, string) (net.PacketConn, error) {
	return nil, &net.OpError{Op: "listen", Net: "udp4", Err: errors.New("too many open files")}
}

// The stack of a panic names functions, not what they were called with.
func TestPanicErrorStaysSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, err := call(t.Context(), new(caller), "Credentials", func(context.Context) (string, error) { return explode(canaries["token"]) })
		panicked, ok := errors.AsType[*PanicError](err)
		require.True(t, ok)
		require.Contains(t, string(panicked.Stack), "explode", "the stack is there")
		requireNoCanary(t, string(panicked.Stack), "the stack")
		requireSilent(t, err)
	})
}

//go:noinline
func explode(token string) (string, error) { panic(errors.New(token)) }
