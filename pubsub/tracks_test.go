package pubsub

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// asking subscribes in the background and returns where the outcome comes.
func asking(ctx context.Context, b *BroadcastConsumer, track string) chan result {
	out := make(chan result, 1)
	go func() {
		c, err := b.Subscribe(ctx, track, SubscribeOptions{})
		out <- result{c, err}
	}()
	return out
}

type result struct {
	c   *TrackConsumer
	err error
}

// TestTracksByRequest: who asks for a track that nobody has made waits until somebody has,
// and a track that was let go is asked for again, numbered on.
func TestTracksByRequest(t *testing.T) {
	o := NewOrigin()
	producer := announced(t, o, "b")
	requests := producer.Tracks()
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	var last uint64
	for i := range 3 {
		asked := asking(testCtx(t), b, "t")
		q, err := requests.Next(testCtx(t))
		require.NoError(t, err)
		require.Equal(t, "b", q.Path())
		require.Equal(t, "t", q.Track())
		tp, err := q.Accept(TrackInfo{})
		require.NoError(t, err)
		require.Equal(t, uint8(DefaultPriority), tp.Info().Priority, "as of a track that was created")
		r := <-asked
		require.NoError(t, r.err)
		require.NoError(t, tp.WriteNow([]byte("x")))
		seq, _ := nextSeq(t, r.c)
		require.True(t, i == 0 || seq > last, "numbers never go back")
		last = seq
		again, err := b.Subscribe(testCtx(t), "t", SubscribeOptions{})
		require.NoError(t, err, "it is there now: nobody is asked")
		require.NoError(t, again.Close())
		require.NoError(t, r.c.Close())
		require.True(t, tp.Release())
	}
}

// TestATrackThatIsMadeAnswersItsRequest, whoever made it.
func TestATrackThatIsMadeAnswersItsRequest(t *testing.T) {
	o := NewOrigin()
	producer := announced(t, o, "b")
	requests := producer.Tracks()
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	asked := asking(testCtx(t), b, "t")
	q, err := requests.Next(testCtx(t))
	require.NoError(t, err)
	tp, err := producer.CreateTrack("t", TrackInfo{MaxAge: time.Second})
	require.NoError(t, err)
	r := <-asked
	require.NoError(t, r.err)
	require.Equal(t, tp.Info(), r.c.Info())
	_, err = q.Accept(TrackInfo{})
	require.ErrorIs(t, err, moqerr.ErrClosed)
	_, err = producer.CreateTrack("t", TrackInfo{})
	require.ErrorIs(t, err, moqerr.ErrDuplicate)
}

// TestTracksRejectedAndClosed: every end of the requests is an answer.
func TestTracksRejectedAndClosed(t *testing.T) {
	o := NewOrigin()
	producer := announced(t, o, "b")
	requests := producer.Tracks()
	require.Equal(t, requests, producer.Tracks(), "the same ones")
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)

	asked := asking(testCtx(t), b, "t")
	q, err := requests.Next(testCtx(t))
	require.NoError(t, err)
	q.Reject(nil)
	require.ErrorIs(t, (<-asked).err, streamError(moqerr.StreamNotFound))

	asked = asking(testCtx(t), b, "t")
	_, err = requests.Next(testCtx(t))
	require.NoError(t, err)
	require.NoError(t, requests.Close())
	require.ErrorIs(t, (<-asked).err, streamError(moqerr.StreamNotFound))
	_, err = requests.Next(testCtx(t))
	require.ErrorIs(t, err, moqerr.ErrClosed)
	_, err = b.Subscribe(testCtx(t), "t", SubscribeOptions{})
	require.ErrorIs(t, err, streamError(moqerr.StreamNotFound))

	requests = producer.Tracks()
	asked = asking(testCtx(t), b, "t")
	_, err = requests.Next(testCtx(t))
	require.NoError(t, err)
	require.NoError(t, producer.Close())
	require.ErrorIs(t, (<-asked).err, streamError(moqerr.StreamUnroutable))
	_, err = producer.Tracks().Next(testCtx(t))
	require.ErrorIs(t, err, moqerr.ErrClosed)
}

