package pubsub

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What is delivered over one loss, case by case. All groups of the first link but the last
// skip ones are handed out before the cut; the rest is read after it.
func TestFollowOverALoss(t *testing.T) {
	five, nine, none := []uint64{5}, []uint64{9}, []uint64{0}
	for _, c := range []struct {
		name   string
		first  []part
		skip   int
		source [2][]uint64
		second []part
		want   []string
	}{
		{
			"nothing lost",
			[]part{{0, 2, "."}, {1, 2, "."}},
			0,
			[2][]uint64{five, five},
			[]part{{2, 1, "."}},
			[]string{"0@0+2", "1@0+2", "2@0+1"},
		},
		{
			"whole groups lost",
			[]part{{0, 2, "."}, {1, 2, "."}},
			0,
			[2][]uint64{five, five},
			[]part{{5, 1, "."}, {6, 1, "."}},
			[]string{"0@0+2", "1@0+2", "5@0+1 gap 2/0-4 lost", "6@0+1"},
		},
		{
			"the cut group is still live",
			[]part{{0, 2, "."}, {1, 3, ""}},
			0,
			[2][]uint64{five, five},
			[]part{{1, 5, "."}, {2, 1, "."}},
			[]string{"0@0+2", "1@0+5", "2@0+1"},
		},
		{
			"over another way to the same publisher",
			[]part{{1, 3, ""}},
			0,
			[2][]uint64{{5, 6}, {5, 7, 8}},
			[]part{{1, 4, "."}},
			[]string{"1@0+4"},
		},
		{
			"the cut group had all its frames",
			[]part{{1, 3, ""}},
			0,
			[2][]uint64{five, five},
			[]part{{1, 3, "."}, {2, 1, "."}},
			[]string{"1@0+3", "2@0+1"},
		},
		{
			"the rest of the cut group is lost",
			[]part{{0, 2, "."}, {1, 3, ""}},
			0,
			[2][]uint64{five, five},
			[]part{{2, 1, "."}},
			[]string{"0@0+2", "1@0+3 cut", "2@0+1 gap 1/3-1 lost"},
		},
		{
			"and whole ones after it",
			[]part{{0, 2, "."}, {1, 3, ""}},
			0,
			[2][]uint64{five, five},
			[]part{{7, 1, "."}},
			[]string{"0@0+2", "1@0+3 cut", "7@0+1 gap 1/3-6 lost"},
		},
		{
			"a group without a frame is cut",
			[]part{{0, 2, "."}, {1, 0, ""}},
			0,
			[2][]uint64{five, five},
			[]part{{2, 1, "."}},
			[]string{"0@0+2", "1@0+0 cut", "2@0+1 gap 1/0-1 lost"},
		},
		{
			"the live group had come whole",
			[]part{{0, 2, "."}, {1, 2, "."}},
			0,
			[2][]uint64{five, five},
			[]part{{1, 2, "."}, {2, 1, "."}},
			[]string{"0@0+2", "1@0+2", "2@0+1"},
		},
		{
			"the live group lies further back",
			[]part{{0, 2, "."}, {1, 2, "."}, {2, 2, "."}},
			0,
			[2][]uint64{five, five},
			[]part{{0, 2, "."}, {1, 2, "."}, {2, 2, "."}, {3, 1, "."}},
			[]string{"0@0+2", "1@0+2", "2@0+2", "3@0+1"},
		},
		{
			"two cut groups, the first one lost",
			[]part{{0, 2, "."}, {1, 2, ""}, {2, 1, ""}},
			0,
			[2][]uint64{five, five},
			[]part{{2, 3, "."}, {3, 1, "."}},
			[]string{"0@0+2", "1@0+2 cut", "2@0+3", "3@0+1 gap 1/2-1 lost"},
		},
		{
			"two cut groups, both live",
			[]part{{1, 2, ""}, {2, 1, ""}},
			0,
			[2][]uint64{five, five},
			[]part{{1, 4, "."}, {2, 3, "."}},
			[]string{"1@0+4", "2@0+3"},
		},
		{
			"two cut groups, the second one lost",
			[]part{{1, 2, ""}, {2, 1, ""}},
			0,
			[2][]uint64{five, five},
			[]part{{1, 4, "."}, {3, 3, "."}},
			[]string{"1@0+4", "2@0+1 cut", "3@0+3 gap 2/1-2 lost"},
		},
		{
			"a whole one after the cut one",
			[]part{{1, 2, ""}, {2, 1, "."}},
			0,
			[2][]uint64{five, five},
			[]part{{3, 1, "."}},
			[]string{"1@0+2 cut", "2@0+1", "3@0+1 gap 1/2-1 lost"},
		},
		{
			"received, but not handed out before the cut",
			[]part{{0, 1, "."}, {1, 2, "."}, {2, 3, ""}},
			2,
			[2][]uint64{five, five},
			[]part{{2, 4, "."}, {3, 1, "."}},
			[]string{"0@0+1", "1@0+2", "2@0+4", "3@0+1"},
		},
		{
			"a hole before the cut",
			[]part{{0, 1, "."}, {3, 2, "."}},
			1,
			[2][]uint64{five, five},
			[]part{{4, 1, "."}},
			[]string{"0@0+1", "3@0+2 gap 1/0-2 lost", "4@0+1"},
		},
		{
			"another publisher",
			[]part{{0, 1, "."}, {1, 2, ""}},
			0,
			[2][]uint64{five, nine},
			[]part{{0, 1, "."}, {1, 2, "."}, {4, 1, "."}},
			[]string{"0@0+1", "1@0+2 cut", "0@0+1 gap 1/2-0 restarted lost", "1@0+2", "4@0+1 gap 2/0-3"},
		},
		{
			"another publisher, nothing was cut",
			[]part{{0, 1, "."}, {1, 2, "."}},
			0,
			[2][]uint64{five, nine},
			[]part{{70, 1, "."}},
			[]string{"0@0+1", "1@0+2", "70@0+1 gap 2/0-0 restarted lost"},
		},
		{
			"unknown publisher, numbering goes on",
			[]part{{6, 1, "."}, {7, 2, ""}},
			0,
			[2][]uint64{none, none},
			[]part{{7, 3, "."}, {8, 2, "."}},
			[]string{"6@0+1", "7@0+3", "8@0+2"},
		},
		{
			"unknown publisher, numbering starts again",
			[]part{{6, 1, "."}, {7, 2, "."}},
			0,
			[2][]uint64{nil, five},
			[]part{{0, 3, "."}, {1, 2, "."}},
			[]string{"6@0+1", "7@0+2", "0@0+3 gap 8/0-0 restarted lost", "1@0+2"},
		},
		{
			"a group that its publisher reset long ago",
			[]part{{0, 1, "x"}, {1, 1, "."}, {2, 1, "."}},
			0,
			[2][]uint64{five, five},
			[]part{{3, 1, "."}},
			[]string{"0@0+1 cut", "1@0+1", "2@0+1", "3@0+1"},
		},
		{
			"a reset as the first sign of the loss",
			[]part{{0, 1, "."}, {1, 1, "x"}},
			0,
			[2][]uint64{five, five},
			[]part{{1, 3, "."}},
			[]string{"0@0+1", "1@0+3"},
		},
		{
			"the connection's error on the group, before the track's",
			[]part{{0, 1, "l"}, {1, 1, "."}},
			0,
			[2][]uint64{five, five},
			[]part{{2, 3, "."}},
			[]string{"0@0+1 cut", "1@0+1", "2@0+3 gap 0/1-0 lost"},
		},
	} {
		// The way back is there before the loss is noticed, or comes after it.
		for _, noticed := range []bool{false, true} {
			inBubble(t, fmt.Sprint(c.name, noticed), func(t *testing.T) {
				o := NewOrigin()
				f := follow(t, o, FollowOptions{})
				l := connect(t, o, c.source[0], serving(t, c.first))
				groups := handOut(t, f, len(c.first)-c.skip)
				<-l.served
				l.cut(errLost)
				for noticed {
					g, err := f.NextGroup(expired())
					if err != nil {
						break
					}
					groups = append(groups, g)
				}
				connect(t, o, c.source[1], func(tp *TrackProducer) {
					serving(t, c.second)(tp)
					_ = tp.Close()
				})
				groups = append(groups, finish(t, f)...)
				require.Equal(t, c.want, describeAll(t, groups))
			})
		}
	}
}

