package session

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestMalformedMessagesCloseTheSession: what is no message ends the session with 3 and
// says which field is wrong.
func TestMalformedMessagesCloseTheSession(t *testing.T) {
	subscribe := wire.Subscribe{ID: 1, Broadcast: "a", Track: "t"}
	for name, c := range map[string]struct {
		do   func(p *peer)
		says string
	}{
		"second SETUP": {func(p *peer) {
			p.uni(uint64(wire.UniSetup), wire.Setup{}.Append(nil, p.v))
		}, "second SETUP"},
		"SETUP with a repeated parameter": {func(p *peer) {
			p.uni(uint64(wire.UniSetup), []byte{7, 2, 5, 1, 1, 5, 1, 2})
		}, "SETUP"},
		"oversized SUBSCRIBE": {func(p *peer) {
			p.ask(wire.StreamSubscribe, wire.AppendVarint(nil, wire.MaxMessage+1))
		}, "too large"},
		"SUBSCRIBE with bytes left over": {func(p *peer) {
			b := subscribe.Append(nil, p.v)
			b[0]++
			p.ask(wire.StreamSubscribe, append(b, 0))
		}, "SUBSCRIBE"},
		"SUBSCRIBE cut by FIN": {func(p *peer) {
			s, _ := p.ask(wire.StreamSubscribe, subscribe.Append(nil, p.v)[:5])
			require.NoError(p.t, s.Close())
		}, "unexpected EOF"},
		"subscribe id used twice": {func(p *peer) {
			p.subscribe(subscribe)
			p.subscribe(subscribe)
		}, "subscribe id"},
		"UPDATE that is none": {func(p *peer) {
			s, _ := p.subscribe(subscribe)
			_, err := s.Write([]byte{1, 0xff})
			require.NoError(p.t, err)
		}, "SUBSCRIBE_UPDATE"},
		"ANNOUNCE_REQUEST that is none": {func(p *peer) {
			p.ask(wire.StreamAnnounce, []byte{2, 0x40, 0x41})
		}, "ANNOUNCE_REQUEST"},
		"GROUP header that is none": {func(p *peer) {
			p.uni(uint64(wire.UniGroup), []byte{1, 0xff})
		}, "GROUP"},
		"GOAWAY that is none": {func(p *peer) {
			p.ask(wire.StreamGoaway, []byte{2, 5, 'x'})
		}, "GOAWAY"},
		"FETCH that is none": {func(p *peer) {
			p.ask(wire.StreamFetch, []byte{0})
		}, "FETCH"},
		"TRACK that is none": {func(p *peer) {
			p.ask(wire.StreamTrack, []byte{1, 0xff})
		}, "TRACK"},
	} {
		t.Run(name, func(t *testing.T) {
			onVersions(t, func(t *testing.T, b *bed) {
				origin := pubsub.NewOrigin()
				announced(t, origin, "a", "t", pubsub.TrackInfo{})
				p, s := b.against(Config{Publish: origin})
				c.do(p)
				require.Equal(t, moqerr.SessionProtocol, p.closedWith())
				<-s.Done()
				require.ErrorContains(t, s.Err(), c.says)
			})
		})
	}
}

