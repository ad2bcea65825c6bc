package pubsub

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// TestHandover: a publication that goes on in another process under the same identity is
// not noticed by its readers, under either policy.
func TestHandover(t *testing.T) {
	for name, resume := range map[string]Resume{"live": ResumeLive, "last": ResumeLast} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				pub, tp := source(t, time.Hour)
				o := NewOrigin()
				old := plug(t, pub, o)
				f := o.Follow("b", "t", FollowOptions{Resume: resume})
				wholeGroup(t, tp, 7, 2)
				readFrames(t, next(t, f, 7), 0, 2)
				wholeGroup(t, tp, 8, 2)
				synctest.Wait()

				heir := NewOriginWith(OriginOptions{Identity: pub.Identity(), FirstSequence: pub.NextSequence()})
				goesOn := newTestTrack(t, heir, time.Hour)
				now := plug(t, heir, o)
				old.cut(moqerr.ErrClosed)
				for range 2 {
					require.NoError(t, goesOn.WriteFrame(Frame{Timestamp: time.Minute, Payload: []byte("x")}))
				}
				for seq := uint64(8); seq < 11; seq++ {
					next(t, f, seq)
				}
				require.Zero(t, f.State().LostGroups)
				require.NoError(t, f.Close())
				now.cut(nil)
			})
		})
	}
}

// TestTwoPublishers: a cut group goes on with what another process has of it.
func TestTwoPublishers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		twin := NewOriginWith(OriginOptions{Identity: pub.Identity()})
		other := newTestTrack(t, twin, time.Hour)
		o := NewOrigin()
		first := plug(t, pub, o)
		f := o.Follow("b", "t", FollowOptions{})
		g1, err := tp.CreateGroup(1)
		require.NoError(t, err)
		fillGroup(t, g1, 0, 2)
		wholeGroup(t, other, 1, 4)
		g := next(t, f, 1)
		readFrames(t, g, 0, 2)
		synctest.Wait()
		second := plug(t, twin, o)
		first.cut(errLost)
		readFrames(t, g, 2, 2)
		requireEnd(t, g)
		require.NoError(t, f.Close())
		second.cut(nil)
	})
}

func TestNextSequence(t *testing.T) {
	o := NewOriginWith(OriginOptions{FirstSequence: 40})
	require.Equal(t, uint64(40), o.NextSequence())
	tp := newTestTrack(t, o, 0)
	putGroup(t, tp, 50, 0, 1)
	require.Equal(t, uint64(51), o.NextSequence())
	require.NoError(t, tp.Close())
	require.Equal(t, uint64(51), o.NextSequence())
}

// TestNextSequenceOfWhatIsServed: tracks below a served prefix count, those of others do not.
func TestNextSequenceOfWhatIsServed(t *testing.T) {
	o := NewOrigin()
	room, err := o.Serve("room")
	require.NoError(t, err)
	far, err := o.Attach(Route{Prefix: "far", Hops: []uint64{7}})
	require.NoError(t, err)
	accept := func(h *Requests, path string) *TrackProducer {
		b, err := o.Lookup(path, 0)
		require.NoError(t, err)
		go func() { _, _ = b.Subscribe(testCtx(t), "t", SubscribeOptions{}) }()
		q, err := h.Next(testCtx(t))
		require.NoError(t, err)
		tp, err := q.Accept(TrackInfo{})
		require.NoError(t, err)
		return tp
	}
	putGroup(t, accept(room, "room/1"), 8, 0, 1)
	putGroup(t, accept(far, "far/1"), 80, 0, 1)
	require.Equal(t, uint64(9), o.NextSequence())
	sent := accept(room, "room/2")
	for range 11 {
		_, err := sent.WriteDatagram(Frame{})
		require.NoError(t, err)
	}
	require.Equal(t, uint64(11), o.NextSequence())
	require.NoError(t, sent.Close())
	require.Equal(t, uint64(11), o.NextSequence())
}
