package session

import (
	"context"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// TestLateGroupHoldsTheOnlyStream: a group that is too old is cut although the next one waits for
// its stream.
func TestLateGroupHoldsTheOnlyStream(t *testing.T) {
	conf := &quic.Config{
		MaxIncomingStreams: 100, MaxIncomingUniStreams: 1, KeepAlivePeriod: 5 * time.Second,
		InitialStreamReceiveWindow: 4 << 10, MaxStreamReceiveWindow: 4 << 10,
	}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: origin})
		setup, err := p.conn.AcceptUniStream(t.Context())
		require.NoError(t, err)
		_, err = io.ReadAll(setup)
		require.NoError(t, err)
		p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: 100 * time.Millisecond}})
		time.Sleep(time.Second)
		for i := range 100 {
			require.NoError(t, tr.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * 10 * time.Millisecond, Payload: make([]byte, 10_000)}))
			time.Sleep(10 * time.Millisecond)
		}
		first, err := p.conn.AcceptUniStream(t.Context())
		require.NoError(t, err)
		time.Sleep(2 * time.Second)
		_, err = io.ReadAll(first)
		require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamOld})
		for {
			in, err := p.conn.AcceptUniStream(t.Context())
			require.NoError(t, err)
			if got, err := io.ReadAll(in); err == nil {
				m, err := wire.ParseGroup(got[2:][:got[1]], b.version)
				require.NoError(t, err)
				require.GreaterOrEqual(t, m.Sequence, uint64(88), "within Max Age of the last one")
				require.Greater(t, len(got), 10_000)
				return
			}
		}
	})
}

// starved runs f with a peer that takes three bytes of a stream at a time, unless it reads, and
// whose subscription to tr, with a Max Age of 100 ms, is stream and its replies.
func starved(t *testing.T, f func(t *testing.T, b *bed, p *peer, tr *pubsub.TrackProducer, stream transport.Stream, replies *wire.Reader)) {
	t.Helper()
	conf := &quic.Config{
		MaxIncomingStreams: 100, MaxIncomingUniStreams: 1000, KeepAlivePeriod: 5 * time.Second,
		InitialStreamReceiveWindow: 3, MaxStreamReceiveWindow: 3,
	}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: origin})
		stream, r := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: 100 * time.Millisecond}})
		time.Sleep(5 * time.Second)
		f(t, b, p, tr, stream, r)
	})
}

// TestCutBeforeItsHeader: a group that was cut before anything of it was sent is named in a DROP.
func TestCutBeforeItsHeader(t *testing.T) {
	for name, size := range map[string]int{"small": 200, "large": 10_000} {
		t.Run(name, func(t *testing.T) {
			const count = 60
			starved(t, func(t *testing.T, b *bed, p *peer, tr *pubsub.TrackProducer, _ transport.Stream, r *wire.Reader) {
				gone := make(map[uint64]bool)
				done := make(chan struct{})
				go func() {
					defer close(done)
					for {
						m, err := wire.ReadSubscribeReply(r, b.version)
						if err != nil || m.Kind == wire.ReplyEnd {
							return
						}
						if m.Kind == wire.ReplyDrop {
							for seq := m.Group; seq <= m.End; seq++ {
								gone[seq] = true
							}
						}
					}
				}()
				for i := range count {
					require.NoError(t, tr.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * 10 * time.Millisecond, Payload: make([]byte, size)}))
					time.Sleep(10 * time.Millisecond)
				}
				time.Sleep(time.Second) // all that is too old is cut
				require.NoError(t, tr.Close())
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				p.arrivals(ctx, func(wire.Group) {}) // END is said when the rest has left
				<-done
				var silent []uint64
				for seq := range uint64(count - 20) {
					if !gone[seq] {
						silent = append(silent, seq)
					}
				}
				require.Empty(t, silent, "cut without a word")
			})
		})
	}
}

