package pubsub

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// TestFollowThroughOutages: a publisher writes without pause, links come and go at random,
// are replaced in time, or fall silent. Each frame is delivered once and in order, or named by one gap;
// if everything is kept there is no gap.
func TestFollowThroughOutages(t *testing.T) {
	for seed := range uint64(60) {
		for _, keep := range []time.Duration{time.Hour, 2500 * time.Millisecond} {
			for _, resume := range []Resume{ResumeLast, ResumeLive} {
				name := fmt.Sprint(seed, " ", keep, " ", resume)
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						r := rand.New(rand.NewPCG(seed, 9))
						s := &outages{t: t, r: r, keep: keep, resume: resume}
						s.run()
					})
				})
			}
		}
	}
}

const (
	outageGroups = 40
	outageFrames = 5
)

// outages is one run of the test above.
type outages struct {
	t      *testing.T
	r      *rand.Rand
	keep   time.Duration
	resume Resume

	mu   sync.Mutex
	seen map[string]int  // how often each frame was delivered or named
	told map[string]bool // by the error of its group
	gaps int
}

func (s *outages) run() {
	t := s.t
	s.seen, s.told = make(map[string]int), make(map[string]bool)
	pub, tp := source(t, s.keep)
	o := NewOrigin()
	link := s.plug(pub, o, 100)
	f := o.Follow("b", "t", FollowOptions{
		Resume: s.resume, Stall: 3 * time.Second, SubscribeOptions: SubscribeOptions{Start: ptr(0)},
	})
	parallel := s.r.IntN(2) == 0
	reading := make(chan struct{})
	go func() {
		defer close(reading)
		s.read(f, parallel)
	}()
	synctest.Wait() // it subscribes before the first group
	writing := make(chan struct{})
	go func() {
		defer close(writing)
		for seq := range uint64(outageGroups) {
			g, err := tp.CreateGroup(seq)
			require.NoError(t, err)
			for i := range outageFrames {
				fillGroup(t, g, i, i+1)
				time.Sleep(200 * time.Millisecond)
			}
			require.NoError(t, g.Close())
		}
	}()
	for hop := uint64(101); ; hop++ {
		time.Sleep(time.Duration(s.r.IntN([]int{300, 4000, 4000}[s.r.IntN(3)])) * time.Millisecond)
		select {
		case <-writing:
			time.Sleep(10 * time.Second)
			require.NoError(t, tp.Close())
			<-reading
			_ = f.Close()
			link.cut(nil)
			s.check(f)
			return
		default:
		}
		switch s.r.IntN(4) {
		case 0: // replaced in time
			replacement := s.plug(pub, o, hop)
			time.Sleep(time.Duration(s.r.IntN(300)) * time.Millisecond)
			link.cut(moqerr.ErrClosed)
			link = replacement
		case 1:
			link.mu.Lock()
			dead := link.dead
			link.mu.Unlock()
			if dead != nil {
				dead()
			}
		default:
			link.cut(fmt.Errorf("%w, before hop %d", errLost, hop)) // no two are the same
			time.Sleep(time.Duration(s.r.IntN(5000)) * time.Millisecond)
			link = s.plug(pub, o, hop)
		}
	}
}

// plug makes a link on which groups may come whole, and some of them late.
func (s *outages) plug(from, to *Origin, hop uint64) *cable {
	c := plug(s.t, from, to, hop)
	c.older(s.r.IntN(2) == 0)
	c.lose(func(group uint64) time.Duration {
		r := rand.New(rand.NewPCG(hop, group))
		if r.IntN(3) > 0 {
			return 0
		}
		return time.Duration(r.IntN(1500)) * time.Millisecond
	})
	return c
}

func (s *outages) read(f *Follower, parallel bool) {
	var groups sync.WaitGroup
	defer groups.Wait()
	last := int64(-1)
	for g, err := range f.Groups(s.t.Context()) {
		require.NoError(s.t, err)
		require.Greater(s.t, int64(g.Sequence()), last, "in order")
		last = int64(g.Sequence())
		for _, gap := range g.Gaps() {
			s.name(gap)
		}
		if parallel {
			groups.Go(func() { s.frames(g) })
		} else {
			s.frames(g)
		}
	}
}

func (s *outages) frames(g *GroupConsumer) {
	for i := 0; ; i++ {
		f, err := g.NextFrame(s.t.Context())
		if err == io.EOF {
			return
		}
		if err != nil {
			var gap *moqerr.GapError
			require.ErrorAs(s.t, err, &gap)
			require.Equal(s.t, i, gap.FirstFrame)
			s.broken(gap.Gap)
			return
		}
		require.Equal(s.t, label(g.Sequence(), i), string(f.Payload))
		s.note(string(f.Payload))
	}
}

