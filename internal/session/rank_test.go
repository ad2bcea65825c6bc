package session

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// fakeStream notes its priority.
type fakeStream struct {
	transport.SendStream
	urgency int8
	turns   bool
}

func (s *fakeStream) SetPriority(urgency int8, turns bool) { s.urgency, s.turns = urgency, turns }

// TestRanks: higher priorities before lower ones, and within a track the group in front
// before the newest that waits, and that before all others.
func TestRanks(t *testing.T) {
	var r ranks
	add := func(priority uint8) *publication {
		p := &publication{open: make(map[uint64]*groupWriter)}
		r.add(p, priority)
		return p
	}
	open := func(p *publication, sequence uint64) *fakeStream {
		s := new(fakeStream)
		p.enter(sequence, s, &groupWriter{stream: s, sequence: sequence})
		return s
	}
	urgencies := func(streams ...*fakeStream) (all []int8) {
		for _, s := range streams {
			all = append(all, s.urgency)
		}
		return all
	}
	low := add(60)
	g1 := open(low, 1)
	require.Equal(t, []int8{1}, urgencies(g1))
	g2 := open(low, 2)
	require.Equal(t, []int8{3, 1}, urgencies(g1, g2), "the newer one overtakes")
	g3 := open(low, 3)
	require.Equal(t, []int8{3, 1, 2}, urgencies(g1, g2, g3), "but not one that has overtaken")
	g4, g0 := open(low, 4), open(low, 0)
	require.Equal(t, []int8{3, 3, 1, 3, 2}, urgencies(g0, g1, g2, g3, g4))
	require.True(t, g4.turns)
	require.False(t, g3.turns, "of those behind the oldest goes first")
	low.exit(low.open[2])
	require.Equal(t, []int8{3, 3, 2, 1}, urgencies(g0, g1, g3, g4), "the newest is next")
	low.exit(low.open[3])
	require.Equal(t, []int8{3, 2, 1}, urgencies(g0, g1, g4))
	require.Equal(t, []int8{1, 1}, urgencies(g2, g3), "what is left of them is a packet at most")

	small := new(fakeStream)
	low.enter(5, small, nil)
	require.Equal(t, []int8{1}, urgencies(small), "what is written on the spot waits for nothing")

	high := add(80)
	above := open(high, 9)
	require.Equal(t, []int8{1}, urgencies(above))
	require.Equal(t, []int8{6, 5, 4}, urgencies(g0, g1, g4), "behind all of the other's")
	add(100)
	require.Equal(t, []int8{3, 5, 6, 6}, urgencies(above, g4, g1, g0))
	r.update(low, 200)
	require.Equal(t, []int8{5, 1, 2, 2}, urgencies(above, g4, g1, g0))
	r.remove(high)
	r.update(high, 255)
	require.Len(t, r.members, 2, "who has left stays out")
	for i := range 200 {
		s := open(add(uint8(i)), 1)
		require.GreaterOrEqual(t, s.urgency, int8(urgencyFirst))
		require.LessOrEqual(t, s.urgency, int8(urgencyGroups))
	}
}

// narrow limits what the dialing end of a connection receives.
func (b *bed) narrow(dialed interface{ LocalAddr() net.Addr }, bits int, queue time.Duration) {
	to, err := netip.ParseAddrPort(dialed.LocalAddr().String())
	require.NoError(b.t, err)
	b.net.LimitDown(to.Addr(), bits, queue)
}

// slow is a peer whose link towards it takes so many bits a second.
func slow(b *bed, origin *pubsub.Origin, bits int, queue time.Duration) *peer {
	p, _ := b.against(Config{Publish: origin})
	b.narrow(p.conn, bits, queue)
	return p
}

