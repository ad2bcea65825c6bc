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

// between publishes on one side and follows on the other, over sessions that come and go.
type between struct {
	*bed
	pub, sub *pubsub.Origin
	track    *pubsub.TrackProducer
}

func (b *bed) between(info pubsub.TrackInfo) *between {
	w := &between{bed: b, pub: pubsub.NewOrigin(), sub: pubsub.NewOrigin()}
	_, w.track = announced(b.t, w.pub, "a", "t", info)
	return w
}

// connect makes a session and returns the follower's end of it.
func (w *between) connect() *Session {
	_, reader := w.sessions(Config{Publish: w.pub}, Config{Subscribe: w.sub})
	return reader
}

// frames reads n frames of a group, from index on.
func readOn(t *testing.T, g *pubsub.GroupConsumer, from, n int) {
	t.Helper()
	for _, content := range want(g.Sequence(), from+n)[from:] {
		f, err := g.NextFrame(t.Context())
		require.NoError(t, err, content)
		require.Equal(t, content, string(f.Payload))
	}
}

func readEnd(t *testing.T, g *pubsub.GroupConsumer) {
	t.Helper()
	_, err := g.NextFrame(t.Context())
	require.Equal(t, io.EOF, err)
}

func nextGroup(t *testing.T, f *pubsub.Follower, sequence uint64) *pubsub.GroupConsumer {
	t.Helper()
	g, err := f.NextGroup(t.Context())
	require.NoError(t, err)
	require.Equal(t, sequence, g.Sequence())
	require.Empty(t, g.Gaps())
	return g
}

// TestResumeOverSessions: the cut group goes on at its next frame, what is within Max Age
// follows, and what is older is fetched.
func TestResumeOverSessions(t *testing.T) {
	onVersions(t, func(t *testing.T, b *bed) {
		w := b.between(pubsub.TrackInfo{MaxAge: time.Minute})
		s := w.connect()
		f := w.sub.Follow("a", "t", pubsub.FollowOptions{
			Resume: pubsub.ResumeLast, SubscribeOptions: pubsub.SubscribeOptions{MaxAge: 2500 * time.Millisecond},
		})
		defer f.Close()
		writeGroup(t, w.track, 2)
		g := nextGroup(t, f, 0)
		readOn(t, g, 0, 2)
		readEnd(t, g)
		cut, err := w.track.AppendGroup()
		require.NoError(t, err)
		writeFrames(t, cut, 0, 3)
		g = nextGroup(t, f, 1)
		readOn(t, g, 0, 3)
		s.Abort(moqerr.SessionInternal, "lost")
		writeFrames(t, cut, 3, 6)
		require.NoError(t, cut.Close())
		for range 6 {
			writeGroup(t, w.track, 2)
		}
		w.connect()
		readOn(t, g, 3, 3)
		readEnd(t, g)
		for sequence := uint64(2); sequence < 8; sequence++ {
			g = nextGroup(t, f, sequence)
			readOn(t, g, 0, 2)
			readEnd(t, g)
		}
		writeGroup(t, w.track, 1)
		readOn(t, nextGroup(t, f, 8), 0, 1)
		require.Zero(t, f.State().LostGroups)
	})
}

// writeFrames appends frames as writeGroup does.
func writeFrames(t *testing.T, g *pubsub.GroupProducer, from, to int) {
	t.Helper()
	for i, content := range want(g.Sequence(), to)[from:] {
		at := time.Duration(g.Sequence())*time.Second + time.Duration(from+i)*time.Millisecond
		require.NoError(t, g.WriteFrame(pubsub.Frame{Timestamp: at, Payload: []byte(content)}))
	}
}

