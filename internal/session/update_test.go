package session

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestUpdateOfARunningSubscription: priority, bounds and Max Age of a reader reach the
// publisher through a relay, and what they hold back comes when they are taken away.
func TestUpdateOfARunningSubscription(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		near, middle, far := pubsub.NewOrigin(), pubsub.NewOrigin(), pubsub.NewOrigin()
		_, tr := announced(t, near, "x", "t", pubsub.TrackInfo{MaxAge: time.Minute})
		b.sessions(Config{Publish: near}, Config{Publish: middle, Subscribe: middle})
		b.sessions(Config{Subscribe: far}, Config{Publish: middle, Subscribe: middle})
		reader := subscribeTo(t, far, "x", "t", pubsub.SubscribeOptions{Priority: 5})
		time.Sleep(time.Second)
		writeGroup(t, tr, 1)
		seq, _ := readGroup(t, reader)
		require.Zero(t, seq)

		end := uint64(3)
		require.NoError(t, reader.Update(pubsub.SubscribeOptions{Priority: 200, MaxAge: 30 * time.Second, End: &end}))
		time.Sleep(time.Second)
		demand := tr.Demand()
		require.Equal(t, uint8(200), demand.Priority)
		require.Equal(t, 30*time.Second, demand.MaxAge)
		require.Equal(t, &end, demand.End)
		for range 5 {
			writeGroup(t, tr, 1)
		}
		for want := uint64(1); want <= end; want++ {
			seq, _ := readGroup(t, reader)
			require.Equal(t, want, seq)
		}
		_, err := reader.NextGroup(t.Context())
		require.EqualError(t, err, "EOF", "the end of what was asked for")
		require.NoError(t, reader.Update(pubsub.SubscribeOptions{MaxAge: 10 * time.Second}))
		for want := end + 1; want <= 5; want++ {
			seq, _ := readGroup(t, reader)
			require.Equal(t, want, seq, "held back, not lost")
		}
		demand = tr.Demand()
		require.Zero(t, demand.Priority)
		require.Equal(t, 10*time.Second, demand.MaxAge)
		require.Nil(t, demand.End)
	})
}

// TestMaxAgeOfARunningSubscription: a peer that asked for the live group only gets late ones
// once it asks for more.
func TestMaxAgeOfARunningSubscription(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{MaxAge: time.Minute})
		p, _ := b.against(Config{Publish: origin})
		stream, _ := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t"})
		write := func(seq uint64, at time.Duration) {
			g, err := tr.CreateGroup(seq)
			require.NoError(t, err)
			require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: at, Payload: []byte("x")}))
			require.NoError(t, g.Close())
			time.Sleep(time.Second)
		}
		write(10, 10*time.Second)
		m, _, _ := p.group()
		require.Equal(t, uint64(10), m.Sequence)
		write(12, 12*time.Second)
		m, _, _ = p.group()
		require.Equal(t, uint64(12), m.Sequence)
		update := wire.SubscribeUpdate{SubscribeParams: wire.SubscribeParams{MaxAge: 5 * time.Second, Start: 10, HasStart: true}}
		_, err := stream.Write(update.Append(nil, p.v))
		require.NoError(t, err)
		time.Sleep(time.Second)
		write(20, 13*time.Second)
		m, _, _ = p.group()
		require.Equal(t, uint64(20), m.Sequence)
		write(19, 12500*time.Millisecond)
		m, _, _ = p.group()
		require.Equal(t, uint64(19), m.Sequence, "late, but not too late for it")
	})
}

// TestEndWithoutStart: a peer that never served a group has none on the way, so nobody waits
// for them.
func TestEndWithoutStart(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		_, s, reader, replies := fed(t, b)
		begin := time.Now()
		_, err := replies.Write(wire.SubscribeReply{Kind: wire.ReplyEnd, Group: 5}.Append(nil, b.version))
		require.NoError(t, err)
		require.NoError(t, replies.Close())
		_, err = reader.NextGroup(t.Context())
		require.EqualError(t, err, "EOF")
		require.Less(t, time.Since(begin), time.Second)
		require.NoError(t, s.Err())
	})
}

// TestEndBelowAGroup fails the track on lite-06; older peers are forgiven.
func TestEndBelowAGroup(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		p, s, reader, replies := fed(t, b)
		p.uni(uint64(wire.UniGroup), wire.Group{Sequence: 7}.Append(nil, b.version))
		readGroup(t, reader)
		_, err := replies.Write(wire.SubscribeReply{Kind: wire.ReplyEnd, Group: 7}.Append(nil, b.version))
		require.NoError(t, err)
		if !b.version.AnnounceIDs() {
			time.Sleep(time.Second)
			p.uni(uint64(wire.UniGroup), wire.Group{Sequence: 8}.Append(nil, b.version))
			readGroup(t, reader)
			return
		}
		_, err = reader.NextGroup(t.Context())
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamMalformed})
		require.NoError(t, s.Err())
	})
}

// TestUpdateBehindSubscribe: an update that comes right behind its SUBSCRIBE is never undone
// by it.
func TestUpdateBehindSubscribe(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: origin})
		const n = 300
		for id := range uint64(n) {
			m := wire.Subscribe{ID: id, Broadcast: "a", Track: "t", SubscribeParams: wire.SubscribeParams{Priority: 200}}
			update := wire.SubscribeUpdate{SubscribeParams: wire.SubscribeParams{Priority: 1}}
			p.ask(wire.StreamSubscribe, update.Append(m.Append(nil, p.v), p.v))
		}
		time.Sleep(time.Second)
		require.Equal(t, n, track.Demand().Readers)
		require.Equal(t, uint8(1), track.Demand().Priority)
	})
}

// TestTailsAreBounded: what is remembered of updates does not grow with them.
func TestTailsAreBounded(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		_, s, reader, replies := fed(t, b)
		go func() { _, _ = io.Copy(io.Discard, replies) }()
		for i := range uint64(5000) {
			start := 1<<40 - i
			require.NoError(t, reader.Update(pubsub.SubscribeOptions{Start: &start, FirstFrame: 1}))
			time.Sleep(time.Millisecond)
		}
		sub := s.subscription(0)
		sub.mu.Lock()
		defer sub.mu.Unlock()
		require.Less(t, len(sub.tails), 1000)
	})
}

// TestTailAskedAgain: what was asked for again is not the oldest.
func TestTailAskedAgain(t *testing.T) {
	var sub subscription
	ask := func(frame uint64) {
		sub.tell(wire.SubscribeParams{Start: 5, HasStart: true, FrameStart: frame})
	}
	for frame := range uint64(maxTails) {
		ask(frame + 1)
	}
	ask(1)
	ask(maxTails + 1)
	require.True(t, sub.askedFor(5, 1), "asked for one update ago")
}