// TestCutBehindTheEnd: so is one that is cut when the track has ended already.
func TestCutBehindTheEnd(t *testing.T) {
	const count = 60
	starved(t, func(t *testing.T, b *bed, p *peer, tr *pubsub.TrackProducer, _ transport.Stream, r *wire.Reader) {
		seen := make(map[uint64]bool)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				m, err := wire.ReadSubscribeReply(r, b.version)
				if err != nil {
					return
				}
				if m.Kind == wire.ReplyDrop {
					for seq := m.Group; seq <= m.End; seq++ {
						seen[seq] = true
					}
				}
			}
		}()
		for i := range count {
			require.NoError(t, tr.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * 10 * time.Millisecond, Payload: make([]byte, 200)}))
			time.Sleep(10 * time.Millisecond)
		}
		require.NoError(t, tr.Close())
		time.Sleep(time.Second) // all that is too old is cut
		came := make(chan uint64, count)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		p.arrivals(ctx, func(m wire.Group) { came <- m.Sequence })
		<-done
		time.Sleep(10 * time.Second)
		for len(came) > 0 {
			seen[<-came] = true
		}
		var silent []uint64
		for seq := range uint64(count) {
			if !seen[seq] {
				silent = append(silent, seq)
			}
		}
		require.Empty(t, silent, "cut without a word")
	})
}

// TestDropDoesNotWaitForTheEnd: a group that was cut behind the last one is named when the track is
// closed, although that one is still open and END waits for it.
func TestDropDoesNotWaitForTheEnd(t *testing.T) {
	starved(t, func(t *testing.T, b *bed, p *peer, tr *pubsub.TrackProducer, stream transport.Stream, r *wire.Reader) {
		for i := range 3 {
			g, err := tr.AppendGroup()
			require.NoError(t, err)
			for n := range 2 {
				at := time.Duration(i+n) * time.Second
				require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: at, Payload: make([]byte, 10_000)}))
			}
			if i < 2 {
				require.NoError(t, g.Close())
			}
			synctest.Wait() // it is on its way before the next
		}
		time.Sleep(time.Second) // the first two are cut
		require.NoError(t, tr.Close())
		require.NoError(t, stream.SetReadDeadline(time.Now().Add(time.Second)))
		require.Equal(t, wire.ReplyStart, readReply(t, r, b.version).Kind)
		gone := make(map[uint64]bool)
		for {
			m, err := wire.ReadSubscribeReply(r, b.version)
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				break
			}
			require.Equal(t, wire.ReplyDrop, m.Kind)
			for seq := m.Group; seq <= m.End; seq++ {
				gone[seq] = true
			}
		}
		require.Equal(t, map[uint64]bool{0: true, 1: true}, gone)
	})
}

// TestCutUnderAShortMaxAge: a group that was cut is named by a DROP when the next one comes, although
// Max Age, which is longer meanwhile, does not reach it.
func TestCutUnderAShortMaxAge(t *testing.T) {
	starved(t, func(t *testing.T, b *bed, _ *peer, tr *pubsub.TrackProducer, stream transport.Stream, r *wire.Reader) {
		frame := func(at time.Duration) pubsub.Frame {
			return pubsub.Frame{Timestamp: at * time.Second, Payload: make([]byte, 10_000)}
		}
		require.NoError(t, tr.WriteFrame(frame(0)))
		synctest.Wait()
		second, err := tr.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, second.WriteFrame(frame(1)))
		synctest.Wait()
		require.NoError(t, second.WriteFrame(frame(2)))
		time.Sleep(time.Second) // the first is cut
		params := wire.SubscribeParams{MaxAge: time.Hour}
		_, err = stream.Write(wire.SubscribeUpdate{SubscribeParams: params}.Append(nil, b.version))
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.NoError(t, tr.WriteFrame(frame(3)))
		require.NoError(t, stream.SetReadDeadline(time.Now().Add(time.Second)))
		require.Equal(t, wire.ReplyStart, readReply(t, r, b.version).Kind)
		m := readReply(t, r, b.version)
		require.Equal(t, wire.ReplyDrop, m.Kind)
		require.Zero(t, m.Group)
	})
}