// TestMoveToAReplacement: a session is replaced while it serves, and nothing is lost or
// comes twice under either policy.
func TestMoveToAReplacement(t *testing.T) {
	for name, resume := range map[string]pubsub.Resume{"live": pubsub.ResumeLive, "last": pubsub.ResumeLast} {
		t.Run(name, func(t *testing.T) {
			onVersions(t, func(t *testing.T, b *bed) {
				w := b.between(pubsub.TrackInfo{MaxAge: time.Minute})
				old := w.connect()
				f := w.sub.Follow("a", "t", pubsub.FollowOptions{Resume: resume})
				defer f.Close()
				stop := make(chan struct{})
				written := make(chan uint64, 1)
				go func() {
					for sequence := uint64(0); ; sequence++ {
						g, err := w.track.AppendGroup()
						require.NoError(t, err)
						for i := range 20 {
							writeFrames(t, g, i, i+1)
							<-time.After(7 * time.Millisecond)
						}
						require.NoError(t, g.Close())
						select {
						case <-stop:
							require.NoError(t, w.track.Close())
							written <- sequence
							return
						default:
						}
					}
				}()
				go func() {
					for range 5 {
						<-time.After(333 * time.Millisecond)
						replacement := w.connect()
						<-time.After(100 * time.Millisecond)
						require.NoError(t, old.Close())
						old = replacement
					}
					close(stop)
				}()
				last := uint64(0)
				for sequence, first := uint64(0), true; ; sequence, first = sequence+1, false {
					g, err := f.NextGroup(t.Context())
					if err == io.EOF {
						break
					}
					require.NoError(t, err)
					if first {
						sequence = g.Sequence()
					}
					require.Equal(t, sequence, g.Sequence())
					require.Empty(t, g.Gaps())
					readOn(t, g, 0, 20)
					readEnd(t, g)
					last = sequence
				}
				require.Equal(t, <-written, last)
				require.EqualValues(t, 5, f.State().Losses)
			})
		})
	}
}

// TestPartOfAGroupOnlyIfAsked: a peer that sends a group without its head to who has not
// got it is refused, and the session goes on.
func TestPartOfAGroupOnlyIfAsked(t *testing.T) {
	inBubble(t, wire.Lite06, nil, func(t *testing.T, b *bed) {
		seen := pubsub.NewOrigin()
		p, s := b.against(Config{Subscribe: seen})
		p.announce(peerHop, "a")
		far, err := seen.Broadcast(t.Context(), "a")
		require.NoError(t, err)
		go func() {
			track, _ := p.answer(wire.StreamTrack)
			_, _ = track.Write(wire.TrackInfo{Timescale: 1000, MaxAge: time.Minute}.Append(nil, b.version))
		}()
		start := uint64(5)
		sub, err := far.Subscribe(t.Context(), "t", pubsub.SubscribeOptions{Start: &start, FirstFrame: 2})
		require.NoError(t, err)
		_, body := p.answer(wire.StreamSubscribe)
		m, err := wire.ParseSubscribe(body, b.version)
		require.NoError(t, err)
		require.Equal(t, wire.SubscribeParams{MaxAge: 5 * time.Second, Start: 5, HasStart: true, FrameStart: 2}, m.SubscribeParams)
		group := func(sequence, first uint64) []byte {
			head := wire.Group{Subscribe: m.ID, Sequence: sequence, FrameStart: first}.Append(nil, b.version)
			return append(wire.AppendFrameHeader(head, 7, 1), 'x')
		}
		p.uni(uint64(wire.UniGroup), group(6, 2))
		p.uni(uint64(wire.UniGroup), group(5, 3))
		<-time.After(time.Second)
		p.uni(uint64(wire.UniGroup), group(5, 2))
		g, err := sub.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(5), g.Sequence())
		require.Equal(t, 2, g.Index())
		_, err = g.NextFrame(t.Context())
		require.NoError(t, err)
		readEnd(t, g)
		p.uni(uint64(wire.UniGroup), group(6, 0))
		g, err = sub.NextGroup(t.Context())
		require.NoError(t, err)
		require.Equal(t, uint64(6), g.Sequence())
		require.NoError(t, s.Err())
	})
}
