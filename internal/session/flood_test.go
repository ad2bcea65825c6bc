package session

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// floodBudget is what the peers of these tests may make us hold. The simulated network and
// both ends' QUIC are in the same heap: quicNoise is allowed for them.
const (
	floodBudget = 4 << 20
	quicNoise   = 12 << 20
)

// heap returns the live heap.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools hold goes with the second
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// flood lets one peer do its worst, and checks that the heap stays bounded and that another
// session of the same origin does not notice. ended is the code that the session has to be
// closed with within 5 s, or -1 if it is to go on.
func flood(t *testing.T, ended int, attack func(p *peer, shared *pubsub.Origin)) {
	t.Helper()
	conf := &quic.Config{MaxIncomingStreams: 2000, MaxIncomingUniStreams: 2000}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		shared := pubsub.NewOriginWith(pubsub.OriginOptions{Budget: floodBudget})
		other := pubsub.NewOrigin()
		_, tr := announced(t, other, "good", "t", pubsub.TrackInfo{})
		b.sessions(Config{Publish: other}, Config{Subscribe: shared})
		reader := subscribeTo(t, shared, "good", "t", pubsub.SubscribeOptions{})

		before := heap()
		p, s := b.against(Config{Publish: shared, Subscribe: shared, Budget: floodBudget})
		attack(p, shared)
		begin := time.Now()
		select {
		case <-s.Done():
		case <-time.After(5 * time.Second):
		}
		grown := heap() - before
		t.Logf("heap grew by %d KiB, %d KiB counted", grown>>10, s.budget.Held()>>10)
		require.Less(t, grown, int64(floodBudget+quicNoise))
		require.LessOrEqual(t, s.budget.Held(), int64(floodBudget+floodBudget/20))
		if ended < 0 {
			require.NoError(t, s.Err())
		} else {
			require.Equal(t, moqerr.SessionCode(ended), p.closedWith())
			require.Less(t, time.Since(begin), 5*time.Second)
		}
		seq := writeGroup(t, tr, 3)
		got, payloads := readGroup(t, reader)
		require.Equal(t, seq, got)
		require.Equal(t, want(seq, 3), payloads)
		s.Abort(0, "test over")
		require.Zero(t, s.budget.Held(), "all is given back")
	})
}

// pour writes b again and again until the stream, or the connection, fails, or more is
// written than n times.
func pour(s transport.SendStream, b []byte, n int) {
	for range n {
		if _, err := s.Write(b); err != nil {
			return
		}
	}
}

func TestFloodOfAnnouncements(t *testing.T) {
	for name, path := range map[string]func(i int) string{
		"short": func(i int) string { return fmt.Sprint(i) },
		"long":  func(i int) string { return fmt.Sprint(i, strings.Repeat("x", 4000)) },
		"deep":  func(i int) string { return fmt.Sprint(i, strings.Repeat("/x", 30)) },
		"huge":  func(i int) string { return fmt.Sprint(i, strings.Repeat("x", 60_000)) },
	} {
		t.Run(name, func(t *testing.T) {
			flood(t, int(moqerr.SessionProtocol), func(p *peer, _ *pubsub.Origin) {
				s, _ := p.answer(wire.StreamAnnounce)
				pour(s, wire.AnnounceOK{Hop: peerHop}.Append(nil, p.v), 1)
				var b []byte
				for i := range 100_000 {
					b = wire.Announce{Kind: wire.AnnounceStart, Suffix: path(i)}.Append(b, p.v)
					if len(b) > 16<<10 {
						if _, err := s.Write(b); err != nil {
							return
						}
						b = b[:0]
					}
				}
			})
		})
	}
}

// TestChurnOfAnnouncements: what comes and goes costs nothing in the end.
func TestChurnOfAnnouncements(t *testing.T) {
	flood(t, -1, func(p *peer, _ *pubsub.Origin) {
		s, _ := p.answer(wire.StreamAnnounce)
		pour(s, wire.AnnounceOK{Hop: peerHop}.Append(nil, p.v), 1)
		var b []byte
		for i := range uint64(50_000) {
			b = wire.Announce{Kind: wire.AnnounceStart, Suffix: fmt.Sprint(i)}.Append(b[:0], p.v)
			b = wire.Announce{Kind: wire.AnnounceEnd, ID: i}.Append(b, p.v)
			pour(s, b, 1)
		}
	})
}

