//go:build interop

package interop

import (
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// way is one relay, carrier and version.
type way struct {
	binary, carrier string
	version         moq.Version
}

var ways = []way{
	{peers.MoqRelay, "https", moq.Lite06},
	{peers.MoqRelay, "moqt", moq.Lite06},
	{peers.MoqRelay, "https", moq.Lite05},
	{peers.MoqRelay, "moqt", moq.Lite05},
	{peers.MoqRelay14, "https", moq.Lite05},
	{peers.MoqRelay14, "moqt", moq.Lite05},
}

// onWays runs f with an origin of ours at either end of a real relay.
func onWays(t *testing.T, f func(t *testing.T, w way, writer, reader *pubsub.Origin)) {
	for _, w := range ways {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			o := Ours{hub: startRelay(t, peers.RelayOptions{Binary: w.binary}), carrier: w.carrier, version: w.version}
			writer, reader := pubsub.NewOrigin(), pubsub.NewOrigin()
			o.dial(t, "writer", moq.Config{Publish: writer})
			o.dial(t, "reader", moq.Config{Subscribe: reader})
			f(t, w, writer, reader)
		})
	}
}

// accept makes every track that is asked for, with one group that names it, and rejects
// those that are called "none".
func accept(t *testing.T, requests *pubsub.Requests) {
	for {
		q, err := requests.Next(t.Context())
		if err != nil {
			return
		}
		if q.Track() == "none" {
			q.Reject(nil)
			continue
		}
		if track, err := q.Accept(pubsub.TrackInfo{}); err == nil {
			_ = track.WriteNow([]byte(q.Path() + ":" + q.Track()))
		}
	}
}

// TestServedPrefix: what lies below a prefix that is served reaches whoever serves it. A relay
// of the older generation takes an announcement for one broadcast, so there only the prefix
// itself can be asked for.
func TestServedPrefix(t *testing.T) {
	onWays(t, func(t *testing.T, w way, writer, reader *pubsub.Origin) {
		room, err := writer.Serve("room")
		require.NoError(t, err)
		go accept(t, room)
		for _, path := range []string{"room", "room/7/cam"} {
			b, err := reader.Broadcast(within(t, 10*time.Second), path)
			require.NoError(t, err)
			sub, err := b.Subscribe(within(t, 10*time.Second), "t", pubsub.SubscribeOptions{})
			if w.binary == peers.MoqRelay14 && path != "room" {
				t.Log("a path below the prefix: ", err)
				require.Error(t, err)
				continue
			}
			require.NoError(t, err)
			group, err := sub.NextGroup(within(t, 10*time.Second))
			require.NoError(t, err)
			frame, err := group.NextFrame(within(t, 10*time.Second))
			require.NoError(t, err)
			require.Equal(t, path+":t", string(frame.Payload))
			_, err = b.Subscribe(within(t, 10*time.Second), "none", pubsub.SubscribeOptions{})
			var refused *moqerr.StreamError
			require.ErrorAs(t, err, &refused)
			t.Log("a track that is rejected: ", err)
		}
	})
}

// TestDatagrams: they reach a reader through the relay, with their numbers and times.
func TestDatagrams(t *testing.T) {
	onWays(t, func(t *testing.T, w way, writer, reader *pubsub.Origin) {
		b, err := writer.CreateBroadcast("b")
		require.NoError(t, err)
		track, err := b.CreateTrack("t", pubsub.TrackInfo{Timescale: 1000})
		require.NoError(t, err)
		require.NoError(t, b.Announce())
		c, err := reader.Broadcast(within(t, 10*time.Second), "b")
		require.NoError(t, err)
		sub, err := c.Subscribe(within(t, 10*time.Second), "t", pubsub.SubscribeOptions{})
		require.NoError(t, err)
		ctx := within(t, 15*time.Second)
		require.NoError(t, demanded(ctx, track))
		seen := make(chan pubsub.RawDatagram, 100)
		go func() {
			for {
				d, err := sub.NextDatagram(ctx)
				if err != nil {
					return
				}
				seen <- d
			}
		}()
		sent := make(map[uint64]string)
		for i := range 50 {
			payload := fmt.Sprint("datagram ", i)
			seq, err := track.WriteDatagram(pubsub.Frame{Timestamp: time.Duration(i) * time.Second, Payload: []byte(payload)})
			require.NoError(t, err)
			sent[seq] = payload
			pause(ctx, 20*time.Millisecond)
		}
		got := 0
		for ; got <= 25 || len(seen) > 0; got++ {
			var d pubsub.RawDatagram
			select {
			case d = <-seen:
			case <-ctx.Done():
				require.Fail(t, "too few arrived", "%d of 50", got)
			}
			require.Equal(t, sent[d.Sequence], string(d.Payload))
			require.Equal(t, 1000*d.Sequence, d.Ticks)
			delete(sent, d.Sequence)
		}
		t.Logf("at least %d of 50 arrived", got)
	})
}