// TestTooOldForItsStream: so is one that became too old while it waited for a stream, behind a hole
// in the numbering that Max Age cannot close.
func TestTooOldForItsStream(t *testing.T) {
	conf := &quic.Config{
		MaxIncomingStreams: 100, MaxIncomingUniStreams: 1, KeepAlivePeriod: 5 * time.Second,
		InitialStreamReceiveWindow: 4 << 10, MaxStreamReceiveWindow: 4 << 10,
	}
	inBubble(t, wire.Lite06, conf, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: origin})
		setup, err := p.conn.AcceptUniStream(t.Context())
		require.NoError(t, err)
		_, err = io.ReadAll(setup)
		require.NoError(t, err)
		stream, r := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: 100 * time.Millisecond}})
		time.Sleep(time.Second)
		for i, sequence := range []uint64{1, 3, 4, 5} { // the first has the only stream
			g, err := tr.CreateGroup(sequence)
			require.NoError(t, err)
			require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * time.Second, Payload: make([]byte, 10_000)}))
			require.NoError(t, g.Close())
			synctest.Wait()
		}
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		came := make(chan uint64, 8)
		p.arrivals(ctx, func(m wire.Group) { came <- m.Sequence })
		require.NoError(t, stream.SetReadDeadline(time.Now().Add(5*time.Second)))
		gone := make(map[uint64]bool)
		for {
			m, err := wire.ReadSubscribeReply(r, b.version)
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				break
			}
			if m.Kind == wire.ReplyDrop {
				for seq := m.Group; seq <= m.End; seq++ {
					gone[seq] = true
				}
			}
		}
		require.Contains(t, gone, uint64(3))
		require.NotContains(t, gone, uint64(2), "it may still come")
		require.Len(t, came, 2, "the first was cut, and the newest came")
	})
}

// TestResetGroupIsNamed: so is one that its publisher has reset: the reset may have overtaken the
// head.
func TestResetGroupIsNamed(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		_, tr := announced(t, origin, "x", "t", pubsub.TrackInfo{})
		p, _ := b.against(Config{Publish: origin})
		stream, r := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Hour}})
		time.Sleep(time.Second)
		g, err := tr.AppendGroup()
		require.NoError(t, err)
		require.NoError(t, g.WriteFrame(pubsub.Frame{Payload: []byte("x")}))
		time.Sleep(time.Second)
		g.Abort(moqerr.StreamApplication)
		time.Sleep(time.Second)
		writeGroup(t, tr, 1)
		require.NoError(t, stream.SetReadDeadline(time.Now().Add(time.Second)))
		require.Equal(t, wire.ReplyStart, readReply(t, r, b.version).Kind)
		m := readReply(t, r, b.version)
		require.Equal(t, wire.ReplyDrop, m.Kind)
		require.Zero(t, m.Group)
		require.Zero(t, m.End)
	})
}

// TestDropIsPassedOn: who forwards a track says what was said of groups that never come, also in
// the middle of those that are kept.
func TestDropIsPassedOn(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		origin := pubsub.NewOrigin()
		feed := origin.Feed()
		requests, err := feed.Attach(pubsub.Route{Prefix: "x", Hops: []uint64{5}})
		require.NoError(t, err)
		p, _ := b.against(Config{Publish: origin})
		stream, r := p.subscribe(wire.Subscribe{ID: 1, Broadcast: "x", Track: "t", SubscribeParams: wire.SubscribeParams{MaxAge: time.Hour}})
		q, err := requests.Next(t.Context())
		require.NoError(t, err)
		tr, err := q.Accept(pubsub.TrackInfo{MaxAge: time.Hour})
		require.NoError(t, err)
		for _, seq := range []uint64{1, 3, 5, 6} {
			if seq == 5 {
				tr.Drop(2, 4) // 3 is here
			}
			g, err := tr.CreateGroup(seq)
			require.NoError(t, err)
			require.NoError(t, g.WriteRaw(pubsub.RawFrame{Ticks: seq, Payload: []byte("x")}))
			require.NoError(t, g.Close())
			time.Sleep(time.Second)
		}
		// Before the end, which closes the account.
		require.NoError(t, stream.SetReadDeadline(time.Now().Add(time.Second)))
		var told [][2]uint64
		for {
			m, err := wire.ReadSubscribeReply(r, b.version)
			if err != nil {
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				break
			}
			if m.Kind == wire.ReplyDrop {
				told = append(told, [2]uint64{m.Group, m.End})
			}
		}
		require.Equal(t, [][2]uint64{{2, 2}, {4, 4}}, told)
	})
}

// TestLedgerPassesOnce: a range that the peer was told of is not passed on again.
func TestLedgerPassesOnce(t *testing.T) {
	var l ledger
	var said [][2]uint64
	say := func(first, last uint64) error {
		said = append(said, [2]uint64{first, last})
		return nil
	}
	l.send(5)
	for range 3 {
		require.NoError(t, l.pass(3, 8, say))
	}
	require.NoError(t, l.pass(7, 8, say))
	require.Equal(t, [][2]uint64{{3, 4}, {6, 8}}, said)
	require.NoError(t, l.raise(9, say))
	require.Equal(t, [][2]uint64{{3, 4}, {6, 8}, {0, 2}}, said)
}
