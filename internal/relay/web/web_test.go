package web_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/relay/web"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/pubsub"
)

// bed is a relay with both carriers on one port of a simulated network.
type bed struct {
	t    *testing.T
	net  *testnet.Network
	up   *relay.Relay
	host string
}

func onBed(t *testing.T, conf relay.Config, f func(t *testing.T, b *bed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := &bed{t: t, net: testnet.New(t, 20*time.Millisecond)}
		b.up = newRelay(t, conf)
		socket := b.net.Socket()
		require.NoError(t, b.up.Serve(socket))
		b.host = socket.LocalAddr().String()
		f(t, b)
	})
}

func newRelay(t *testing.T, conf relay.Config) *relay.Relay {
	t.Helper()
	up, err := relay.New(conf)
	require.NoError(t, err)
	stop := web.Enable(up)
	t.Cleanup(func() {
		require.NoError(t, up.Close())
		require.NoError(t, stop())
	})
	return up
}

func (b *bed) client(config moq.Config) *moq.Client {
	config.ListenPacket = b.net.ListenPacket
	return newClient(b.t, b.up, config)
}

func newClient(t *testing.T, up *relay.Relay, config moq.Config) *moq.Client {
	t.Helper()
	config.Fingerprints = []string{up.Fingerprint()}
	c, err := moq.NewClient(config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func (b *bed) connect(path string, config moq.Config) *moq.Session {
	b.t.Helper()
	s, err := b.client(config).Connect(b.t.Context(), "https://"+b.host+path)
	require.NoError(b.t, err)
	return s
}

func sessionError(t *testing.T, err error) *moq.SessionError {
	t.Helper()
	said, ok := errors.AsType[*moq.SessionError](err)
	require.True(t, ok, "%v", err)
	return said
}

// On real sockets: a publisher, and readers over both carriers and in both versions.
func TestPublishSubscribe(t *testing.T) {
	up := newRelay(t, relay.Config{})
	addr, err := up.Listen("127.0.0.1:0")
	require.NoError(t, err)
	for _, version := range []moq.Version{moq.Lite06, moq.Lite05} {
		t.Run(string(version), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			source := pubsub.NewOrigin()
			broadcast, err := source.CreateBroadcast("demo")
			require.NoError(t, err)
			track, err := broadcast.CreateTrack("t", pubsub.TrackInfo{})
			require.NoError(t, err)
			require.NoError(t, broadcast.Announce())
			publisher, err := newClient(t, up, moq.Config{Publish: source, Versions: []moq.Version{version}}).
				Connect(ctx, fmt.Sprintf("https://%s/%s", addr, version))
			require.NoError(t, err)
			require.Equal(t, version, publisher.Version())
			require.Equal(t, "webtransport", publisher.Transport())

			for _, reader := range []struct {
				scheme  string
				version moq.Version
			}{{"https", moq.Lite06}, {"https", moq.Lite05}, {"moqt", moq.Lite06}} {
				sink := pubsub.NewOrigin()
				s, err := newClient(t, up, moq.Config{Subscribe: sink, Versions: []moq.Version{reader.version}}).
					Connect(ctx, fmt.Sprintf("%s://%s/%s", reader.scheme, addr, version))
				require.NoError(t, err)
				c, err := sink.Broadcast(ctx, "demo")
				require.NoError(t, err)
				sub, err := c.Subscribe(ctx, "t", pubsub.SubscribeOptions{})
				require.NoError(t, err)
				want := strings.Repeat(reader.scheme, 10_000)
				require.NoError(t, track.WriteNow([]byte(want)))
				for got := ""; got != want; { // an earlier reader's may come first
					group, err := sub.NextGroup(ctx)
					require.NoError(t, err)
					frame, err := group.NextFrame(ctx)
					require.NoError(t, err)
					got = string(frame.Payload)
				}
				require.NoError(t, sub.Close())
				require.NoError(t, s.Close())
			}
		})
	}
}

func TestNoCommonVersion(t *testing.T) {
	onBed(t, relay.Config{Versions: []string{string(moq.Lite05)}}, func(t *testing.T, b *bed) {
		require.Equal(t, moq.Lite05, b.connect("", moq.Config{}).Version())
		_, err := b.client(moq.Config{Versions: []moq.Version{moq.Lite06}}).Connect(t.Context(), "https://"+b.host)
		require.Equal(t, moq.SessionVersion, sessionError(t, err).Code)
	})
}

// The path stands in the URL of CONNECT; it is taken as it is, as on raw QUIC.
func TestTarget(t *testing.T) {
	var target string
	var verdict error
	conf := relay.Config{Admit: func(s string) error { target = s; return verdict }}
	onBed(t, conf, func(t *testing.T, b *bed) {
		for path, want := range map[string]string{
			"":                    "/",
			"/":                   "/",
			"/anon":               "/anon",
			"//anon//x":           "//anon//x",
			"/a%20b/%2e%2e/?jwt=": "/a%20b/%2e%2e/?jwt=",
			"/anon/../x?jwt=a/b":  "/anon/../x?jwt=a/b",
		} {
			b.connect(path, moq.Config{})
			require.Equal(t, want, target)
		}
		verdict = errors.New("no")
		_, err := b.client(moq.Config{}).Connect(t.Context(), "https://"+b.host+"/anon?jwt=x")
		require.ErrorIs(t, err, moq.ErrRefused)
		verdict = nil
		_, err = b.client(moq.Config{}).Connect(t.Context(), "https://"+b.host+"/anon/*")
		require.Equal(t, 400, sessionError(t, err).Code.Status())
	})
}

func TestScope(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		source := pubsub.NewOrigin()
		broadcast, err := source.CreateBroadcast("clock")
		require.NoError(t, err)
		require.NoError(t, broadcast.Announce())
		b.connect("/anon", moq.Config{Publish: source})
		for path, want := range map[string][]string{
			"":             {"anon/clock"},
			"/anon":        {"clock"},
			"//anon//":     {"clock"},
			"/anonymous":   nil,
			"/%61non":      nil,
			"/anon%2f":     nil,
			"/x/../anon":   nil,
			"/x/%2e%2e":    nil,
			"/anon/..":     nil,
			"/anon/%2e%2e": nil,
		} {
			sink := pubsub.NewOrigin()
			b.connect(path, moq.Config{Subscribe: sink})
			time.Sleep(time.Second)
			var got []string
			for a, err := range sink.Announced(t.Context(), "") {
				require.NoError(t, err)
				if a.Synced {
					break
				}
				got = append(got, a.Path)
			}
			require.Equal(t, want, got, path)
		}
	})
}