// A second cut comes before the resumed group has caught up.
func TestFollowTwoLosses(t *testing.T) {
	for _, c := range []struct {
		name  string
		parts [3][]part
		take  [2]int
		want  []string
	}{
		{
			"the same group, less of it",
			[3][]part{{{1, 3, ""}}, {{1, 2, ""}}, {{1, 5, "."}}},
			[2]int{1, 0},
			[]string{"1@0+5"},
		},
		{
			"the same group, more of it",
			[3][]part{{{1, 3, ""}}, {{1, 4, ""}}, {{1, 5, "."}, {2, 1, "."}}},
			[2]int{1, 0},
			[]string{"1@0+5", "2@0+1"},
		},
		{
			"then it is lost",
			[3][]part{{{1, 3, ""}}, {{1, 4, ""}}, {{4, 5, "."}}},
			[2]int{1, 0},
			[]string{"1@0+4 cut", "4@0+5 gap 1/4-3 lost"},
		},
		{
			"nothing in between",
			[3][]part{{{1, 3, ""}}, {}, {{1, 4, "."}}},
			[2]int{1, 0},
			[]string{"1@0+4"},
		},
		{
			"only what was known in between",
			[3][]part{{{0, 1, "."}, {1, 3, "."}}, {{1, 3, "."}}, {{3, 1, "."}}},
			[2]int{2, 0},
			[]string{"0@0+1", "1@0+3", "3@0+1 gap 2/0-2 lost"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := NewOrigin()
			f := follow(t, o, FollowOptions{})
			var groups []*GroupConsumer
			for i, n := range c.take {
				l := connect(t, o, []uint64{5}, serving(t, c.parts[i]))
				if n > 0 {
					groups = append(groups, handOut(t, f, n)...)
				} else {
					require.Empty(t, visit(t, f, l))
				}
				<-l.served
				l.cut(errLost)
			}
			connect(t, o, []uint64{5}, func(tp *TrackProducer) {
				serving(t, c.parts[2])(tp)
				_ = tp.Close()
			})
			groups = append(groups, finish(t, f)...)
			require.Equal(t, c.want, describeAll(t, groups))
			require.Equal(t, uint64(2), f.State().Losses)
		})
	}
}