// TestBadAnswersCloseTheSession: the same for what comes in answer to our requests.
func TestBadAnswersCloseTheSession(t *testing.T) {
	start := wire.Announce{Kind: wire.AnnounceStart, Suffix: "x", Hops: []uint64{4}}
	ok := wire.AnnounceOK{Hop: peerHop}
	for name, c := range map[string]struct {
		bytes func(v wire.Version) []byte
		only  wire.Version
		says  string
	}{
		"ANNOUNCE_OK that is none": {func(wire.Version) []byte { return []byte{1, 0xff} }, 0, "ANNOUNCE_OK"},
		"announcement that is none": {func(v wire.Version) []byte {
			return append(ok.Append(nil, v), 0, 1, 0xff)
		}, 0, "ANNOUNCE"},
		"repeated hop": {func(v wire.Version) []byte {
			bad := wire.Announce{Kind: wire.AnnounceStart, Suffix: "x", Hops: []uint64{4, 4}}
			return bad.Append(ok.Append(nil, v), v)
		}, 0, "hop"},
		"START of what is active": {func(v wire.Version) []byte {
			return start.Append(start.Append(ok.Append(nil, v), v), v)
		}, wire.Lite06, "repeated"},
		"END of an unknown id": {func(v wire.Version) []byte {
			return wire.Announce{Kind: wire.AnnounceEnd, ID: 3}.Append(ok.Append(nil, v), v)
		}, wire.Lite06, "announce id"},
	} {
		t.Run(name, func(t *testing.T) {
			onVersions(t, func(t *testing.T, b *bed) {
				if c.only != 0 && b.version != c.only {
					return // the version has no such thing
				}
				p, s := b.against(Config{Subscribe: pubsub.NewOrigin()})
				stream, _ := p.answer(wire.StreamAnnounce)
				_, err := stream.Write(c.bytes(b.version))
				require.NoError(t, err)
				require.Equal(t, moqerr.SessionProtocol, p.closedWith())
				<-s.Done()
				require.ErrorContains(t, s.Err(), c.says)
			})
		})
	}
}

func TestUnknownStreamTypesAreReset(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s := b.against(Config{})
		_, r := p.ask(0x3f, []byte("anything"))
		_, err := r.Varint()
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamCancelled})
		uni, err := p.conn.OpenUniStream(t.Context())
		require.NoError(t, err)
		_, err = uni.Write([]byte{0x3e, 1, 2, 3})
		require.NoError(t, err)
		<-uni.Context().Done()
		_, err = uni.Write([]byte{1})
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamCancelled})
		require.NoError(t, s.Err())
	})
}

// fed plays a publisher by hand: it announces "x" and answers TRACK and SUBSCRIBE. Our
// session's reader is returned with the subscribe id.
func fed(t *testing.T, b *bed) (p *peer, s *Session, reader *pubsub.TrackConsumer, replies transport.Stream) {
	t.Helper()
	seen := pubsub.NewOrigin()
	p, s = b.against(Config{Subscribe: seen})
	stream, _ := p.answer(wire.StreamAnnounce)
	bytes := wire.AnnounceOK{Hop: peerHop, Active: 1}.Append(nil, b.version)
	bytes = wire.Announce{Kind: wire.AnnounceStart, Suffix: "x"}.Append(bytes, b.version)
	_, err := stream.Write(bytes)
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		track, _ := p.answer(wire.StreamTrack)
		replies, _ = p.answer(wire.StreamSubscribe)
		_, err := track.Write(wire.TrackInfo{MaxAge: 5 * time.Second, Timescale: 1000}.Append(nil, b.version))
		require.NoError(t, err)
		require.NoError(t, track.Close())
	}()
	reader = subscribeTo(t, seen, "x", "t", pubsub.SubscribeOptions{})
	<-done
	return p, s, reader, replies
}

