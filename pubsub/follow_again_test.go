package pubsub

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

var errLostAgain = errors.New("lost again")

// readAgain reads what is missing of the scene's group, through what losses there are.
func (s *scene) readAgain(t testing.TB, losses func()) {
	t.Helper()
	fillGroup(t, s.open, 2, 4)
	require.NoError(t, s.open.Close())
	done := make(chan struct{})
	go func() {
		defer close(done)
		readFrames(t, s.g, 2, 2)
		requireEnd(t, s.g)
	}()
	synctest.Wait()
	losses()
	<-done
	require.Zero(t, s.f.State().LostGroups)
}

// TestLostAgainBeforeItCame: a group that was cut, and whose subscription was lost again before it
// had brought anything, is no group that its publisher has reset, though later ones came whole.
func TestLostAgainBeforeItCame(t *testing.T) {
	for name, resume := range map[string]Resume{"live": ResumeLive, "last": ResumeLast} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, FollowOptions{Resume: resume})
				defer s.end()
				wholeGroup(t, s.tp, 2, 1)
				later := next(t, s.f, 2)
				readFrames(t, later, 0, 1)
				requireEnd(t, later)
				first := s.link
				silent := connect(t, s.o, []uint64{s.pub.Identity(), 8}, func(*TrackProducer) {})
				first.cut(errLost)
				s.readAgain(t, func() {
					<-silent.served
					time.Sleep(50 * time.Millisecond)
					s.link = plug(t, s.pub, s.o, 9)
					silent.cut(errLostAgain)
				})
			})
		})
	}
}

// TestLostAgainWhileItIsMended: a repair that has brought nothing when the session is lost once
// more is tried again in the next one.
func TestLostAgainWhileItIsMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Resume: ResumeLast, SubscribeOptions: SubscribeOptions{MaxAge: LiveOnly}})
		defer s.end()
		second, err := s.tp.CreateGroup(2)
		require.NoError(t, err)
		fillGroup(t, second, 0, 1)
		g := next(t, s.f, 2)
		readFrames(t, g, 0, 1)
		s.link.cut(errLost)
		done := make(chan struct{})
		go func() {
			defer close(done)
			readFrames(t, g, 1, 1)
			requireEnd(t, g)
		}()
		s.readAgain(t, func() {
			answers := make(chan struct{})
			brief := connect(t, s.o, []uint64{s.pub.Identity(), 7}, func(tp *TrackProducer) {
				<-answers
				part{3, 1, "."}.write(t, tp)
			})
			brief.feed.AnswerFetches()
			close(answers)
			tp := <-brief.served
			q, err := brief.feed.NextFetch(testCtx(t))
			require.NoError(t, err)
			require.EqualValues(t, 1, q.Group())
			_, err = tp.CreateTail(2, 1) // late, and not looked at before the first is mended
			require.NoError(t, err)
			first, err := q.Accept(TrackInfo{Timescale: 1000}, 2)
			require.NoError(t, err)
			fillGroup(t, first, 2, 4)
			require.NoError(t, first.Close())
			time.Sleep(50 * time.Millisecond)
			brief.cut(errLostAgain)
			fillGroup(t, second, 1, 2)
			require.NoError(t, second.Close())
			for seq := uint64(3); seq < 6; seq++ {
				wholeGroup(t, s.tp, seq, 1)
			}
			s.link = plug(t, s.pub, s.o, 7)
		})
		<-done
	})
}

// TestLostWhileItIsInDoubt: a group that was reset on its way, and whose reader has not come to
// that yet, is asked for in the next session, though later ones came whole.
func TestLostWhileItIsInDoubt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pub, tp := source(t, time.Hour)
		wholeGroup(t, tp, 1, 4)
		wholeGroup(t, tp, 2, 1)
		s := &scene{pub: pub, tp: tp, o: NewOrigin()}
		torn := connect(t, s.o, []uint64{pub.Identity(), 7}, serving(t, []part{{1, 2, ""}}))
		s.f = s.o.Follow("b", "t", FollowOptions{Resume: ResumeLast})
		s.g = next(t, s.f, 1)
		readFrames(t, s.g, 0, 2)
		way := <-torn.served
		g := way.t.cache.groups[0]
		g.end(streamError(moqerr.StreamOld))
		part{2, 1, "."}.write(t, way)
		later := next(t, s.f, 2)
		readFrames(t, later, 0, 1)
		requireEnd(t, later)
		torn.cut(errLost)
		s.link = plug(t, pub, s.o, 7)
		readFrames(t, s.g, 2, 2)
		requireEnd(t, s.g)
		require.Zero(t, s.f.State().LostGroups)
		s.end()
	})
}
