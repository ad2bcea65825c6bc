package relay_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

func fingerprint(t *testing.T, r *relay.Relay) (sum [sha256.Size]byte) {
	t.Helper()
	n, err := hex.Decode(sum[:], []byte(r.Fingerprint()))
	require.NoError(t, err)
	require.Equal(t, sha256.Size, n)
	return sum
}

var versions = []moq.Version{moq.Lite06, moq.Lite05}

// What one client publishes all others get, and the publisher sends it once.
func TestFanOut(t *testing.T) {
	for _, version := range versions {
		t.Run(string(version), func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				config := moq.Config{Versions: []moq.Version{version}}
				track, _ := b.publish("", "demo", config)
				var subs []*pubsub.TrackConsumer
				for range 4 {
					subs = append(subs, b.subscribe(b.watch("", config), "demo"))
				}
				for i := range 10 {
					text := fmt.Sprint("frame ", i)
					require.NoError(t, track.WriteNow([]byte(text)))
					for _, sub := range subs {
						require.Equal(t, text, b.next(sub))
					}
				}
				require.Equal(t, 1, track.Demand().Readers)
				require.Equal(t, []string{"demo"}, b.seen(b.up.Origin()))
			})
		})
	}
}

// Old and new clients meet.
func TestVersionsMeet(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		for i, version := range versions {
			name := fmt.Sprint("demo", i)
			track, _ := b.publish("", name, moq.Config{Versions: []moq.Version{version}})
			sub := b.subscribe(b.watch("", moq.Config{Versions: []moq.Version{versions[1-i]}}), name)
			require.NoError(t, track.WriteNow([]byte("hello")))
			require.Equal(t, "hello", b.next(sub))
		}
	})
}

func TestOneVersionOnly(t *testing.T) {
	onBed(t, relay.Config{Versions: []string{string(moq.Lite05)}}, func(t *testing.T, b *bed) {
		require.Equal(t, moq.Lite05, b.connect("", moq.Config{}).Version())
		_, err := b.client(moq.Config{Versions: []moq.Version{moq.Lite06}}).Connect(t.Context(), b.url(""))
		alert, ok := errors.AsType[*quic.TransportError](err)
		require.True(t, ok, "%v", err)
		require.Equal(t, quic.TransportErrorCode(0x178), alert.ErrorCode)
	})
}

func TestUnknownVersion(t *testing.T) {
	_, err := relay.New(relay.Config{Versions: []string{"moq-lite-06", "moq-lite-99"}})
	bad, ok := errors.AsType[*moqerr.ConfigError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, "Versions", bad.Field)
	require.ErrorContains(t, err, "moq-lite-99")
}

// The path of a client's URL is where its names begin, and it sees nothing else.
func TestScope(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		track, _ := b.publish("/anon", "clock", moq.Config{})
		b.publish("/other/", "//odd///clock/", moq.Config{})
		for path, want := range map[string][]string{
			"":              {"anon/clock", "other/odd/clock"},
			"/":             {"anon/clock", "other/odd/clock"},
			"/anon":         {"clock"},
			"//anon//":      {"clock"},
			"/anon?jwt=x/y": {"clock"},
			"/other":        {"odd/clock"},
			"/other//odd":   {"clock"},
			"/an":           {}, // whole parts count
			"/anonymous":    {},
			"/ANON":         {},
			"/anon/..":      {}, // nothing is resolved
			"/x/../anon":    {},
			"/./anon":       {},
			"/%61non":       {}, // nothing is decoded
			"/anon%2f":      {},
			"/other/../":    {},
			"/anon/clock/x": {""}, // of what is below a broadcast its publisher decides
		} {
			require.ElementsMatch(t, want, b.seen(b.watch(path, moq.Config{})), path)
		}
		sub := b.subscribe(b.watch("", moq.Config{}), "anon/clock")
		require.NoError(t, track.WriteNow([]byte("tick")))
		require.Equal(t, "tick", b.next(sub))
	})
}

