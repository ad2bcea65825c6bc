package session

import (
	"context"
	"errors"
	"runtime/metrics"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

func TestBothWays(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		left, right := pubsub.NewOrigin(), pubsub.NewOrigin()
		seenLeft, seenRight := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: left, Subscribe: seenLeft}, Config{Publish: right, Subscribe: seenRight})
		for _, way := range []struct {
			from, to *pubsub.Origin
			path     string
		}{{left, seenRight, "from/left"}, {right, seenLeft, "from/right"}} {
			_, track := announced(t, way.from, way.path, "t", pubsub.TrackInfo{Timescale: 1000, Priority: 9, MaxAge: 3 * time.Second})
			reader := subscribeTo(t, way.to, way.path, "t", pubsub.SubscribeOptions{})
			require.Equal(t, pubsub.TrackInfo{Timescale: 1000, Priority: 9, MaxAge: 3 * time.Second}, reader.Info())
			for range 5 {
				n := writeGroup(t, track, 3)
				sequence, payloads := readGroup(t, reader)
				require.Equal(t, n, sequence)
				require.Equal(t, want(n, 3), payloads)
			}
			require.NoError(t, reader.Close())
		}
	})
}

func TestSetupArrivesInOneRoundTrip(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "x", "t", pubsub.TrackInfo{})
		writeGroup(t, track, 1)
		near, far := b.conns()
		begin := time.Now()
		go func() {
			s, err := Start(t.Context(), far, Config{Publish: origin, Version: b.version, Admit: func(wire.Setup) (string, error) { return "", nil }})
			if err == nil {
				<-s.Done()
			}
		}()
		seen := pubsub.NewOrigin()
		s, err := Start(t.Context(), near, Config{Subscribe: seen, Version: b.version})
		require.NoError(t, err)
		require.Equal(t, 2*latency, time.Since(begin), "SETUP costs one round trip")
		reader := subscribeTo(t, seen, "x", "t", pubsub.SubscribeOptions{})
		readGroup(t, reader)
		require.Equal(t, 4*latency, time.Since(begin), "announcements come with SETUP, a group one round trip later")
		require.NoError(t, s.Close())
	})
}

func TestRefusalInsteadOfSetupIsStartsError(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		near, far := b.conns()
		refused := make(chan error, 1)
		go func() {
			_, err := Start(t.Context(), far, Config{Version: b.version, Admit: func(m wire.Setup) (string, error) {
				return "", &moqerr.SessionError{Code: moqerr.SessionUnauthorized, Reason: "no " + m.Path}
			}})
			refused <- err
		}()
		_, err := Start(t.Context(), near, Config{Version: b.version, Path: "/room", Subscribe: pubsub.NewOrigin()})
		require.ErrorIs(t, err, moqerr.ErrRefused)
		var ended *moqerr.SessionError
		require.ErrorAs(t, err, &ended)
		require.True(t, ended.Remote)
		require.Equal(t, "no /room", ended.Reason)
		require.Error(t, <-refused)
	})
}

func TestPeerThatNeverAnswers(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		near, _ := b.conns()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		_, err := Start(ctx, near, Config{Version: b.version})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Less(t, time.Since(begin), 4*time.Second)
		<-near.Done()
	})
}