// TestServe: requests for what lies below a served prefix come to whoever serves it, made
// broadcasts and longer prefixes go first, and nothing is left when it is closed.
func TestServe(t *testing.T) {
	o := NewOrigin()
	room, err := o.Serve("room")
	require.NoError(t, err)
	deep, err := o.Serve("room/deep")
	require.NoError(t, err)
	producer := announced(t, o, "room/made")
	_, err = producer.CreateTrack("t", TrackInfo{})
	require.NoError(t, err)

	a := o.Announcements("", 0)
	defer a.Close()
	for range 3 {
		item, err := a.Next(testCtx(t))
		require.NoError(t, err)
		require.True(t, item.Local)
		require.Equal(t, o.Identity(), item.Source())
		require.Empty(t, item.Route.Hops)
	}
	_, err = o.Lookup("room/x", o.Identity())
	require.ErrorIs(t, err, streamError(moqerr.StreamUnroutable), "not for whoever has our identity")
	_, err = o.Lookup("other", 0)
	require.ErrorIs(t, err, streamError(moqerr.StreamUnroutable))

	for path, from := range map[string]*Requests{"room/x": room, "room": room, "room/deep/y": deep} {
		b, err := o.Broadcast(testCtx(t), path)
		require.NoError(t, err)
		asked := asking(testCtx(t), b, "t")
		q, err := from.Next(testCtx(t))
		require.NoError(t, err)
		require.Equal(t, path, q.Path())
		tp, err := q.Accept(TrackInfo{})
		require.NoError(t, err)
		require.Equal(t, uint8(DefaultPriority), tp.Info().Priority)
		require.NoError(t, (<-asked).err)
	}
	b, err := o.Lookup("room/made", 0)
	require.NoError(t, err)
	_, err = b.Subscribe(testCtx(t), "t", SubscribeOptions{})
	require.NoError(t, err, "made, so nobody is asked")
	_, err = b.Subscribe(testCtx(t), "u", SubscribeOptions{})
	require.ErrorIs(t, err, streamError(moqerr.StreamNotFound), "a broadcast answers for itself")
	room.Close(nil)
	_, err = o.Lookup("room/x", 0)
	require.ErrorIs(t, err, streamError(moqerr.StreamUnroutable))
}

// TestServedNumbersNeverGoBack: a track that is let go and asked for again is numbered on,
// since it has the origin's own identity.
func TestServedNumbersNeverGoBack(t *testing.T) {
	o := NewOrigin()
	room, err := o.Serve("room")
	require.NoError(t, err)
	b, err := o.Lookup("room/x", 0)
	require.NoError(t, err)
	for i := range uint64(3) {
		asked := asking(testCtx(t), b, "t")
		q, err := room.Next(testCtx(t))
		require.NoError(t, err)
		tp, err := q.Accept(TrackInfo{})
		require.NoError(t, err)
		g, err := tp.AppendGroup()
		require.NoError(t, err)
		require.Equal(t, i, g.Sequence())
		require.NoError(t, (<-asked).c.Close())
		require.True(t, tp.Release())
	}
}

// lateHome does nothing at the end of its track, as if that were still to come.
type lateHome struct{ home }

func (lateHome) ended(*track, error) {}

// TestNumbersNeverGoBackInBetween: not even for whoever makes a track again before the end of
// the one before has been dealt with.
func TestNumbersNeverGoBackInBetween(t *testing.T) {
	o := NewOrigin()
	room, err := o.Serve("room")
	require.NoError(t, err)
	b, err := o.Lookup("room/x", 0)
	require.NoError(t, err)
	for i := range uint64(3) {
		asked := asking(testCtx(t), b, "t")
		q, err := room.Next(testCtx(t))
		require.NoError(t, err)
		tp, err := q.Accept(TrackInfo{})
		require.NoError(t, err)
		tp.t.home = lateHome{tp.t.home}
		g, err := tp.AppendGroup()
		require.NoError(t, err)
		require.Equal(t, i, g.Sequence())
		require.NoError(t, (<-asked).c.Close())
		require.True(t, tp.Release())
	}
}

// TestRequestsAreBoundedInTime: nobody waits for ever for an answer that does not come, be
// it that the request was not looked at or that it was forgotten.
func TestRequestsAreBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		requests := announced(t, o, "b").Tracks()
		room, err := o.Serve("room")
		require.NoError(t, err)
		begin := time.Now()
		for _, path := range []string{"b", "room/x"} {
			b, err := o.Lookup(path, 0)
			require.NoError(t, err)
			_, err = b.Subscribe(bg, "t", SubscribeOptions{})
			require.ErrorIs(t, err, streamError(moqerr.StreamControlTimeout))
			_, err = b.TrackInfo(bg, "t")
			require.ErrorIs(t, err, streamError(moqerr.StreamControlTimeout))
		}
		require.Equal(t, 4*requestPatience, time.Since(begin))
		ctx, cancel := context.WithTimeout(bg, time.Second)
		defer cancel()
		_, err = requests.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded, "given up, so not offered any more")
		_, err = room.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// TestRequestsAreBoundedInNumber: in requests and in bytes of their names; one that is
// answered makes room for another.
func TestRequestsAreBoundedInNumber(t *testing.T) {
	for name, c := range map[string]struct{ size, fit int }{
		"requests": {10, maxRequests},
		"bytes":    {maxName, maxRequestNames / (maxName + len("room"))},
	} {
		t.Run(name, func(t *testing.T) {
			o := NewOrigin()
			room, err := o.Serve("room")
			require.NoError(t, err)
			ask := func(i int) error {
				name := fmt.Sprintf("%d%s", i, strings.Repeat("x", c.size))[:c.size]
				_, _, err := room.ask(trackKey{"room", name}, new(waiter))
				return err
			}
			for i := range c.fit {
				require.NoError(t, ask(i))
			}
			require.ErrorIs(t, ask(c.fit), streamError(moqerr.StreamInternal))
			q, err := room.Next(testCtx(t))
			require.NoError(t, err)
			q.Reject(nil)
			require.NoError(t, ask(c.fit))
			room.Close(nil)
		})
	}
}
