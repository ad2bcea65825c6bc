package pubsub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// cable is a session in memory: what one origin publishes at "b" can be read from another.
// It carries starts, frames and fetches as the wire does.
type cable struct {
	from *Origin
	feed *Feed
	ctx  context.Context
	end  context.CancelFunc
	work sync.WaitGroup

	mu    sync.Mutex
	whole bool                             // groups come whole, as on lite-05
	delay time.Duration                    // of a fetch
	lag   func(group uint64) time.Duration // of what is subscribed to; nil: none
	asked []SubscribeOptions               // what was subscribed to
	fetch []string                         // what was fetched
	dead  context.CancelFunc               // makes the running subscription silent
}

// older makes it one on which groups come whole.
func (c *cable) older(whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.whole = whole
}

// lose makes some groups come late, as if packets of them were lost.
func (c *cable) lose(lag func(group uint64) time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lag = lag
}

// log returns what was subscribed to and what was fetched so far.
func (c *cable) log() (asked []SubscribeOptions, fetched []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.asked), slices.Clone(c.fetch)
}

// stall loses the running subscription without a word.
func (c *cable) stall() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dead()
}

func plug(t testing.TB, from, to *Origin, hops ...uint64) *cable {
	t.Helper()
	c := &cable{from: from, feed: to.Feed()}
	c.ctx, c.end = context.WithCancel(context.Background())
	c.feed.AnswerFetches()
	_, err := c.feed.Attach(Route{Prefix: "b", Hops: append([]uint64{from.Identity()}, hops...)})
	require.NoError(t, err)
	c.work.Go(func() {
		for {
			q, err := c.feed.Next(c.ctx)
			if err != nil {
				return
			}
			c.work.Go(func() { c.subscribe(q) })
		}
	})
	c.work.Go(func() {
		for {
			q, err := c.feed.NextFetch(c.ctx)
			if err != nil {
				return
			}
			c.work.Go(func() { c.serve(q) })
		}
	})
	t.Cleanup(func() { c.cut(nil) }) // a test that fails leaves nothing behind in its bubble
	return c
}

// cut ends it as a lost session does; only the first time counts.
func (c *cable) cut(err error) {
	c.end()
	c.feed.Close(err)
	c.work.Wait()
}

func (c *cable) subscribe(q *Request) {
	d := q.Demand()
	o := SubscribeOptions{Priority: d.Priority, MaxAge: d.MaxAge, Start: d.Start, FirstFrame: d.FirstFrame, End: d.End}
	if d.MaxAge == 0 {
		o.MaxAge = LiveOnly
	}
	c.mu.Lock()
	c.asked = append(c.asked, o)
	ctx, dead := context.WithCancel(c.ctx)
	c.dead = dead
	whole, lag := c.whole, c.lag
	c.mu.Unlock()
	if whole {
		o.FirstFrame = 0
	}
	b, err := c.from.Lookup("b", 0)
	if err != nil {
		q.Reject(err)
		return
	}
	sub, err := b.Subscribe(c.ctx, q.Track(), o)
	if err != nil {
		q.Reject(err)
		return
	}
	defer sub.Close()
	tp, err := q.Accept(sub.Info())
	if err != nil {
		return
	}
	c.work.Go(func() { // nobody reads any more
		defer dead()
		for {
			d := tp.Demand()
			if d.Readers == 0 && tp.Release() {
				return
			}
			select {
			case <-d.Changed:
			case <-c.ctx.Done():
				return
			}
		}
	})
	for begun := false; ; begun = true {
		g, err := sub.NextArrival(ctx)
		if errors.Is(err, io.EOF) {
			final, _ := sub.Final()
			_ = tp.EndAt(final)
			c.work.Go(func() { _ = tp.Close() })
			return
		}
		if err != nil {
			return
		}
		if !begun {
			tp.StartAt(min(g.Sequence(), sub.Floor()))
		}
		copied, err := tp.CreateTail(g.Sequence(), g.Index())
		if err == nil {
			c.work.Go(func() {
				if lag == nil || pauseIn(ctx, lag(g.Sequence())) {
					copyGroup(ctx, g, copied)
				}
			})
		}
	}
}