// A publisher writes without end; links come and go at random. Every frame is delivered
// once, or named by exactly one gap.
func TestFollowIsExact(t *testing.T) {
	for seed := range uint64(150) {
		inBubble(t, fmt.Sprint(seed), func(t *testing.T) { followRandom(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func followRandom(t *testing.T, r *rand.Rand) {
	const groups = 30
	sizes := make([]int, groups)
	for i := range sizes {
		sizes[i] = r.IntN(5) + 1
	}
	o := NewOrigin()
	f := follow(t, o, FollowOptions{})
	seen := map[string]int{}
	var all []*GroupConsumer
	last := uint64(groups - 1)
	for at, frame := 0, 0; at < groups; {
		// A link carries some groups from the live one on, and is cut within one.
		to := min(at+r.IntN(4), groups-1)
		cutAt := r.IntN(sizes[to] + 1)
		if to == at {
			cutAt = max(cutAt, frame)
		}
		final := to == groups-1 && cutAt == sizes[to]
		l := connect(t, o, []uint64{5}, func(tp *TrackProducer) {
			for g := at; g < to; g++ {
				part{uint64(g), sizes[g], "."}.write(t, tp)
			}
			if final {
				part{uint64(to), sizes[to], "."}.write(t, tp)
				_ = tp.Close()
				return
			}
			part{uint64(to), cutAt, ""}.write(t, tp)
		})
		if final {
			all = append(all, finish(t, f)...)
			break
		}
		all = append(all, visit(t, f, l)...)
		for range r.IntN(4) {
			if g, err := f.NextGroup(expired()); err == nil {
				all = append(all, g)
			}
		}
		<-l.served
		l.cut(errLost)
		// The publisher has gone on, perhaps.
		at, frame = to, cutAt
		if r.IntN(2) == 0 {
			at, frame = min(to+r.IntN(4), groups-1), 0
		}
	}
	covered := uint64(0)
	if len(all) > 0 {
		covered = all[0].Sequence()
	}
	first := covered
	for _, g := range all {
		if gap := g.Gap(); gap != nil {
			for s := gap.First; s <= gap.Last; s++ {
				from := 0
				if s == gap.First {
					from = gap.FirstFrame
				}
				for i := from; i < sizes[s]; i++ {
					seen[label(s, i)]++
				}
			}
		}
		payloads, _ := readAll(t, g)
		for _, p := range payloads {
			seen[p]++
		}
	}
	for s := first; s <= last; s++ {
		for i := range sizes[s] {
			require.Equal(t, 1, seen[label(s, i)], "frame %s", label(s, i))
		}
	}
}

// What a Follower remembers is bounded, also if no group is ever finished.
func TestFollowMemoryIsBounded(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	f := follow(t, o, FollowOptions{})
	for i := range uint64(3 * maxOpen) {
		openAt(t, tp, i, 0, 1)
		handOut(t, f, 1)
	}
	require.Len(t, f.position.open, maxOpen)
}
