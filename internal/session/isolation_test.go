package session

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// alive fails if the peer's session ends within three seconds.
func alive(t *testing.T, p *peer) {
	t.Helper()
	select {
	case <-p.conn.Done():
		t.Fatalf("innocent session closed: %v", p.conn.Err())
	case <-time.After(3 * time.Second):
	}
}

// announce answers ANNOUNCE_REQUEST by hand.
func (p *peer) announce(hop uint64, path string, hops ...uint64) {
	s, _ := p.answer(wire.StreamAnnounce)
	b := wire.AnnounceOK{Hop: hop, Active: 1}.Append(nil, p.v)
	b = wire.Announce{Kind: wire.AnnounceStart, Suffix: path, Hops: hops}.Append(b, p.v)
	_, err := s.Write(b)
	require.NoError(p.t, err)
}

// TestForeignViolation: what one peer does wrong with a track ends neither another peer's
// session nor its own.
func TestForeignViolation(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		bad, _ := b.against(Config{Publish: o, Subscribe: o})
		victim, _ := b.against(Config{Publish: o, Subscribe: o})
		bad.announce(5, "x")
		time.Sleep(time.Second)
		_, _ = victim.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		tr, _ := bad.answer(wire.StreamTrack)
		_, err := tr.Write(wire.TrackInfo{Priority: 1, MaxAge: time.Second, Timescale: 1000}.Append(nil, bad.v))
		require.NoError(t, err)
		require.NoError(t, tr.Close())
		sub, _ := bad.answer(wire.StreamSubscribe)
		require.NoError(t, sub.Close()) // FIN without END
		alive(t, victim)
	})
}

// TestUsersErrorIsNoViolation: an error of the application's own, whatever it wraps, ends
// the track and not the sessions of those who read it.
func TestUsersErrorIsNoViolation(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: o})
		p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		time.Sleep(time.Second)
		tr.Fail(io.ErrUnexpectedEOF) // an ingest that broke off
		alive(t, p)
	})
}

// TestRepeatedHopIsNotPassedOn: a chain that names the announcing peer twice would end
// the sessions of all others.
func TestRepeatedHopIsNotPassedOn(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		bad, _ := b.against(Config{Publish: o, Subscribe: o})
		mine := pubsub.NewOrigin()
		client, _ := b.sessions(Config{Subscribe: mine}, Config{Publish: o, Subscribe: o})
		bad.announce(5, "x", 5)
		select {
		case <-client.Done():
			t.Fatalf("innocent session closed: %v", client.Err())
		case <-time.After(3 * time.Second):
		}
	})
}

// TestLongPathIsNotPassedOn: with one more hop it would be over the limit of a message.
func TestLongPathIsNotPassedOn(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		bad, _ := b.against(Config{Publish: o, Subscribe: o})
		mine := pubsub.NewOrigin()
		client, _ := b.sessions(Config{Subscribe: mine}, Config{Publish: o, Subscribe: o})
		bad.announce(1<<52, strings.Repeat("x", wire.MaxMessage-9))
		select {
		case <-client.Done():
			t.Fatalf("innocent session closed: %v", client.Err())
		case <-time.After(3 * time.Second):
		}
	})
}

// TestLongRequestIsNotPassedOn: with a longer subscribe id it would be over the limit of a
// message, and end the publisher's session.
func TestLongRequestIsNotPassedOn(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		o := pubsub.NewOrigin()
		pub := pubsub.NewOrigin()
		announced(t, pub, "x", "t", pubsub.TrackInfo{})
		// the publisher announces prefix "x"; anything below may be asked for
		client, _ := b.sessions(Config{Publish: pub}, Config{Publish: o, Subscribe: o})
		bad, _ := b.against(Config{Publish: o, Subscribe: o})
		time.Sleep(time.Second)
		for i := range 64 {
			bad.subscribe(wire.Subscribe{ID: uint64(i), Broadcast: "x", Track: fmt.Sprint(i)})
		}
		time.Sleep(time.Second)
		m := wire.Subscribe{ID: 1, Broadcast: "x/" + strings.Repeat("y", wire.MaxMessage-15), Track: "t"}
		raw := m.Append(nil, bad.v)
		t.Log("body:", len(raw)-4-wire.MaxMessage)
		bad.subscribe(m)
		select {
		case <-client.Done():
			t.Fatalf("publisher's session closed: %v", client.Err())
		case <-time.After(3 * time.Second):
		}
	})
}

// TestLastSequence: an origin that begins at the end of the numbers says an END that the
// wire can carry.
func TestLastSequence(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		o := pubsub.NewOriginWith(pubsub.OriginOptions{FirstSequence: 1 << 62})
		_, tr := announced(t, o, "x", "t", pubsub.TrackInfo{})
		require.NoError(t, tr.Close())
		p, _ := b.against(Config{Publish: o})
		_, r := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		_, err := wire.ReadSubscribeReply(r, p.v)
		t.Log(err)
	})
}

// TestBadTrackNameIsNotSent: the peer would end the session.
func TestBadTrackNameIsNotSent(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		o, mine := pubsub.NewOrigin(), pubsub.NewOrigin()
		announced(t, o, "x", "t", pubsub.TrackInfo{})
		d, _ := b.sessions(Config{Subscribe: mine}, Config{Publish: o})
		br, err := mine.Broadcast(t.Context(), "x")
		require.NoError(t, err)
		_, err = br.Subscribe(t.Context(), "\xff", pubsub.SubscribeOptions{})
		t.Log(err)
		time.Sleep(time.Second)
		select {
		case <-d.Done():
			t.Fatal("session closed by a bad name: ", d.Err())
		default:
		}
	})
}
