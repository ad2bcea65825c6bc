package session

import (
	"context"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// tale is what one reader has seen of a track.
type tale struct {
	whole, cut, gone []uint64        // groups, by what became of them
	late             []time.Duration // of the whole ones
}

// tell reads a track to its end. Group n was closed n times pace after first.
func tell(t *testing.T, c *pubsub.TrackConsumer, first time.Time, pace time.Duration) (out tale) {
	for {
		g, err := c.NextGroup(t.Context())
		if err == io.EOF {
			return out
		}
		require.NoError(t, err)
		for _, gap := range g.Gaps() {
			for seq := gap.First; seq <= gap.Last; seq++ {
				out.gone = append(out.gone, seq)
			}
		}
		for err == nil {
			_, err = g.NextFrame(t.Context())
		}
		if err != io.EOF {
			require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamOld, Remote: true})
			out.cut = append(out.cut, g.Sequence())
			continue
		}
		out.whole = append(out.whole, g.Sequence())
		out.late = append(out.late, time.Since(first)-time.Duration(g.Sequence())*pace)
	}
}

// requireAll checks that each of so many groups is accounted for, in order.
func (told tale) requireAll(t *testing.T, count int) {
	t.Helper()
	seen := make(map[uint64]int)
	for _, all := range [][]uint64{told.whole, told.cut, told.gone} {
		for i, seq := range all {
			require.True(t, i == 0 || all[i-1] < seq, "in order")
			seen[seq]++
		}
	}
	require.Len(t, seen, count, "every group is accounted for")
	for seq, times := range seen {
		require.Equal(t, 1, times, "group %d", seq)
	}
}

// TestSlowSubscriber: whoever reads through a link that carries half of what is published
// loses whole groups, old ones first and the last never, is told which, is never later than
// it asked for, and costs another subscriber nothing. What is published is bounded in memory.
func TestSlowSubscriber(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		const (
			pace, size, count = 100 * time.Millisecond, 25_000, 300
			budget            = 1 << 20
			// Frames are spread over their group, as those of a camera are: each is four or
			// five packets. With eight, quic-go's queue of packets to send is full, and if it
			// is emptied just then the rest is sent only at the next acknowledgement.
			frames   = 5
			interval = pace / frames
		)
		origin := pubsub.NewOriginWith(pubsub.OriginOptions{Budget: budget})
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{MaxAge: 10 * time.Second})
		slow, fast := pubsub.NewOrigin(), pubsub.NewOrigin()
		narrow, _ := b.sessions(Config{Subscribe: slow}, Config{Publish: origin})
		b.sessions(Config{Subscribe: fast}, Config{Publish: origin})
		b.narrow(narrow.conn, 1_000_000, 100*time.Millisecond)
		opts := pubsub.SubscribeOptions{MaxAge: time.Second}
		slowReader := subscribeTo(t, slow, "x", "t", opts)
		fastReader := subscribeTo(t, fast, "x", "t", opts)
		time.Sleep(time.Second)
		first := time.Now().Add((frames - 1) * interval)
		tales := [2]chan tale{make(chan tale, 1), make(chan tale, 1)}
		for i, c := range []*pubsub.TrackConsumer{slowReader, fastReader} {
			go func() { tales[i] <- tell(t, c, first, pace) }()
		}
		for i := range count {
			g, err := tr.AppendGroup()
			require.NoError(t, err)
			for j := range frames {
				at := time.Duration(i)*pace + time.Duration(j)*interval
				require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: at, Payload: make([]byte, size/frames)}))
				if j == frames-1 {
					require.NoError(t, g.Close())
				}
				time.Sleep(interval)
			}
		}
		time.Sleep(3 * time.Second) // the last ones get through
		require.NoError(t, tr.Close())
		ofSlow, ofFast := <-tales[0], <-tales[1]

		require.Len(t, ofFast.whole, count)
		require.Equal(t, latency, slices.Max(ofFast.late), "what a packet takes, and no more")

		ofSlow.requireAll(t, count)
		worst := slices.Max(ofSlow.late[:len(ofSlow.late)*9/10]) // at the end nothing newer comes, and there is time for all
		t.Logf("%d whole, %d cut, %d gone, the latest %v late", len(ofSlow.whole), len(ofSlow.cut), len(ofSlow.gone), worst)
		require.Contains(t, ofSlow.whole, uint64(count-1), "the newest is never lost")
		require.Greater(t, len(ofSlow.whole), count*2/5, "the link carries half")
		require.Less(t, worst, 1500*time.Millisecond)
	})
}