// news makes relay 0.14.12 look at what its readers want of a track: a change alone mostly
// does not, if there is only one reader, but the next thing that happens to the track does.
func news(t *testing.T, c *pubsub.BroadcastConsumer) {
	t.Helper()
	g, err := c.Fetch(within(t, 10*time.Second), "t", 1000, pubsub.FetchOptions{})
	if err == nil {
		_, err = g.NextFrame(within(t, 10*time.Second))
	}
	var refused *moqerr.StreamError
	require.ErrorAs(t, err, &refused)
}

// TestUpdates: priority, bounds and Max Age of a reader reach the writer through the relay,
// and what an end holds back comes when it is raised. With relay 0.14.12 both may need news.
func TestUpdates(t *testing.T) {
	onWays(t, func(t *testing.T, w way, writer, reader *pubsub.Origin) {
		b, err := writer.CreateBroadcast("b")
		require.NoError(t, err)
		track, err := b.CreateTrack("t", pubsub.TrackInfo{MaxAge: time.Minute})
		require.NoError(t, err)
		require.NoError(t, b.Announce())
		c, err := reader.Broadcast(within(t, 10*time.Second), "b")
		require.NoError(t, err)
		sub, err := c.Subscribe(within(t, 10*time.Second), "t", pubsub.SubscribeOptions{Priority: 5})
		require.NoError(t, err)
		ctx := within(t, 20*time.Second)
		require.NoError(t, demanded(ctx, track))
		write := func() { require.NoError(t, track.WriteNow([]byte("x"))) }
		expect := func(first, last uint64) {
			for ; first <= last; first++ {
				g, err := sub.NextGroup(ctx)
				require.NoError(t, err)
				require.Equal(t, first, g.Sequence())
			}
		}
		update := func(o pubsub.SubscribeOptions) {
			require.NoError(t, sub.Update(o))
			for w.binary == peers.MoqRelay14 && track.Demand().Priority != o.Priority {
				require.NoError(t, ctx.Err())
				news(t, c) // which may overtake the update: hence again
			}
			require.NoError(t, demandedAt(ctx, track, o.Priority))
			demand := track.Demand()
			require.Equal(t, o.MaxAge, demand.MaxAge)
			require.Equal(t, o.End, demand.End)
		}
		write()
		expect(0, 0)
		end := uint64(2)
		update(pubsub.SubscribeOptions{Priority: 200, MaxAge: 30 * time.Second, End: &end})
		for range 4 {
			write()
		}
		expect(1, 2)
		_, err = sub.NextGroup(ctx)
		require.Equal(t, io.EOF, err)
		update(pubsub.SubscribeOptions{Priority: 100, MaxAge: 20 * time.Second})
		expect(3, 4)
	})
}

// TestBursts: a reader that wants the live group only, of a writer that makes several at a
// time: those that are too old at once are said to be dropped, and the relays take that.
func TestBursts(t *testing.T) {
	onWays(t, func(t *testing.T, _ way, writer, reader *pubsub.Origin) {
		b, err := writer.CreateBroadcast("b")
		require.NoError(t, err)
		track, err := b.CreateTrack("t", pubsub.TrackInfo{})
		require.NoError(t, err)
		require.NoError(t, b.Announce())
		c, err := reader.Broadcast(within(t, 10*time.Second), "b")
		require.NoError(t, err)
		sub, err := c.Subscribe(within(t, 10*time.Second), "t", pubsub.SubscribeOptions{MaxAge: pubsub.LiveOnly})
		require.NoError(t, err)
		ctx := within(t, 20*time.Second)
		require.NoError(t, demanded(ctx, track))
		const bursts, size = 50, 10
		arrived := make(chan struct{}) // the last group
		go func() {
			for i := range bursts * size {
				_ = track.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * time.Second, Payload: []byte("x")})
				if i%size == size-1 {
					pause(ctx, 20*time.Millisecond)
				}
			}
			select {
			case <-arrived:
			case <-ctx.Done():
			}
			_ = track.Close()
		}()
		var last uint64
		read := 0
		for g, err := range sub.Groups(ctx) {
			require.NoError(t, err)
			last = g.Sequence()
			read++
			if last == bursts*size-1 {
				close(arrived)
			}
		}
		t.Logf("%d of %d groups came", read, bursts*size)
		require.Equal(t, uint64(bursts*size-1), last)
	})
}