func TestSplitHorizon(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		// One origin at each end, as in a relay: what comes from the peer must not be
		// announced back to it, nor served to it.
		left, right := pubsub.NewOrigin(), pubsub.NewOrigin()
		dialed, _ := b.sessions(Config{Publish: left, Subscribe: left}, Config{Publish: right, Subscribe: right})
		announced(t, left, "mine", "t", pubsub.TrackInfo{})
		_, err := right.Broadcast(t.Context(), "mine")
		require.NoError(t, err)

		synctest.Wait()
		_, err = right.Lookup("mine", left.Identity())
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})
		feed := right.Announcements("", 0)
		defer feed.Close()
		for {
			a, err := feed.Next(t.Context())
			require.NoError(t, err)
			if a.Synced {
				break
			}
			require.Equal(t, []uint64{left.Identity()}, a.Route.Hops)
		}

		// Ask for announcements on the same session by hand, as the left side would.
		stream, err := dialed.conn.OpenStream(t.Context())
		require.NoError(t, err)
		m := wire.AnnounceRequest{Exclude: left.Identity()}
		_, err = stream.Write(m.Append(wire.AppendVarint(nil, uint64(wire.StreamAnnounce)), b.version))
		require.NoError(t, err)
		body, err := wire.NewReader(stream).Message()
		require.NoError(t, err)
		ok, err := wire.ParseAnnounceOK(body, b.version)
		require.NoError(t, err)
		require.Equal(t, wire.AnnounceOK{Hop: right.Identity(), Active: 0}, ok)
	})
}

// TestLoopsAreLeftOut: what has been through us already is not taken in again, although
// the peer announces it. It keeps its announce id.
func TestLoopsAreLeftOut(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		mine, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		p, s := b.against(Config{Publish: mine, Subscribe: seen})
		stream, _ := p.answer(wire.StreamAnnounce)
		bytes := wire.AnnounceOK{Hop: peerHop, Active: 2}.Append(nil, b.version)
		bytes = wire.Announce{Kind: wire.AnnounceStart, Suffix: "loop", Hops: []uint64{4, mine.Identity()}}.Append(bytes, b.version)
		bytes = wire.Announce{Kind: wire.AnnounceStart, Suffix: "good", Hops: []uint64{4}}.Append(bytes, b.version)
		bytes = wire.Announce{Kind: wire.AnnounceEnd, Suffix: "loop", ID: 0}.Append(bytes, b.version)
		_, err := stream.Write(bytes)
		require.NoError(t, err)
		_, err = seen.Broadcast(t.Context(), "good")
		require.NoError(t, err)
		_, err = seen.Lookup("loop", 0)
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})

		bytes = wire.Announce{Kind: wire.AnnounceStart, Suffix: "loop", Hops: []uint64{4, mine.Identity()}}.Append(nil, b.version)
		bytes = wire.Announce{Kind: wire.AnnounceEnd, Suffix: "good", ID: 1}.Append(bytes, b.version)
		_, err = stream.Write(bytes)
		require.NoError(t, err)
		<-time.After(time.Second)
		for _, path := range []string{"loop", "good"} {
			_, err = seen.Lookup(path, 0)
			require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})
		}
		require.NoError(t, s.Err())
	})
}

// TestLongAnnouncementIsSkipped: a stranger's, passed on by a relay, must not end our
// session. It keeps its announce id.
func TestLongAnnouncementIsSkipped(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		seen := pubsub.NewOrigin()
		p, s := b.against(Config{Subscribe: seen})
		stream, _ := p.answer(wire.StreamAnnounce)
		bytes := wire.AnnounceOK{Hop: peerHop, Active: 2}.Append(nil, b.version)
		long := strings.Repeat("x", 2*wire.MaxMessage)
		bytes = wire.Announce{Kind: wire.AnnounceStart, Suffix: long, Hops: []uint64{4}}.Append(bytes, b.version)
		bytes = wire.Announce{Kind: wire.AnnounceStart, Suffix: "good", Hops: []uint64{4}}.Append(bytes, b.version)
		bytes = wire.Announce{Kind: wire.AnnounceEnd, Suffix: long, ID: 0}.Append(bytes, b.version)
		bytes = wire.Announce{Kind: wire.AnnounceStart, Suffix: "other", Hops: []uint64{4}}.Append(bytes, b.version)
		bytes = wire.Announce{Kind: wire.AnnounceEnd, Suffix: "good", ID: 1}.Append(bytes, b.version)
		_, err := stream.Write(bytes)
		require.NoError(t, err)
		_, err = seen.Broadcast(t.Context(), "other")
		require.NoError(t, err)
		<-time.After(time.Second)
		_, err = seen.Lookup("good", 0)
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})
		require.NoError(t, s.Err())
		select {
		case <-s.Done():
			t.Fatal("the session ended")
		default:
		}
	})
}