func TestFloodOfStreams(t *testing.T) {
	for name, first := range map[string][]byte{
		"nothing":           {},
		"half a type":       {0x40},
		"half a message":    {0x00, 0x80, 0x00},
		"a promised one":    append(wire.AppendVarint([]byte{0x00}, wire.MaxMessage), 1),
		"a long one":        append(wire.AppendVarint([]byte{0x00}, wire.MaxMessage), bytes.Repeat([]byte{1}, 2000)...),
		"an unknown type":   {0x3f, 1, 2, 3},
		"a foreign group":   wire.Group{Subscribe: 99}.Append([]byte{0}, wire.Lite06),
		"requests, unknown": nil,
	} {
		t.Run(name, func(t *testing.T) {
			flood(t, -1, func(p *peer, _ *pubsub.Origin) {
				ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
				defer cancel()
				for range 2000 {
					if first == nil {
						s, err := p.conn.OpenStream(ctx)
						if err != nil {
							return
						}
						pour(s, append(wire.AppendVarint([]byte{byte(wire.StreamSubscribe)}, wire.MaxMessage), make([]byte, 2000)...), 1)
						s.Stop(0) // else the refused ones stay in this heap, on the attacker's side
						continue
					}
					s, err := p.conn.OpenUniStream(ctx)
					if err != nil {
						return
					}
					pour(s, first, 1)
				}
			})
		})
	}
}

// demanded lets readers of the shared origin want n tracks of the peer's, and answers their
// requests. The readers do not read.
func (p *peer) demanded(shared *pubsub.Origin, n int) (ids []uint64) {
	p.t.Helper()
	p.announce(peerHop, "bad", 5)
	time.Sleep(time.Second)
	asked := make(chan error, n)
	for i := range n {
		go func() {
			b, err := shared.Lookup("bad", 0)
			if err == nil {
				_, err = b.Subscribe(p.t.Context(), fmt.Sprint(i), pubsub.SubscribeOptions{})
			}
			asked <- err
		}()
		track, _ := p.answer(wire.StreamTrack)
		_, body := p.answer(wire.StreamSubscribe)
		m, err := wire.ParseSubscribe(body, p.v)
		require.NoError(p.t, err)
		ids = append(ids, m.ID)
		_, err = track.Write(wire.TrackInfo{MaxAge: time.Hour, Timescale: 1000}.Append(nil, p.v))
		require.NoError(p.t, err)
		require.NoError(p.t, track.Close())
		require.NoError(p.t, <-asked)
	}
	return ids
}

// TestFloodOfGroups: groups that are never finished, of whatever they consist, on few tracks
// and on many, are cut before they take too much.
func TestFloodOfGroups(t *testing.T) {
	frame := func(size int) []byte { return append(wire.AppendFrameHeader(nil, 0, size), make([]byte, size)...) }
	half := append(wire.AppendFrameHeader(nil, 0, wire.MaxFrame), make([]byte, 64<<10)...)
	for name, c := range map[string]struct {
		tracks, groups, writes int
		piece                  []byte
	}{
		"no frame":         {1, 1500, 0, nil},
		"empty frames":     {1, 50, 50, bytes.Repeat(frame(0), 160)},
		"small frames":     {1, 500, 10, frame(2000)},
		"one frame each":   {1, 1000, 1, frame(8000)},
		"large frames":     {1, 20, 8, frame(200_000)},
		"frames cut short": {1, 100, 1, half},
		"bytes one by one": {1, 30, 200, []byte{0}},
		"many tracks":      {100, 1, 20, frame(10_000)},
	} {
		t.Run(name, func(t *testing.T) {
			flood(t, -1, func(p *peer, shared *pubsub.Origin) {
				ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
				defer cancel()
				for _, id := range p.demanded(shared, c.tracks) {
					for i := range c.groups {
						s, err := p.conn.OpenUniStream(ctx)
						if err != nil {
							return
						}
						head := wire.Group{Subscribe: id, Sequence: uint64(i)}.Append([]byte{byte(wire.UniGroup)}, p.v)
						if i%2 == 1 { // the end before the beginning
							head = wire.Group{Subscribe: id, Sequence: uint64(1<<20 - i)}.Append([]byte{byte(wire.UniGroup)}, p.v)
						}
						pour(s, head, 1)
						pour(s, c.piece, c.writes)
					}
				}
			})
		})
	}
}