// arrivals reads every group that comes and tells when each was complete.
func (p *peer) arrivals(ctx context.Context, each func(m wire.Group)) {
	done := make(chan struct{})
	p.t.Cleanup(func() { <-done })
	go func() {
		defer close(done)
		for {
			s, err := p.conn.AcceptUniStream(ctx)
			if err != nil {
				return
			}
			go func() {
				r := wire.NewReader(s)
				if typ, err := r.Varint(); err != nil || typ != uint64(wire.UniGroup) {
					_, _ = io.Copy(io.Discard, s) // gives the credit back
					return
				}
				body, err := r.Message()
				if err != nil {
					return
				}
				m, err := wire.ParseGroup(body, p.v)
				if err != nil {
					return
				}
				if _, err = payloads(r); err == nil {
					each(m)
				}
			}()
		}
	}()
}

// TestUrgentTrackIsNotHeldBackByBulk, on a link that takes a second for each megabit: both
// tracks have more than enough to send, and priorities that are close to each other, from the
// start or since an update.
func TestUrgentTrackIsNotHeldBackByBulk(t *testing.T) {
	for _, from := range []uint8{80, 40} {
		t.Run(fmt.Sprint("from ", from), func(t *testing.T) {
			onVersions(t, func(t *testing.T, b *bed) {
				late := besideBulk(t, b, 60, from, 80)
				t.Logf("a group of 32 kbit came after %v, at most %v", late[15], late[29])
				require.Less(t, late[15], 150*time.Millisecond)
				require.Less(t, late[29], 300*time.Millisecond, "the link's queue, and a loss")
			})
		})
	}
}

// besideBulk returns how late, in order, each of 30 small groups comes beside 80 Mbit of
// another track, whose priority is bulk. Theirs is from, and then to.
func besideBulk(t *testing.T, b *bed, bulk, from, to uint8) (late []time.Duration) {
	t.Helper()
	origin := pubsub.NewOrigin()
	_, large := announced(t, origin, "x", "bulk", pubsub.TrackInfo{})
	_, urgent := announced(t, origin, "y", "urgent", pubsub.TrackInfo{})
	p := slow(b, origin, 1_000_000, 50*time.Millisecond)
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	params := wire.SubscribeParams{Priority: bulk, MaxAge: time.Minute}
	p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "bulk", SubscribeParams: params})
	params.Priority = from
	stream, _ := p.subscribe(wire.Subscribe{ID: 2, Broadcast: "y", Track: "urgent", SubscribeParams: params})
	if params.Priority = to; from != to {
		_, err := stream.Write(wire.SubscribeUpdate{SubscribeParams: params}.Append(nil, b.version))
		require.NoError(t, err)
	}
	arrived := make(chan time.Duration, 100)
	begin := time.Now()
	p.arrivals(ctx, func(m wire.Group) {
		if m.Subscribe == 2 {
			arrived <- time.Since(begin) - time.Duration(m.Sequence)*100*time.Millisecond
		}
	})
	time.Sleep(500 * time.Millisecond)
	for range 10 {
		g, err := large.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: make([]byte, 1<<20)}))
		require.NoError(t, g.Close())
	}
	time.Sleep(500 * time.Millisecond)
	begin = time.Now()
	for i := range 30 {
		at := time.Duration(i) * 100 * time.Millisecond
		require.NoError(t, urgent.WriteFrame(pubsub.Frame{Timestamp: at, Payload: make([]byte, 4000)}))
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(time.Second)
	for len(arrived) > 0 {
		late = append(late, <-arrived)
	}
	require.Len(t, late, 30)
	slices.Sort(late)
	return late
}

// TestTheEndOfAGroupIsNotHeldBack: what the carrier has taken of an old group and not sent when
// its writer is done, which Max Age cannot cut any more, does not wait until newer ones pause.
func TestTheEndOfAGroupIsNotHeldBack(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, track := announced(t, origin, "x", "t", pubsub.TrackInfo{})
		p := slow(b, origin, 1_000_000, 50*time.Millisecond)
		ctx, stop := context.WithCancel(t.Context())
		t.Cleanup(stop)
		p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Second}})
		arrived := make(chan uint64, 1000)
		p.arrivals(ctx, func(m wire.Group) { arrived <- m.Sequence })
		time.Sleep(500 * time.Millisecond)
		old, err := track.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, old.WriteFrame(pubsub.Frame{Payload: make([]byte, 300)}))
		time.Sleep(100 * time.Millisecond)
		for i := range 10 { // half a second of the link each
			at := time.Duration(i) * 10 * time.Millisecond
			require.NoError(t, track.WriteFrame(pubsub.Frame{Timestamp: at, Payload: make([]byte, 62_500)}))
		}
		time.Sleep(time.Second)
		require.NoError(t, old.WriteFrame(pubsub.Frame{Payload: make([]byte, 300)}))
		require.NoError(t, old.Close())
		time.Sleep(500 * time.Millisecond)
		var got []uint64
		for len(arrived) > 0 {
			got = append(got, <-arrived)
		}
		require.Contains(t, got, old.Sequence())
		require.Less(t, len(got), 6, "the link is still busy")
	})
}