func TestEndsOfTheRelay(t *testing.T) {
	for name, test := range map[string]struct {
		end   func(*relay.Relay) error
		takes time.Duration
		check func(*testing.T, error)
	}{
		"close": {(*relay.Relay).Close, 100 * time.Millisecond, func(t *testing.T, err error) {
			require.Equal(t, &moq.SessionError{Code: moq.SessionNoError, Remote: true, Reason: "relay closed"}, err)
		}},
		"drain": {func(r *relay.Relay) error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			return r.Drain(ctx)
		}, 5*time.Second + 100*time.Millisecond, func(t *testing.T, err error) {
			require.Equal(t, &moq.SessionError{Code: moq.SessionGoawayTimeout, Remote: true, Reason: "goaway timeout"}, err)
		}},
		"kill": {(*relay.Relay).Kill, 14 * time.Second, func(t *testing.T, err error) {
			_, idle := errors.AsType[*quic.IdleTimeoutError](err)
			require.True(t, idle, "%v", err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				s := b.connect("", moq.Config{})
				time.Sleep(time.Minute)
				began := time.Now()
				require.NoError(t, test.end(b.up))
				<-s.Closed()
				require.LessOrEqual(t, time.Since(began), test.takes)
				test.check(t, s.Err())
			})
		})
	}
}

func TestGoaway(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		s := b.connect("", moq.Config{})
		drained := make(chan error, 1)
		go func() { drained <- b.up.Drain(context.Background()) }()
		<-s.GoingAway()
		require.NoError(t, s.Close())
		require.NoError(t, <-drained)
	})
}

func TestClientsCloses(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		source := pubsub.NewOrigin()
		broadcast, err := source.CreateBroadcast("demo")
		require.NoError(t, err)
		require.NoError(t, broadcast.Announce())
		s := b.connect("", moq.Config{Publish: source})
		_, err = b.up.Origin().Broadcast(t.Context(), "demo")
		require.NoError(t, err)
		s.Abort(moq.SessionApplication+1, "enough")
		time.Sleep(100 * time.Millisecond)
		_, err = b.up.Origin().Lookup("demo", 0)
		require.Error(t, err, "its broadcasts left with it")
	})
}

func TestCertificateHandler(t *testing.T) {
	up, err := relay.New(relay.Config{})
	require.NoError(t, err)
	server := httptest.NewServer(web.CertificateHandler(up))
	defer server.Close()
	res, err := http.Get(server.URL + "/certificate.sha256")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, "*", res.Header.Get("Access-Control-Allow-Origin"))
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Len(t, body, 64)
	require.Equal(t, up.Fingerprint(), string(body))

	for _, method := range []string{http.MethodPost, http.MethodDelete} {
		req, err := http.NewRequest(method, server.URL+"/certificate.sha256", nil)
		require.NoError(t, err)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_ = res.Body.Close()
		require.Equal(t, http.StatusMethodNotAllowed, res.StatusCode)
	}
	res, err = http.Get(server.URL + "/")
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, http.StatusNotFound, res.StatusCode)
}