// What a client asks for is looked up below its own root, however it is spelled.
func TestNoWayOut(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		b.publish("/anon", "clock", moq.Config{})
		b.publish("/anon/room", "clock", moq.Config{})
		inside := b.stranger(nil)
		inside.setup(t, "/anon/room")
		require.NoError(t, inside.ask(t, "clock"), "its own it reaches")
		require.NoError(t, inside.ask(t, "/clock//"))
		for _, name := range []string{
			"", "../clock", "..//clock", "/anon/clock", "anon/clock", "//anon/clock", "/anon/room/clock",
			"%2e%2e/clock", "./../clock", "..", "clock/../../clock", "..%2fclock", "\x00/anon/clock",
		} {
			require.ErrorIs(t, inside.ask(t, name), &moqerr.StreamError{Code: moqerr.StreamUnroutable}, "%q", name)
		}
	})
}

// What a client announces stands below its own root, however it is spelled.
func TestNoIntruder(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		b.publish("/evil", "../anon/clock", moq.Config{})
		b.publish("/evil/..", "anon/clock", moq.Config{})
		b.publish("/%61non", "clock", moq.Config{})
		for path, want := range map[string][]string{
			"/anon":    {},
			"/evil/..": {"anon/clock"},
			"":         {"%61non/clock"}, // parts with a dot in front are hidden from above (§3.4)
		} {
			require.ElementsMatch(t, want, b.seen(b.watch(path, moq.Config{})), path)
		}
	})
}

func TestBadPath(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		b.connect("/"+strings.Repeat("x/", 32), moq.Config{})
		for _, path := range []string{"/" + strings.Repeat("x/", 33), "/anon/*", "/a*b"} {
			_, err := b.client(moq.Config{}).Connect(t.Context(), b.url(path))
			said, ok := errors.AsType[*moq.SessionError](err)
			require.True(t, ok, "%v", err)
			require.True(t, said.Remote)
			require.Equal(t, 400, said.Code.Status())
			require.NotErrorIs(t, err, moq.ErrRefused)
		}
	})
}

func TestAdmit(t *testing.T) {
	var target string
	var verdict error
	conf := relay.Config{Admit: func(s string) error { target = s; return verdict }}
	onBed(t, conf, func(t *testing.T, b *bed) {
		for _, test := range []struct {
			verdict error
			code    moq.SessionCode
			refused bool
		}{
			{errors.New("who are you?"), moq.SessionUnauthorized, true},
			{&moq.SessionError{Code: moq.SessionApplication + 502, Reason: "try later"}, moq.SessionApplication + 502, false},
			{&moq.SessionError{Code: moq.SessionApplication + 403}, moq.SessionApplication + 403, true},
		} {
			verdict = test.verdict
			origin := pubsub.NewOrigin()
			_, err := b.client(moq.Config{Publish: origin, Subscribe: origin}).Connect(t.Context(), b.url("/a%20b/?jwt=a/b"))
			require.Equal(t, "/a%20b/?jwt=a/b", target)
			said, ok := errors.AsType[*moq.SessionError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, test.code, said.Code)
			require.Equal(t, test.refused, errors.Is(err, moq.ErrRefused))
		}
		verdict = nil
		b.connect("", moq.Config{})
		require.Empty(t, target)
	})
}

// Who is not admitted learns nothing and leaves nothing.
func TestRefusedIsOutside(t *testing.T) {
	conf := relay.Config{Admit: func(target string) error {
		if target == "/in" {
			return nil
		}
		return errors.New("no")
	}}
	onBed(t, conf, func(t *testing.T, b *bed) {
		b.publish("/in", "clock", moq.Config{})
		out := b.stranger(nil)
		out.setup(t, "/out")
		require.Error(t, out.ask(t, "in/clock"))
		require.Equal(t, moq.SessionUnauthorized, ended(t, out.Done(), out.Err))

		origin := pubsub.NewOrigin()
		intruder, err := origin.CreateBroadcast("intruder")
		require.NoError(t, err)
		require.NoError(t, intruder.Announce())
		_, err = b.client(moq.Config{Publish: origin}).Connect(t.Context(), b.url("/out"))
		require.ErrorIs(t, err, moq.ErrRefused)
		require.Equal(t, []string{"in/clock"}, b.seen(b.up.Origin()))
	})
}

