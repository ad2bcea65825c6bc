package session

import (
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// fetched reads what was fetched to its end.
func fetched(t *testing.T, g *pubsub.GroupConsumer) (all []string, err error) {
	t.Helper()
	for {
		f, err := g.NextFrame(t.Context())
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, string(f.Payload))
	}
}

// TestFetchServes: whole groups, and frame ranges where the version has them; what is not
// here is not found, what cannot be covered is too far behind.
func TestFetchServes(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{MaxAge: time.Minute})
		for range 3 {
			writeGroup(t, track, 5)
		}
		p, s := b.against(Config{Publish: origin})
		fetch := func(m wire.Fetch) ([]string, error) {
			m.Broadcast, m.Track = "a", "t"
			_, r := p.ask(wire.StreamFetch, m.Append(nil, b.version))
			return payloads(r)
		}
		whole, err := fetch(wire.Fetch{Group: 1})
		require.NoError(t, err)
		require.Equal(t, want(1, 5), whole)
		_, err = fetch(wire.Fetch{Group: 9})
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamNotFound})
		if b.version.FrameBounds() {
			for _, c := range []struct {
				first, last uint64
				want        []string
				code        moqerr.StreamCode
			}{
				{1, 3, want(2, 5)[1:4], 0},
				{4, 4, want(2, 5)[4:], 0},
				{0, 4, want(2, 5), 0},
				{3, 5, want(2, 5)[3:], moqerr.StreamTooFarBehind},
				{6, 6, nil, moqerr.StreamTooFarBehind},
				{wire.MaxSequence, wire.MaxSequence, nil, moqerr.StreamTooFarBehind},
			} {
				got, err := fetch(wire.Fetch{Group: 2, FrameStart: c.first, FrameEnd: c.last, HasFrameEnd: true})
				if c.code != 0 {
					require.ErrorIs(t, err, &moqerr.StreamError{Code: c.code}, "%+v", c)
					continue
				}
				require.NoError(t, err, "%+v", c)
				require.Equal(t, c.want, got)
			}
			rest, err := fetch(wire.Fetch{Group: 2, FrameStart: 5})
			require.NoError(t, err)
			require.Empty(t, rest, "nothing is left behind the last frame")
		}
		require.NoError(t, s.Err())
	})
}

// TestFetchIsCancelledByFIN: a requester that ends its side has had enough.
func TestFetchIsCancelledByFIN(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		g, err := track.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("x")}))
		p, _ := b.against(Config{Publish: origin})
		stream, r := p.ask(wire.StreamFetch, wire.Fetch{Broadcast: "a", Track: "t"}.Append(nil, b.version))
		_, payload, err := r.Frame()
		require.NoError(t, err)
		require.Equal(t, "x", string(payload))
		require.NoError(t, stream.Close())
		_, _, err = r.Frame()
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamCancelled})
	})
}

// TestFetchThroughASession: what the peer keeps and no subscription brought.
func TestFetchThroughASession(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{MaxAge: time.Minute, Timescale: 1000})
		for range 3 {
			writeGroup(t, track, 5)
		}
		far, err := seen.Broadcast(t.Context(), "a")
		require.NoError(t, err)
		for _, c := range []struct {
			o    pubsub.FetchOptions
			want []string
		}{
			{pubsub.FetchOptions{}, want(1, 5)},
			{pubsub.FetchOptions{FirstFrame: 2}, want(1, 5)[2:]},
			{pubsub.FetchOptions{FirstFrame: 2, Frames: 2}, want(1, 5)[2:4]},
		} {
			g, err := far.Fetch(t.Context(), "t", 1, c.o)
			require.NoError(t, err)
			require.Equal(t, uint64(1), g.Sequence())
			require.Equal(t, c.o.FirstFrame, g.Index())
			got, err := fetched(t, g)
			require.NoError(t, err)
			require.Equal(t, c.want, got)
		}
		g, err := far.Fetch(t.Context(), "t", 1, pubsub.FetchOptions{FirstFrame: 3, Frames: 9})
		if err == nil {
			_, err = fetched(t, g)
		}
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamTooFarBehind, Remote: b.version.FrameBounds()})
		_, err = far.Fetch(t.Context(), "t", 9, pubsub.FetchOptions{})
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamNotFound, Remote: true})
		_, err = far.Fetch(t.Context(), "none", 1, pubsub.FetchOptions{})
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamNotFound, Remote: true})
		g, err = far.Fetch(t.Context(), "t", 1, pubsub.FetchOptions{})
		require.NoError(t, err)
		f, err := g.NextFrame(t.Context())
		require.NoError(t, err)
		require.Equal(t, time.Second, f.Timestamp, "on the track's clock")
	})
}