func (c *cable) serve(q *FetchRequest) {
	o := q.Options()
	c.mu.Lock()
	c.fetch = append(c.fetch, fmt.Sprintf("%d/%d", q.Group(), o.FirstFrame))
	delay := c.delay
	c.mu.Unlock()
	time.Sleep(delay)
	b, err := c.from.Lookup("b", 0)
	if err != nil {
		q.Reject(err)
		return
	}
	g, err := b.Fetch(c.ctx, q.Track(), q.Group(), o)
	if err != nil {
		q.Reject(err)
		return
	}
	p, err := q.Accept(g.g.track.info, o.FirstFrame)
	if err == nil {
		copyGroup(c.ctx, g, p)
	}
}

func copyGroup(ctx context.Context, from *GroupConsumer, to *GroupProducer) {
	defer from.Close()
	var dst [16]RawFrame
	for {
		n, err := from.ReadRaw(ctx, dst[:])
		switch {
		case err == io.EOF:
			_ = to.Close()
			return
		case ctx.Err() != nil: // the end of the session cuts it, or nothing does
			return
		case err != nil:
			to.Fail(err)
			return
		}
		for _, f := range dst[:n] {
			if to.WriteRaw(f) != nil {
				return
			}
		}
	}
}

// source is a publisher with ticks of a millisecond.
func source(t testing.TB, keep time.Duration) (*Origin, *TrackProducer) {
	t.Helper()
	o := NewOrigin()
	return o, newTestTrack(t, o, keep)
}

// scene is a Follower in the middle of a group: it has read two frames of group 1.
type scene struct {
	pub  *Origin
	tp   *TrackProducer
	o    *Origin
	link *cable
	f    *Follower
	open *GroupProducer
	g    *GroupConsumer
}

func newScene(t testing.TB, opts FollowOptions) *scene {
	t.Helper()
	s := &scene{o: NewOrigin()}
	s.pub, s.tp = source(t, time.Hour)
	s.link = plug(t, s.pub, s.o, 7)
	s.f = s.o.Follow("b", "t", opts)
	var err error
	s.open, err = s.tp.CreateGroup(1)
	require.NoError(t, err)
	fillGroup(t, s.open, 0, 2)
	s.g = next(t, s.f, 1)
	readFrames(t, s.g, 0, 2)
	synctest.Wait()
	return s
}

// end leaves nothing behind in a bubble.
func (s *scene) end() {
	_ = s.f.Close()
	s.link.cut(nil)
}

// fillGroup appends frames to a group, 10 ms apart; a group takes a second.
func fillGroup(t testing.TB, g *GroupProducer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		putFrame(t, g, time.Duration(g.Sequence())*time.Second+time.Duration(i)*10*time.Millisecond, i)
	}
}

// wholeGroup writes group seq of n frames.
func wholeGroup(t testing.TB, tp *TrackProducer, seq uint64, n int) {
	t.Helper()
	g, err := tp.CreateGroup(seq)
	require.NoError(t, err)
	fillGroup(t, g, 0, n)
	require.NoError(t, g.Close())
}

// readFrames reads n frames and checks that they go on at from.
func readFrames(t testing.TB, g *GroupConsumer, from, n int) {
	t.Helper()
	for i := from; i < from+n; i++ {
		f, err := g.NextFrame(testCtx(t))
		require.NoError(t, err, "frame %d of group %d", i, g.Sequence())
		require.Equal(t, label(g.Sequence(), i), string(f.Payload))
	}
}

func requireEnd(t testing.TB, g *GroupConsumer) {
	t.Helper()
	_, err := g.NextFrame(testCtx(t))
	require.Equal(t, io.EOF, err)
}

func requireLost(t testing.TB, g *GroupConsumer, frame int, cause error) {
	t.Helper()
	_, err := g.NextFrame(testCtx(t))
	var gap *moqerr.GapError
	require.ErrorAs(t, err, &gap)
	require.Equal(t, Gap{First: g.Sequence(), FirstFrame: frame, Last: g.Sequence(), Cause: cause}, gap.Gap)
	require.ErrorIs(t, err, cause)
}