func TestRetractionAndReturn(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		feed := seen.Announcements("", 0)
		defer feed.Close()
		next := func() pubsub.Announcement {
			a, err := feed.Next(t.Context())
			require.NoError(t, err)
			return a
		}
		require.True(t, next().Synced)
		bc, track := announced(t, origin, "a/b", "t", pubsub.TrackInfo{})
		a := next()
		require.True(t, a.Active)
		require.Equal(t, "a/b", a.Path)
		require.Equal(t, origin.Identity(), a.Route.Source())

		reader := subscribeTo(t, seen, "a/b", "t", pubsub.SubscribeOptions{})
		writeGroup(t, track, 1)
		readGroup(t, reader)
		bc.Unannounce()
		require.False(t, next().Active)
		writeGroup(t, track, 1) // a running subscription goes on to its own end
		readGroup(t, reader)
		require.NoError(t, bc.Announce())
		require.True(t, next().Active)
		require.NoError(t, bc.Close())
		require.False(t, next().Active)
		_, err := reader.NextGroup(t.Context())
		require.EqualError(t, err, "EOF")
	})
}

func TestUnknownTrackAndBroadcast(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		announced(t, origin, "a", "t", pubsub.TrackInfo{})
		bc, err := seen.Broadcast(t.Context(), "a")
		require.NoError(t, err)
		_, err = bc.Subscribe(t.Context(), "nope", pubsub.SubscribeOptions{})
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamNotFound})
		below, err := seen.Lookup("a/below", 0)
		require.NoError(t, err, "an announcement is a route for what is below it too")
		_, err = below.Subscribe(t.Context(), "t", pubsub.SubscribeOptions{})
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})
	})
}

func TestLossOfTheConnectionReachesReaders(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		dialed, accepted := b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		reader := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{})
		g, err := track.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("one")}))
		got, err := reader.NextGroup(t.Context())
		require.NoError(t, err)
		_, err = got.NextFrame(t.Context())
		require.NoError(t, err)

		dialed.Abort(moqerr.SessionApplication+7, "bye")
		_, err = got.NextFrame(t.Context())
		var ended *moqerr.SessionError
		require.ErrorAs(t, err, &ended)
		require.Equal(t, moqerr.SessionError{Code: moqerr.SessionApplication + 7, Remote: true, Reason: "bye", Legacy: b.version == wire.Lite05}, *ended)
		<-accepted.Done()
		require.Equal(t, err, accepted.Err())
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("two")}), "the publisher's origin is not touched")
		_, err = seen.Lookup("a", 0)
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable}, "retracted at once")
	})
}

func TestCloseLetsTheLastGroupLeave(t *testing.T) {
	for _, v := range wire.Versions() {
		for seed := range map[wire.Version]int{wire.Lite06: 30, wire.Lite05: 5}[v] {
			inBubble(t, v, nil, func(t *testing.T, b *bed) {
				origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
				dialed, _ := b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
				_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
				reader := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{})
				writeGroup(t, track, 1)
				readGroup(t, reader)
				b.net.Reseed(uint64(seed))
				b.net.Lose(0.02)
				n := writeGroup(t, track, 2000) // some twenty packets
				begin := time.Now()
				require.NoError(t, dialed.Close())
				require.LessOrEqual(t, time.Since(begin), drainTime+time.Second)
				require.NoError(t, dialed.Err())
				sequence, payloads := readGroup(t, reader)
				require.Equal(t, n, sequence)
				require.Equal(t, want(n, 2000), payloads)
			})
		}
	}
}

func TestCloseIsBounded(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		dialed, _ := b.sessions(Config{Publish: origin}, Config{Subscribe: pubsub.NewOrigin()})
		b.net.Dark(true)
		begin := time.Now()
		require.NoError(t, dialed.Close())
		require.NoError(t, dialed.Close(), "again")
		require.LessOrEqual(t, time.Since(begin), drainTime+time.Second)
	})
}