// TestSlowSubscriberOfSmallGroups: groups of a packet each, which a carrier takes without being
// asked twice, are cut by Max Age like others. They neither fill it nor wait in it for ever.
func TestSlowSubscriberOfSmallGroups(t *testing.T) {
	for _, size := range []int{300, 700, 1000, 1100} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			onVersions(t, func(t *testing.T, b *bed) {
				const pace, count = 10 * time.Millisecond, 3000
				origin, slow := pubsub.NewOrigin(), pubsub.NewOrigin()
				_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{MaxAge: 10 * time.Second})
				narrow, _ := b.sessions(Config{Subscribe: slow}, Config{Publish: origin})
				b.narrow(narrow.conn, size*400, 100*time.Millisecond) // half of what is published
				reader := subscribeTo(t, slow, "x", "t", pubsub.SubscribeOptions{MaxAge: time.Second})
				time.Sleep(time.Second)
				told, first := make(chan tale, 1), time.Now()
				go func() { told <- tell(t, reader, first, pace) }()
				for i := range count {
					at := time.Duration(i) * pace
					require.NoError(t, tr.WriteFrame(pubsub.Frame{Timestamp: at, Payload: make([]byte, size)}))
					time.Sleep(pace)
				}
				time.Sleep(5 * time.Second)
				require.NoError(t, tr.Close())
				got := <-told
				got.requireAll(t, count)
				hole, last := time.Duration(0), uint64(0)
				for _, seq := range got.whole {
					hole, last = max(hole, time.Duration(seq-last)*pace), seq
				}
				worst := slices.Max(got.late[:len(got.late)*9/10])
				t.Logf("%d whole, %d cut, the longest hole %v, the latest %v late", len(got.whole), len(got.cut), hole, worst)
				require.Contains(t, got.whole, uint64(count-1), "the newest is never lost")
				require.Greater(t, len(got.whole), count/4, "the link carries half, heads and all")
				require.Less(t, hole, 2*time.Second)
				require.Less(t, worst, 3*time.Second)
			})
		})
	}
}

// TestDropNamesWhatIsTooOld: a peer that gives no credit for streams is told which groups it
// will not get once it does.
func TestDropNamesWhatIsTooOld(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		b.quic.MaxIncomingUniStreams = 3
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{MaxAge: time.Minute})
		p, _ := b.against(Config{Publish: origin})
		_, r := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: 2 * time.Second}})
		time.Sleep(time.Second)
		for range 10 {
			writeGroup(t, tr, 1) // a second of presentation time each
			time.Sleep(100 * time.Millisecond)
		}
		ctx, cancel := context.WithCancel(t.Context())
		t.Cleanup(cancel)
		arrived := make(chan uint64, 20)
		p.arrivals(ctx, func(m wire.Group) { arrived <- m.Sequence })
		time.Sleep(5 * time.Second)
		require.NoError(t, tr.Close())
		lost := make(map[uint64]bool)
		for {
			m, err := wire.ReadSubscribeReply(r, p.v)
			require.NoError(t, err)
			if m.Kind == wire.ReplyEnd {
				require.Equal(t, uint64(10), m.Group)
				break
			}
			if m.Kind == wire.ReplyDrop {
				require.Equal(t, uint64(moqerr.StreamOld), m.Code)
				for seq := m.Group; seq <= m.End; seq++ {
					require.False(t, lost[seq])
					lost[seq] = true
				}
			}
		}
		for len(arrived) > 0 {
			seq := <-arrived
			require.False(t, lost[seq])
			lost[seq] = true
		}
		require.Len(t, lost, 10, "each came, or was said not to come")
	})
}