// TestAFaultyGroupIsItsOwnAffair: the stream is stopped, the group fails, the track
// and the session go on.
func TestAFaultyGroupIsItsOwnAffair(t *testing.T) {
	frame := func(payload string) []byte { return append(wire.AppendFrameHeader(nil, 1, len(payload)), payload...) }
	for name, c := range map[string]struct {
		frames []byte
		fin    bool
		code   moqerr.StreamCode
	}{
		"FIN inside a frame":     {append(frame("good"), wire.AppendFrameHeader(nil, 1, 10)...), true, moqerr.StreamWrongSize},
		"frame over the limit":   {append(frame("good"), wire.AppendFrameHeader(nil, 1, wire.MaxFrame+1)...), false, moqerr.StreamFrameTooLarge},
		"negative timestamp":     {append(frame("good"), wire.AppendFrameHeader(nil, -100, 0)...), false, moqerr.StreamTimestamp},
		"more than 8,192 frames": {bytes.Repeat(frame("good"), wire.MaxGroupFrames+1), false, moqerr.StreamGroupTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			onVersions(t, func(t *testing.T, b *bed) {
				p, s, reader, replies := fed(t, b)
				_, err := replies.Write(wire.SubscribeReply{Kind: wire.ReplyStart, Group: 0}.Append(nil, b.version))
				require.NoError(t, err)
				stream, err := p.conn.OpenUniStream(t.Context())
				require.NoError(t, err)
				head := wire.Group{Sequence: 0}.Append(wire.AppendVarint(nil, uint64(wire.UniGroup)), b.version)
				_, err = stream.Write(append(head, c.frames...))
				require.NoError(t, err)
				if c.fin {
					require.NoError(t, stream.Close())
				}
				g, err := reader.NextGroup(t.Context())
				require.NoError(t, err)
				f, err := g.NextFrame(t.Context())
				require.NoError(t, err, "what came in order is not lost")
				require.Equal(t, "good", string(f.Payload))
				for err == nil {
					_, err = g.NextFrame(t.Context())
				}
				require.Error(t, err)
				require.NotEqual(t, "EOF", err.Error())
				if !c.fin {
					<-stream.Context().Done()
					_, err = stream.Write([]byte{1})
					require.ErrorIs(t, err, &moqerr.StreamError{Code: c.code})
				}
				p.uni(uint64(wire.UniGroup), append(wire.Group{Sequence: 1}.Append(nil, b.version), frame("next")...))
				sequence, payloads := readGroup(t, reader)
				require.Equal(t, uint64(1), sequence)
				require.Equal(t, []string{"next"}, payloads)
				require.NoError(t, s.Err())
			})
		})
	}
}

// TestGroupsThatComeInHalves: a peer begins 1,000 groups of 4 KiB, more than the
// connection's window, before it finishes any. Whoever drains one after the other, or
// waits for the application, is stuck.
func TestGroupsThatComeInHalves(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s, reader, _ := fed(t, b)
		p.uni(uint64(wire.UniGroup), wire.Group{Sequence: 0}.Append(nil, b.version))
		readGroup(t, reader)
		half := bytes.Repeat([]byte{7}, 2048)
		var open []transport.SendStream
		for i := uint64(1); i <= 999; i++ {
			stream, err := p.conn.OpenUniStream(t.Context())
			require.NoError(t, err)
			head := wire.Group{Sequence: i}.Append(wire.AppendVarint(nil, uint64(wire.UniGroup)), b.version)
			_, err = stream.Write(append(wire.AppendFrameHeader(head, 0, 2*len(half)), half...))
			require.NoError(t, err)
			open = append(open, stream)
		}
		for _, stream := range slices.Backward(open) {
			_, err := stream.Write(half)
			require.NoError(t, err)
			require.NoError(t, stream.Close())
		}
		for i := uint64(1); i <= 999; i++ {
			sequence, payloads := readGroup(t, reader)
			require.Equal(t, i, sequence)
			require.Equal(t, []string{string(half) + string(half)}, payloads)
		}
		require.NoError(t, s.Err())
	})
}

func TestGroupsNobodyAskedFor(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s, reader, _ := fed(t, b)
		for _, m := range []wire.Group{{Subscribe: 99}, {Sequence: 5}, {Sequence: 5}} {
			stream, err := p.conn.OpenUniStream(t.Context())
			require.NoError(t, err)
			_, err = stream.Write(m.Append(wire.AppendVarint(nil, uint64(wire.UniGroup)), b.version))
			require.NoError(t, err)
			<-time.After(time.Second)
			_, err = stream.Write(append(wire.AppendFrameHeader(nil, 0, 1), fmt.Sprint(m.Sequence)...))
			if m.Subscribe == 0 && reader.Info().Timescale > 0 && err == nil {
				continue // the first copy of group 5
			}
			require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamCancelled})
		}
		require.NoError(t, s.Err())
	})
}

