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

// answerOne accepts the next request and writes one group that names it.
func answerOne(t *testing.T, next func() (*pubsub.Request, error)) {
	t.Helper()
	q, err := next()
	require.NoError(t, err)
	tr, err := q.Accept(pubsub.TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, tr.WriteNow([]byte(q.Path()+":"+q.Track())))
}

// TestRequestsCrossSessions: what is asked for below a served prefix, or of a broadcast
// that makes its tracks by request, reaches whoever serves it: from either end of a
// session, and through a relay.
func TestRequestsCrossSessions(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		near, middle, far := pubsub.NewOrigin(), pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: near, Subscribe: near}, Config{Publish: middle, Subscribe: middle})
		b.sessions(Config{Publish: far, Subscribe: far}, Config{Publish: middle, Subscribe: middle})
		room, err := near.Serve("room")
		require.NoError(t, err)
		made, err := near.CreateBroadcast("made")
		require.NoError(t, err)
		tracks := made.Tracks()
		require.NoError(t, made.Announce())
		back, err := middle.Serve("back")
		require.NoError(t, err)

		for _, c := range []struct {
			reader *pubsub.Origin
			path   string
			next   func() (*pubsub.Request, error)
		}{
			{far, "room/7/cam", func() (*pubsub.Request, error) { return room.Next(t.Context()) }},
			{middle, "room", func() (*pubsub.Request, error) { return room.Next(t.Context()) }},
			{far, "made", func() (*pubsub.Request, error) { return tracks.Next(t.Context()) }},
			{near, "back/x", func() (*pubsub.Request, error) { return back.Next(t.Context()) }},
		} {
			done := make(chan struct{})
			go func() {
				defer close(done)
				answerOne(t, c.next)
			}()
			reader := subscribeTo(t, c.reader, c.path, "t", pubsub.SubscribeOptions{})
			_, got := readGroup(t, reader)
			require.Equal(t, []string{c.path + ":t"}, got)
			<-done
			require.NoError(t, reader.Close())
		}
	})
}

// TestRequestsThatAreRefused: what nobody serves, what is rejected, and what is never
// answered are three answers, and none of them is silence.
func TestRequestsThatAreRefused(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		near, far := pubsub.NewOrigin(), pubsub.NewOrigin()
		b.sessions(Config{Publish: near}, Config{Subscribe: far})
		room, err := near.Serve("room")
		require.NoError(t, err)
		announced(t, near, "made", "t", pubsub.TrackInfo{})
		ask := func(path, track string) (time.Duration, error) {
			c, err := far.Broadcast(t.Context(), path)
			require.NoError(t, err)
			begin := time.Now()
			_, err = c.Subscribe(t.Context(), track, pubsub.SubscribeOptions{})
			return time.Since(begin), err
		}
		_, err = ask("made", "u")
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamNotFound})
		_, err = ask("made/below", "t") // announced as a prefix, served by nobody
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})

		go func() {
			for { // one reader asks twice: TRACK and SUBSCRIBE
				q, err := room.Next(t.Context())
				if err != nil {
					return
				}
				if q.Path() == "room/x" {
					q.Reject(&moqerr.StreamError{Code: moqerr.StreamApplication + 5})
				}
			}
		}()
		_, err = ask("room/x", "t")
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamApplication + 5})
		took, err := ask("room/y", "t")
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamControlTimeout})
		require.InDelta(t, 30, took.Seconds(), 1)
		room.Close(nil)
		_, err = far.Lookup("nowhere", 0)
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})
	})
}

// TestRequestThatIsTakenBack: a peer that unsubscribes before the answer takes the request
// back.
func TestRequestThatIsTakenBack(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		room, err := origin.Serve("room")
		require.NoError(t, err)
		p, s := b.against(Config{Publish: origin})
		stream, _ := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "room/x", Track: "t"})
		q, err := room.Next(t.Context())
		require.NoError(t, err)
		require.NoError(t, stream.Close())
		<-q.Done()
		_, err = q.Accept(pubsub.TrackInfo{})
		require.ErrorIs(t, err, moqerr.ErrClosed)
		require.NoError(t, s.Err())
	})
}

// TestRefusedRequestsLeaveNothingOpen: a peer that ends only its own side of what we ask has
// an end of ours too, or else refusals would use up the streams that it lets us open.
func TestRefusedRequestsLeaveNothingOpen(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		seen := pubsub.NewOrigin()
		p, _ := b.against(Config{Subscribe: seen})
		p.announce(peerHop, "a")
		far, err := seen.Broadcast(t.Context(), "a")
		require.NoError(t, err)
		refused := &moqerr.StreamError{Code: moqerr.StreamNotFound, Remote: true}
		for _, ask := range []func() error{
			func() error { _, err := far.Subscribe(t.Context(), "t", pubsub.SubscribeOptions{}); return err },
			func() error { _, err := far.TrackInfo(t.Context(), "t"); return err },
			func() error { _, err := far.Fetch(t.Context(), "t", 1, pubsub.FetchOptions{}); return err },
		} {
			end := make(chan error, 1)
			go func() { end <- ask() }()
			track, _ := p.answer(wire.StreamTrack)
			track.Reset(moqerr.StreamNotFound)
			require.ErrorIs(t, <-end, refused)
			_, err = io.ReadAll(track)
			require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamCancelled})
		}
	})
}