func (s *outages) name(gap Gap) {
	for seq := gap.First; seq <= gap.Last; seq++ {
		from := 0
		if seq == gap.First {
			from = gap.FirstFrame
		}
		for i := from; i < outageFrames; i++ {
			s.note(label(seq, i))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps++
}

// broken notes what the group's own error has told. No gap does so if no group follows.
func (s *outages) broken(gap Gap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := gap.FirstFrame; i < outageFrames; i++ {
		s.told[label(gap.First, i)] = true
	}
}

func (s *outages) note(frame string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen[frame]++
}

func (s *outages) check(f *Follower) {
	t := s.t
	var missing []string
	begun := s.keep == time.Hour
	for seq := range uint64(outageGroups) {
		for i := range outageFrames {
			n := s.seen[label(seq, i)]
			require.LessOrEqual(t, n, 1, "frame %s", label(seq, i))
			begun = begun || n > 0 // before the first group that came nothing counts as lost
			if begun && n == 0 && !s.told[label(seq, i)] {
				missing = append(missing, label(seq, i))
			}
		}
	}
	if s.resume == ResumeLast && s.keep == time.Hour {
		require.Empty(t, missing)
		require.Empty(t, s.told)
		require.Zero(t, s.gaps)
	}
	if len(missing) > 0 {
		require.NotZero(t, f.State().LostGroups, "lost before the end: %v", missing)
		require.Equal(t, label(outageGroups-1, outageFrames-1), missing[len(missing)-1], "only the end is told by the state alone")
	}
}

// TestRetractedGoesOnAfterAReset: what runs goes on without an announcement, also if a group of it
// is cut that nobody can be asked for.
func TestRetractedGoesOnAfterAReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Resume: ResumeLast})
		defer s.end()
		s.link.feed.Close(nil) // retracted: the subscription goes on
		s.open.Abort(moqerr.StreamOld)
		_, err := s.g.NextFrame(testCtx(t))
		var gap *moqerr.GapError
		if !errors.As(err, &gap) {
			t.Errorf("NextFrame: %v", err)
		}
		wholeGroup(t, s.tp, 2, 2)
		g, err := s.f.NextGroup(testCtx(t))
		require.NoError(t, err)
		require.EqualValues(t, 2, g.Sequence())
		require.Zero(t, s.f.State().Losses)
	})
}

// TestRetractedWhileFilling: nor does what is missing end it.
func TestRetractedWhileFilling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		l := connect(t, o, []uint64{9}, func(tp *TrackProducer) { part{1, 1, "."}.write(t, tp) })
		f := follow(t, o, FollowOptions{Resume: ResumeLast})
		nextSeq(t, f)
		<-l.served
		l.cut(errLost)
		l = connect(t, o, []uint64{9}, func(tp *TrackProducer) { part{4, 1, "."}.write(t, tp) })
		done := background(testCtx(t), f)
		tp := <-l.served
		l.feed.Close(nil)
		require.NoError(t, <-done)
		require.EqualValues(t, 1, f.State().Losses)
		part{5, 1, "."}.write(t, tp)
		seq, gap := nextSeq(t, f)
		require.EqualValues(t, 5, seq)
		require.Nil(t, gap)
		time.Sleep(time.Second)
		_ = f.Close()
		l.cut(errLost)
	})
}

// TestCloseUnblocksACutGroup: whoever waits for the rest of a group hears of its Close.
func TestCloseUnblocksACutGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, FollowOptions{Resume: ResumeLast})
		defer s.end()
		s.link.cut(errLost)
		done := make(chan error, 1)
		go func() {
			_, err := s.g.NextFrame(testCtx(t))
			done <- err
		}()
		synctest.Wait()
		require.NoError(t, s.g.Close())
		synctest.Wait()
		select {
		case err := <-done:
			require.ErrorIs(t, err, moqerr.ErrClosed)
		default:
			t.Error("NextFrame goes on waiting after Close")
			<-done
		}
	})
}

// TestMendedByTheNextSubscription: a group whose rest was asked for in vain, since the relay had
// lost its source, is not given up when the subscription is lost for that.
func TestMendedByTheNextSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := NewOrigin()
		feed := o.Feed()
		feed.AnswerFetches()
		_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{9}})
		require.NoError(t, err)
		f := follow(t, o, FollowOptions{Resume: ResumeLast})
		got := make(chan *GroupConsumer, 2)
		go func() {
			for {
				g, err := f.NextGroup(bg)
				if err != nil {
					return
				}
				got <- g
			}
		}()
		tp := accept(t, feed)
		open := openAt(t, tp, 1, 0, 1)
		one := <-got
		putGroup(t, tp, 2, time.Second, 1)
		<-got
		synctest.Wait()
		rest := make(chan error, 1)
		go func() {
			_, err := readAll(t, one)
			rest <- err
		}()
		open.Abort(moqerr.StreamInternal)
		q, err := feed.NextFetch(testCtx(t))
		require.NoError(t, err)
		q.Reject(&moqerr.StreamError{Code: moqerr.StreamUnroutable, Remote: true})
		synctest.Wait()
		require.Empty(t, rest)
		feed.Close(errLost)
		feed = o.Feed()
		_, err = feed.Attach(Route{Prefix: "b", Hops: []uint64{9}})
		require.NoError(t, err)
		part{1, 3, "."}.write(t, accept(t, feed))
		require.NoError(t, <-rest)
		require.NoError(t, f.Close())
		feed.Close(errLost)
	})
}