// TestTheNewestGroupOvertakes: of groups that all wait for a slow link the newest come first.
func TestTheNewestGroupOvertakes(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		for _, size := range []int{100, 100_000} { // written on the spot, and by a writer each
			origin := pubsub.NewOrigin()
			_, track := announced(t, origin, "x", "t", pubsub.TrackInfo{})
			rate := 1_000_000
			if size == 100 {
				rate = 400_000 // what the carrier may be left with takes longer than late
			}
			p := slow(b, origin, rate, time.Second)
			ctx, stop := context.WithCancel(t.Context())
			t.Cleanup(stop)
			params := wire.SubscribeParams{MaxAge: time.Minute}
			p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: params})
			arrived := make(chan uint64, 1000)
			p.arrivals(ctx, func(m wire.Group) { arrived <- m.Sequence })
			time.Sleep(500 * time.Millisecond)
			count := min(800_000/size, 900)
			if count == 900 { // what is there first fills the link
				require.NoError(t, track.WriteFrame(pubsub.Frame{Payload: make([]byte, 100_000)}))
				time.Sleep(100 * time.Millisecond)
			}
			for i := range count {
				at := time.Duration(i) * time.Millisecond
				require.NoError(t, track.WriteFrame(pubsub.Frame{Timestamp: at, Payload: bytes.Repeat([]byte{1}, size)}))
			}
			last := uint64(count)
			if count == 8 {
				last = 7
			}
			var order []uint64
			for len(order) <= int(last) {
				order = append(order, <-arrived)
			}
			if count == 8 {
				require.Equal(t, []uint64{1, 7, 6, 5, 4, 3, 2, 0}, order, "1 was being sent")
			}
			require.Less(t, slices.Index(order, last), slices.Index(order, last/2), "before what was there first")
		}
	})
}

// TestSameGroupTwice: a group that comes again does not hide the writer of its first copy.
func TestSameGroupTwice(t *testing.T) {
	conf := &quic.Config{
		MaxIncomingStreams: 100, MaxIncomingUniStreams: 100, KeepAlivePeriod: 5 * time.Second,
		InitialStreamReceiveWindow: 4 << 10, MaxStreamReceiveWindow: 4 << 10,
	}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		feed := origin.FeedWith(pubsub.NewBudget(64 << 10))
		requests, err := feed.Attach(pubsub.Route{Prefix: "x", Hops: []uint64{5}})
		require.NoError(t, err)
		p, _ := b.against(Config{Publish: origin})
		stream, _ := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Second}})
		q, err := requests.Next(t.Context())
		require.NoError(t, err)
		tr, err := q.Accept(pubsub.TrackInfo{})
		require.NoError(t, err)
		for range 2 {
			g, err := tr.CreateGroup(5)
			require.NoError(t, err)
			for i := 0; err == nil && i < 10; i++ {
				err = g.WriteRaw(pubsub.RawFrame{Payload: make([]byte, 20<<10)})
				time.Sleep(time.Second)
			}
			require.Error(t, err, "no room")
		}
		require.NoError(t, stream.Close())
		require.NoError(t, stream.SetReadDeadline(time.Now().Add(10*time.Second)))
		_, err = io.ReadAll(stream)
		require.NoError(t, err, "the peer's FIN is answered")
	})
}