// TestFetchThatNobodyWaitsFor: the peer learns of it, and of a reader who has had enough.
func TestFetchThatNobodyWaitsFor(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		seen := pubsub.NewOrigin()
		p, _ := b.against(Config{Subscribe: seen})
		p.announce(peerHop, "a")
		far, err := seen.Broadcast(t.Context(), "a")
		require.NoError(t, err)
		taken := make(chan *pubsub.GroupConsumer, 1)
		go func() {
			g, _ := far.Fetch(t.Context(), "t", 3, pubsub.FetchOptions{})
			taken <- g
		}()
		stream, _ := p.answer(wire.StreamFetch)
		track, _ := p.answer(wire.StreamTrack)
		_, err = track.Write(wire.TrackInfo{Timescale: 1000}.Append(nil, b.version))
		require.NoError(t, err)
		_, err = stream.Write(append(wire.AppendFrameHeader(nil, 7, 1), 'x'))
		require.NoError(t, err)
		g := <-taken
		require.NotNil(t, g)
		require.NoError(t, g.Close())
		_, err = io.ReadAll(stream)
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamCancelled})
	})
}

// TestFetchIsBounded: what comes in answer counts against the session's budget, the first
// frame too, before it is whole; and all of it is given back.
func TestFetchIsBounded(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		s, _ := b.sessions(Config{Subscribe: seen, Budget: 1 << 20}, Config{Publish: origin})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{MaxAge: time.Minute})
		for _, frames := range [][]int{{2 << 20}, {1000, 2 << 20}, {1000}} {
			g, err := track.AppendGroup()
			require.NoError(t, err)
			for _, size := range frames {
				require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: make([]byte, size)}))
			}
			require.NoError(t, g.Close())
		}
		far, err := seen.Broadcast(t.Context(), "a")
		require.NoError(t, err)
		idle := s.budget.Held()
		evicted := &moqerr.StreamError{Code: moqerr.StreamEvicted}
		_, err = far.Fetch(t.Context(), "t", 0, pubsub.FetchOptions{})
		require.ErrorIs(t, err, evicted)
		g, err := far.Fetch(t.Context(), "t", 1, pubsub.FetchOptions{})
		require.NoError(t, err)
		_, err = fetched(t, g)
		require.ErrorIs(t, err, evicted)
		require.NoError(t, g.Close())
		g, err = far.Fetch(t.Context(), "t", 2, pubsub.FetchOptions{})
		require.NoError(t, err)
		_, err = fetched(t, g)
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.Equal(t, idle, s.budget.Held())
	})
}

// TestCloseLetsAFetchedGroupLeave: what is being fetched, and is whole, still reaches the
// peer; of a group that is still open what is there.
func TestCloseLetsAFetchedGroupLeave(t *testing.T) {
	const frames, size = 300, 1000 // several round trips
	onVersions(t, func(t *testing.T, b *bed) {
		origin, seen := pubsub.NewOrigin(), pubsub.NewOrigin()
		s, _ := b.sessions(Config{Publish: origin}, Config{Subscribe: seen})
		_, track := announced(t, origin, "a", "t", pubsub.TrackInfo{})
		var groups []*pubsub.GroupProducer
		for range 2 {
			g, err := track.AppendGroup()
			require.NoError(t, err)
			for range frames {
				require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: make([]byte, size)}))
			}
			groups = append(groups, g)
		}
		require.NoError(t, groups[0].Close())
		far, err := seen.Broadcast(t.Context(), "a")
		require.NoError(t, err)
		var got [2][]string
		var ends [2]error
		var reading sync.WaitGroup
		for i := range got {
			reading.Go(func() {
				g, err := far.Fetch(t.Context(), "t", uint64(i), pubsub.FetchOptions{})
				if ends[i] = err; err == nil {
					got[i], ends[i] = fetched(t, g)
				}
			})
		}
		time.Sleep(latency + time.Millisecond) // the requests are there, and the first frames on their way
		began := time.Now()
		require.NoError(t, s.Close())
		require.Less(t, time.Since(began), drainTime, "it waits for nothing else")
		reading.Wait()
		require.NoError(t, ends[0])
		require.Len(t, got[0], frames)
		var ended *moqerr.SessionError
		require.ErrorAs(t, ends[1], &ended)
		require.Equal(t, moqerr.SessionNoError, ended.Code)
		require.Len(t, got[1], frames)
	})
}
