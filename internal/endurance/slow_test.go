package endurance

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/pubsub"
)

// What TestSlowReader publishes on each track, and what it may be kept in.
const (
	groupFrames = 5
	frameBytes  = 2000
	pace        = 20 * time.Millisecond
	offered     = frameBytes * 8 * int(time.Second/pace) // bits a second

	budget      = 1 << 20 // of a reader's origin, and of a publisher's
	relayBudget = 2 << 20
	patience    = 2 * time.Second // of the reader behind the slow link
)

// oddity is what the first of the readers does.
type oddity struct {
	alone bool // in a session of its own
	stops bool // reading after a second, until the publishers rest
	slow  bool // its link carries half of what is offered
}

// crowd is readers in their sessions, of whom the first may be the odd one out.
type crowd struct {
	*bed
	oddity
	begun   time.Time
	writers [2]*writer
	readers []*spectator
	read    chan error
	resume  chan struct{} // closed when the odd one may read on
	budgets int64         // what all caches may hold together
	grown   int64         // live heap
}

// spectator is one reader, and how late was what it read.
type spectator struct {
	ledger
	late []time.Duration
	live int // of these came while there were always newer ones; at the end there is time for all
}

// TestSlowReader: of a hundred readers one stops, or has a link for half of what is offered.
// It loses the oldest groups, is told exactly which, and never loses the newest. The heap
// stays within the budgets, and no frame comes later to anybody else.
func TestSlowReader(t *testing.T) {
	readers, sessions, groups := 100, 10, 300
	if raced {
		readers, sessions, groups = 10, 2, 150
	}
	run := func(t *testing.T, o oddity) *crowd { return runCrowd(t, o, readers, sessions, groups) }
	for _, alone := range []bool{true, false} {
		usual := run(t, oddity{alone: alone})
		require.Zero(t, usual.readers[0].lost)
		t.Run(fmt.Sprintf("stops, alone %v", alone), func(t *testing.T) {
			c := run(t, oddity{alone: alone, stops: true})
			c.compare(t, usual)
			c.stopped(t, usual)
		})
		if alone { // the link is the session's, and would be slow for all in it
			t.Run("slow link", func(t *testing.T) {
				c := run(t, oddity{alone: true, slow: true})
				c.compare(t, usual)
				c.slowed(t)
			})
		}
	}
}

// compare checks that the budgets hold, and that nobody else has noticed.
func (c *crowd) compare(t *testing.T, usual *crowd) {
	t.Logf("%v", &c.readers[0].ledger)
	t.Logf("the heap grew by %d KiB, usually by %d KiB; the budgets allow %d KiB", c.grown>>10, usual.grown>>10, c.budgets>>10)
	limit := c.budgets * 105 / 100
	if c.slow { // each group that it may still want is being written, and has a buffer for it
		limit += int64(patience/(groupFrames*pace)) * 17 << 10
	}
	require.LessOrEqual(t, c.grown, limit)
	var worst float64
	for i := range c.readers[1:] {
		was, is := slices.Sorted(slices.Values(usual.readers[i+1].late)), slices.Sorted(slices.Values(c.readers[i+1].late))
		require.Len(t, is, len(was))
		for _, n := range []int{len(is) / 2, len(is) * 99 / 100, len(is) - 1} {
			worst = max(worst, float64(is[n])/float64(was[n])-1)
			require.InEpsilon(t, was[n], is[n], 0.05, "reader %d, the %dth of %d frames by lateness", i+1, n, len(is))
		}
	}
	t.Logf("the others' latencies (p50, p99, max) rose by %.2f %% at most", 100*worst)
}

// stopped checks the account of a reader who stopped.
func (c *crowd) stopped(t *testing.T, usual *crowd) {
	odd := c.readers[0]
	require.LessOrEqual(t, c.grown, usual.grown*105/100, "nothing is held for it")
	require.Equal(t, 1, odd.gaps, "the oldest, in one piece")
	behind := int64(len(odd.late)-c.early(odd)) * frameBytes
	share := int64(budget / 2)
	if !c.alone {
		share = budget * 3 / 8
	}
	require.LessOrEqual(t, behind, share*105/100, "no more is kept than a track's share")
	// Of the buffers that a group is read into at most half is empty.
	require.Greater(t, behind, share/2, "and not much less")
}

// early counts the frames that a reader got at once.
func (c *crowd) early(s *spectator) int {
	n := slices.IndexFunc(s.late, func(d time.Duration) bool { return d > time.Second })
	require.Positive(c.t, n)
	return n
}

// slowed checks the account of a reader with a slow link.
func (c *crowd) slowed(t *testing.T) {
	odd := c.readers[0]
	require.Greater(t, odd.frames, (odd.frames+odd.lost)*2/5, "the link carries half")
	require.Greater(t, odd.gaps, 1)
	worst := slices.Max(odd.late[:odd.live])
	t.Logf("the latest frame that came to it was %v late", worst)
	require.Less(t, worst, patience+time.Second)
}