// TestEndlessGoaways: the second ends the session.
func TestEndlessGoaways(t *testing.T) {
	flood(t, int(moqerr.SessionProtocol), func(p *peer, _ *pubsub.Origin) {
		ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
		defer cancel()
		for range 1000 {
			s, err := p.conn.OpenStream(ctx)
			if err != nil {
				return
			}
			goaway := wire.Goaway{URI: strings.Repeat("x", wire.MaxGoawayURI)}
			pour(s, goaway.Append([]byte{byte(wire.StreamGoaway)}, p.v), 1)
		}
	})
}

// TestFloodOfAnnounceStreams: each is a reading of the whole table.
func TestFloodOfAnnounceStreams(t *testing.T) {
	flood(t, -1, func(p *peer, shared *pubsub.Origin) {
		for i := range 1000 {
			_, err := shared.Attach(pubsub.Route{Prefix: fmt.Sprint("x/", i), Hops: []uint64{9}})
			require.NoError(p.t, err)
		}
		for range 500 {
			p.ask(wire.StreamAnnounce, wire.AnnounceRequest{}.Append(nil, p.v))
		}
	})
}

// TestFloodOfAnnounceStreamsOfLongPaths: who asks for all announcements many times and takes none
// does not make us hold a copy for each.
func TestFloodOfAnnounceStreamsOfLongPaths(t *testing.T) {
	conf := &quic.Config{
		MaxIncomingStreams: 2000, MaxIncomingUniStreams: 2000,
		InitialStreamReceiveWindow: 500, MaxStreamReceiveWindow: 500,
	}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		for i := range 250 {
			br, err := origin.CreateBroadcast(fmt.Sprint(i, strings.Repeat("x", 4000)))
			require.NoError(t, err)
			require.NoError(t, br.Announce())
		}
		p, s := b.against(Config{Publish: origin, Budget: floodBudget})
		before := heap()
		for range 64 {
			p.ask(wire.StreamAnnounce, wire.AnnounceRequest{}.Append(nil, p.v))
		}
		time.Sleep(time.Second)
		grown := heap() - before
		t.Logf("heap grew by %d KiB, %d KiB counted", grown>>10, s.budget.Held()>>10)
		require.Less(t, grown, int64(floodBudget+quicNoise))
	})
}

// TestFloodOfAnnouncementsBelowALongRoot: the path that the peer connected to counts for each of its
// announcements, since each is held with it.
func TestFloodOfAnnouncementsBelowALongRoot(t *testing.T) {
	conf := &quic.Config{MaxIncomingStreams: 2000, MaxIncomingUniStreams: 2000}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		shared := pubsub.NewOriginWith(pubsub.OriginOptions{Budget: floodBudget})
		near, far := b.conns()
		p := &peer{t: t, v: b.version, conn: near}
		p.uni(uint64(wire.UniSetup), wire.Setup{Hop: peerHop, Path: "/" + strings.Repeat("r", 4000)}.Append(nil, p.v))
		s, err := Start(t.Context(), far, Config{
			Publish: shared, Subscribe: shared, Budget: floodBudget, Version: b.version,
			Admit: func(m wire.Setup) (string, error) { return m.Path, nil }, // as the relay's
		})
		require.NoError(t, err)
		defer s.Abort(0, "test over")
		before := heap()
		stream, _ := p.answer(wire.StreamAnnounce)
		out := wire.AnnounceOK{Hop: peerHop}.Append(nil, p.v)
		for i := 0; err == nil && i < 50_000; i++ {
			out = wire.Announce{Kind: wire.AnnounceStart, Suffix: fmt.Sprint(i)}.Append(out, p.v)
			if _, err = stream.Write(out); err == nil && i%100 == 0 {
				time.Sleep(10 * time.Millisecond)
				if grown := heap() - before; grown > floodBudget+quicNoise {
					require.Fail(t, "too much", "%d KiB after %d announcements, %d KiB counted", grown>>10, i, s.budget.Held()>>10)
				}
			}
			out = out[:0]
		}
		require.Equal(t, moqerr.SessionProtocol, p.closedWith())
	})
}