func TestDropEndAndFin(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s, reader, replies := fed(t, b)
		say := func(m wire.SubscribeReply) {
			_, err := replies.Write(m.Append(nil, b.version))
			require.NoError(t, err)
		}
		group := func(sequence uint64) {
			p.uni(uint64(wire.UniGroup), append(wire.Group{Sequence: sequence}.Append(nil, b.version), append(wire.AppendFrameHeader(nil, 0, 1), 'x')...))
		}
		say(wire.SubscribeReply{Kind: wire.ReplyStart, Group: 3})
		group(3)
		sequence, _ := readGroup(t, reader)
		require.Equal(t, uint64(3), sequence)
		group(6)
		say(wire.SubscribeReply{Kind: wire.ReplyDrop, Group: 4, End: 5, Code: 2})
		begin := time.Now()
		g, err := reader.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(6), g.Sequence())
		require.Equal(t, &moqerr.Gap{First: 4, Last: 5}, g.Gap())
		require.Less(t, time.Since(begin), time.Second, "DROP rules the missing ones out at once")
		say(wire.SubscribeReply{Kind: wire.ReplyEnd, Group: 8})
		require.NoError(t, replies.Close())
		group(7)
		sequence, _ = readGroup(t, reader)
		require.Equal(t, uint64(7), sequence, "END may come before the last groups")
		_, err = reader.NextGroup(t.Context())
		require.EqualError(t, err, "EOF")
		require.NoError(t, s.Err())
	})
}

// TestAGroupThatNeverCame: the track has ended, its last group was dropped on the way.
func TestAGroupThatNeverCame(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s, reader, replies := fed(t, b)
		b1 := wire.SubscribeReply{Kind: wire.ReplyStart, Group: 3}.Append(nil, b.version)
		b1 = wire.SubscribeReply{Kind: wire.ReplyEnd, Group: 5}.Append(b1, b.version)
		_, err := replies.Write(b1)
		require.NoError(t, err)
		require.NoError(t, replies.Close())
		p.uni(uint64(wire.UniGroup), wire.Group{Sequence: 3}.Append(nil, b.version))
		sequence, _ := readGroup(t, reader)
		require.Equal(t, uint64(3), sequence)
		begin := time.Now()
		_, err = reader.NextGroup(t.Context())
		require.EqualError(t, err, "EOF")
		require.InDelta(t, 5, time.Since(begin).Seconds(), 0.2, "waited for as long as Max Age")
		require.NoError(t, s.Err())
	})
}

// TestStartNamesAGroupThatNeverComes is what relay 0.17.10 does with a late join: the
// reader begins at the first group that comes, at once and without a gap, and the peer
// is asked for more from there on only.
func TestStartNamesAGroupThatNeverComes(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s, reader, replies := fed(t, b)
		_, err := replies.Write(wire.SubscribeReply{Kind: wire.ReplyStart}.Append(nil, b.version))
		require.NoError(t, err)
		<-time.After(100 * time.Millisecond)
		begin := time.Now()
		p.uni(uint64(wire.UniGroup), wire.Group{Sequence: 3}.Append(nil, b.version))
		g, err := reader.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(3), g.Sequence())
		require.Nil(t, g.Gap())
		require.LessOrEqual(t, time.Since(begin), 2*latency)
		if b.version.StartFloor() {
			body, err := wire.NewReader(replies).Message()
			require.NoError(t, err)
			m, err := wire.ParseSubscribeUpdate(body, b.version)
			require.NoError(t, err)
			require.True(t, m.HasStart)
			require.Equal(t, uint64(3), m.Start)
			require.Equal(t, 5*time.Second, m.MaxAge)
		}
		require.NoError(t, s.Err())
	})
}

func TestFinWithoutEndFailsTheTrack(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		_, s, reader, replies := fed(t, b)
		require.NoError(t, replies.Close())
		_, err := reader.NextGroup(t.Context())
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamMalformed})
		require.NoError(t, s.Err())
	})
}