// runCrowd publishes so many groups on each of two tracks for so many readers.
func runCrowd(t *testing.T, o oddity, readers, sessions, groups int) (c *crowd) {
	t.Helper()
	origin := func() *pubsub.Origin { return pubsub.NewOriginWith(pubsub.OriginOptions{Budget: relayBudget}) }
	onBed(t, origin, func(t *testing.T, b *bed) {
		c = &crowd{
			bed: b, oddity: o, begun: time.Now(), budgets: relayBudget,
			read: make(chan error, readers), resume: make(chan struct{}),
		}
		for i := range c.writers {
			c.publish(i, groups)
		}
		var sink *pubsub.Origin
		for i := range readers {
			if i%(readers/sessions) == 0 || i == 1 && o.alone {
				sink = c.session(i)
			}
			c.follow(i, sink, groups)
		}
		time.Sleep(time.Second)
		before := heap()
		c.perform(t)
		c.grown = heap() - before
		close(c.resume)
		time.Sleep(5 * time.Second) // what is on the way comes
		for _, w := range c.writers {
			require.NoError(t, w.finishTrack())
		}
		for range c.readers {
			require.NoError(t, <-c.read)
		}
		for _, s := range c.readers {
			require.Equal(t, groups*groupFrames, s.frames+s.lost, "each frame came, or was told as lost")
			require.EqualValues(t, groups, s.group, "the newest came")
			if s != c.readers[0] {
				require.Zero(t, s.lost)
			}
		}
	})
	return c
}

// publish makes one of the tracks, with a publisher of its own.
func (c *crowd) publish(i, groups int) {
	source := pubsub.NewOriginWith(pubsub.OriginOptions{Budget: budget})
	c.budgets += budget / 2 // a track's share
	broadcast, err := source.CreateBroadcast(fmt.Sprint(i))
	require.NoError(c.t, err)
	track, err := broadcast.CreateTrack("t", pubsub.TrackInfo{MaxAge: time.Hour})
	require.NoError(c.t, err)
	require.NoError(c.t, broadcast.Announce())
	c.connect("moqt", moq.Config{Publish: source})
	s := &script{track: fmt.Sprint(i), last: uint64(groups - 1), rest: groupFrames, salt: uint64(i), each: groupFrames, bytes: frameBytes}
	c.writers[i] = &writer{script: s, track: track, begun: c.begun}
}

// session makes a session for readers, from the i-th on.
func (c *crowd) session(i int) *pubsub.Origin {
	sink := pubsub.NewOriginWith(pubsub.OriginOptions{Budget: budget})
	// Of a session's budget older groups are given up from three quarters on; of an origin's
	// one track gets half.
	c.budgets += budget * 3 / 4
	if i == 0 && c.alone {
		c.budgets -= budget / 4
	}
	member := c.connect("moqt", moq.Config{Subscribe: sink})
	member.established(c.t.Context(), 1)
	if i == 0 && c.slow {
		c.net.LimitDown(member.sockets.at()[0].Addr(), offered/2, 100*time.Millisecond)
	}
	return sink
}

// follow lets the i-th reader read one of the tracks from its beginning.
func (c *crowd) follow(i int, sink *pubsub.Origin, groups int) {
	w := c.writers[i%2]
	s := &spectator{ledger: ledger{script: w.script}, late: make([]time.Duration, 0, groups*groupFrames)}
	played := time.Duration(groups-1) * groupFrames * pace
	s.came = func(f pubsub.Frame) {
		now := time.Since(w.begun)
		s.late = append(s.late, now-f.Timestamp)
		if now < played {
			s.live++
		}
	}
	first := uint64(0)
	options := pubsub.FollowOptions{SubscribeOptions: pubsub.SubscribeOptions{Start: &first}}
	if i == 0 && c.stops {
		s.before = func() {
			if len(s.late) >= int(time.Second/pace) {
				<-c.resume
			}
		}
	}
	if i == 0 && c.slow {
		options.MaxAge = patience
		s.tolerate = func(gap pubsub.Gap) error {
			// What is overtaken is waited for as long as it is wanted, by the clock.
			if age := w.age(gap.Last, time.Since(w.begun)); age <= patience {
				return fmt.Errorf("lost, though only %v old: %v, %w", age, gap, gap.Cause)
			}
			return nil
		}
	}
	c.readers = append(c.readers, s)
	f := sink.Follow(s.track, "t", options)
	c.t.Cleanup(func() { _ = f.Close() })
	go func() { c.read <- s.follow(c.t.Context(), f) }()
}

// perform writes all but the last group of each track.
func (c *crowd) perform(t *testing.T) {
	for _, w := range c.writers {
		w.begun = time.Now()
	}
	for c.writers[0].next < c.writers[0].last || c.writers[0].group != nil {
		for _, w := range c.writers {
			require.NoError(t, w.write())
		}
		time.Sleep(pace)
	}
}