// A client's broadcasts leave with it.
func TestLeave(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		_, stays := b.publish("", "stays", moq.Config{})
		_, leaves := b.publish("", "leaves", moq.Config{})
		_, dies := b.publish("", "dies", moq.Config{})
		require.ElementsMatch(t, []string{"stays", "leaves", "dies"}, b.seen(b.up.Origin()))
		require.NoError(t, leaves.Close())
		dies.Abort(moq.SessionApplication, "")
		require.Equal(t, []string{"stays"}, b.seen(b.watch("", moq.Config{})))
		require.NoError(t, stays.Err())
	})
}

// Two relays that share everything with each other: nothing goes round in circles.
func TestChain(t *testing.T) {
	onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
		far, farAt := b.relay(relay.Config{})
		link := b.client(moq.Config{Publish: far.Origin(), Subscribe: far.Origin()})
		bridge, err := link.Connect(t.Context(), b.url(""))
		require.NoError(t, err)

		track, publisher := b.publish("", "demo", moq.Config{})
		sink := pubsub.NewOrigin()
		c, err := moq.NewClient(moq.Config{
			Subscribe: sink, ListenPacket: b.net.ListenPacket, Fingerprints: []string{far.Fingerprint()},
		})
		require.NoError(t, err)
		defer c.Close()
		_, err = c.Connect(t.Context(), "moqt://"+farAt.String())
		require.NoError(t, err)
		near := b.subscribe(b.watch("", moq.Config{}), "demo")
		sub := b.subscribe(sink, "demo")
		require.NoError(t, track.WriteNow([]byte("hello")))
		require.Equal(t, "hello", b.next(sub))
		require.Equal(t, "hello", b.next(near))
		require.Equal(t, 1, track.Demand().Readers)

		require.Equal(t, []uint64{b.up.Origin().Identity(), far.Origin().Identity()}, hops(t, sink, "demo")[1:])
		require.Len(t, hops(t, far.Origin(), "demo"), 2)
		require.Len(t, hops(t, b.up.Origin(), "demo"), 1, "not the way over the other relay")

		require.NoError(t, publisher.Close())
		for _, origin := range []*pubsub.Origin{b.up.Origin(), far.Origin(), sink} {
			require.Empty(t, b.seen(origin), "no relay keeps the other's belief alive")
		}
		require.NoError(t, bridge.Err())
	})
}

// hops returns the chain over which an origin knows a broadcast.
func hops(t *testing.T, origin *pubsub.Origin, path string) []uint64 {
	t.Helper()
	for a, err := range origin.Announced(t.Context(), "") {
		require.NoError(t, err)
		require.False(t, a.Synced, "not announced")
		if a.Path == path {
			return a.Route.Hops
		}
	}
	return nil
}

// A protocol that the relay does not know is served by whoever has registered it.
func TestHandle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up, err := relay.New(relay.Config{})
		require.NoError(t, err)
		served := make(chan string, 1)
		up.Handle("echo", func(conn *quic.Conn) {
			served <- conn.ConnectionState().TLS.NegotiatedProtocol
			<-up.Context().Done()
			_ = conn.CloseWithError(7, "bye")
		})
		n := testnet.New(t, latency)
		socket := n.Socket()
		require.NoError(t, up.Serve(socket))
		require.ErrorIs(t, up.Serve(n.Socket()), moqerr.ErrClosed, "it serves once")

		tr := &quic.Transport{Conn: n.Socket()}
		defer tr.Close()
		conn, err := tr.Dial(t.Context(), socket.LocalAddr(), pinned(t, up, "echo"), nil)
		require.NoError(t, err)
		require.Equal(t, "echo", <-served)
		time.Sleep(5 * time.Second)
		require.NoError(t, conn.Context().Err())
		require.NoError(t, up.Close())
		<-conn.Context().Done()
	})
}