func TestGoawayIsSurfacedAndTheSessionGoesOn(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		dialed, accepted := b.sessions(Config{Subscribe: seen}, Config{Publish: origin})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		reader := subscribeTo(t, seen, "a", "t", pubsub.SubscribeOptions{})
		require.NoError(t, accepted.GoAway("https://b/"))
		<-dialed.GoingAway()
		require.Equal(t, "https://b/", dialed.GoawayURI())
		writeGroup(t, track, 2)
		readGroup(t, reader)
		require.NoError(t, accepted.GoAway(""))
		<-dialed.Done()
		require.ErrorContains(t, dialed.Err(), "second GOAWAY")
	})
}

func TestProbeIsAnswered(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, _ := b.against(Config{})
		stream, r := p.ask(wire.StreamProbe, nil)
		for i := range 2 {
			begin := time.Now()
			body, err := r.Message()
			require.NoError(t, err)
			m, err := wire.ParseProbe(body, b.version)
			require.NoError(t, err)
			require.InDelta(t, 2*latency, m.RTT, float64(latency))
			if i > 0 {
				require.Equal(t, probeInterval, time.Since(begin).Round(time.Second))
			}
		}
		require.NoError(t, stream.Close())
		_, err := r.Message()
		require.EqualError(t, err, "EOF")
	})
}

// wakeups counts how often goroutines were made to run so far.
func wakeups() uint64 {
	s := []metrics.Sample{{Name: "/sched/latencies:seconds"}}
	metrics.Read(s)
	var n uint64
	for _, c := range s[0].Value.Float64Histogram().Counts {
		n += c
	}
	return n
}

// TestIdleSessionSleeps compares an idle session with a bare connection that has the
// same keep-alive: the session must not add one packet or one wake-up.
func TestIdleSessionSleeps(t *testing.T) {
	once := func(start func(b *bed)) (packets, wakes uint64) {
		conf := quicKeepAlive()
		inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
			start(b)
			<-time.After(time.Minute) // let the path discovery and the like finish
			synctest.Wait()
			packets, wakes = b.net.Packets(), wakeups()
			<-time.After(30 * time.Minute)
			synctest.Wait()
			packets, wakes = b.net.Packets()-packets, wakeups()-wakes
		})
		return packets, wakes
	}
	// The runtime counts its own goroutines too, which only ever adds: the least of three.
	idle := func(start func(b *bed)) (packets, wakes uint64) {
		packets, wakes = once(start)
		for range 2 {
			p, w := once(start)
			packets, wakes = min(packets, p), min(wakes, w)
		}
		return packets, wakes
	}
	barePackets, bareWakes := idle(func(b *bed) { b.conns() })
	packets, wakes := idle(func(b *bed) {
		b.sessions(Config{Publish: pubsub.NewOrigin(), Subscribe: pubsub.NewOrigin()}, Config{Publish: pubsub.NewOrigin(), Subscribe: pubsub.NewOrigin()})
	})
	t.Logf("30 minutes idle: bare %d packets, %d wake-ups; session %d packets, %d wake-ups", barePackets, bareWakes, packets, wakes)
	require.NotZero(t, barePackets)
	require.LessOrEqual(t, packets, barePackets+barePackets/50)
	require.LessOrEqual(t, wakes, bareWakes+bareWakes/10)
}

func TestErrIsNilWhileRunning(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		dialed, accepted := b.sessions(Config{}, Config{})
		require.NoError(t, dialed.Err())
		require.Equal(t, transport.CarrierQUIC, dialed.Carrier())
		require.NotNil(t, dialed.RemoteAddr())
		require.NotZero(t, dialed.Stats().PacketsSent)
		require.NoError(t, dialed.Close())
		<-accepted.Done()
		var ended *moqerr.SessionError
		require.True(t, errors.As(accepted.Err(), &ended))
		require.Equal(t, moqerr.SessionNoError, ended.Code)
	})
}
