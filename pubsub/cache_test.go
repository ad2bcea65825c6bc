package pubsub

import (
	"io"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

// sequences lists what a track keeps.
func sequences(tp *TrackProducer) (all []uint64) {
	tp.t.mu.Lock()
	defer tp.t.mu.Unlock()
	for _, g := range tp.t.cache.groups {
		all = append(all, g.sequence)
	}
	return all
}

func TestCacheKeepsByPresentationTime(t *testing.T) {
	tp := newTestTrack(t, NewOrigin(), 3*time.Second)
	// Groups of one second each, written at once: the wall clock plays no part.
	for i := range uint64(6) {
		putGroup(t, tp, i, time.Duration(i)*time.Second, 1)
	}
	// Group 1's successor starts 3 s before the newest frame: not more than MaxAge.
	require.Equal(t, []uint64{1, 2, 3, 4, 5}, sequences(tp))
	_, err := tp.CreateGroup(0)
	require.ErrorIs(t, err, moqerr.ErrTooOld)

	// A timestamp far ahead inside the latest group ages the others when the next group begins.
	g := openAt(t, tp, 6, 6*time.Second, 1)
	putFrame(t, g, time.Hour, 1)
	putFrame(t, g, 7*time.Second, 2) // the greatest counts, not the last
	openAt(t, tp, 7, 7*time.Second, 0)
	require.Equal(t, []uint64{6, 7}, sequences(tp), "an empty latest group does not hide the newest time")
	putFrame(t, g, time.Hour, 3)
}

func TestCacheOutOfOrder(t *testing.T) {
	tp := newTestTrack(t, NewOrigin(), 10*time.Second)
	for _, i := range []uint64{5, 3, 4, 9, 1} {
		putGroup(t, tp, i, time.Duration(i)*time.Second, 1)
	}
	require.Equal(t, []uint64{1, 3, 4, 5, 9}, sequences(tp))
	putGroup(t, tp, 15, 15*time.Second, 1)
	require.Equal(t, []uint64{4, 5, 9, 15}, sequences(tp), "3 goes: 4 starts 11 s before 15")
}

func TestEvictedGroup(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Second)
	whole := subscribe(t, o, SubscribeOptions{})
	putGroup(t, tp, 0, 0, 2)
	reader, err := whole.NextGroup(bg)
	require.NoError(t, err)
	open := openAt(t, tp, 1, time.Second, 1)
	cut, err := whole.NextGroup(bg)
	require.NoError(t, err)
	putGroup(t, tp, 2, 10*time.Second, 1)
	putGroup(t, tp, 3, 20*time.Second, 1)
	require.Equal(t, []uint64{2, 3}, sequences(tp)[:2])

	require.ErrorIs(t, open.WriteFrame(Frame{}), moqerr.ErrTooOld)
	got, err := readAll(t, reader)
	require.NoError(t, err, "a reader in the middle of a whole group reads to its end")
	require.Equal(t, []string{"0/0", "0/1"}, got)
	got, err = readAll(t, cut)
	require.Equal(t, []string{"1/0"}, got)
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamOld})
}

func TestLatestGroupIsAlwaysKept(t *testing.T) {
	o := NewOriginWith(OriginOptions{Budget: -1})
	tp := newTestTrack(t, o, -1)
	for i := range uint64(100) {
		putGroup(t, tp, i, time.Duration(i)*time.Hour, 1)
		require.Equal(t, []uint64{i}, sequences(tp))
	}
	g, err := subscribe(t, o, SubscribeOptions{}).NextGroup(bg)
	require.NoError(t, err)
	got, err := readAll(t, g)
	require.NoError(t, err)
	require.Equal(t, []string{"99/0"}, got)
}

// The budget holds for all tracks of an origin together; a track that writes gives up its
// own oldest groups.
func TestBudget(t *testing.T) {
	const budget = 1 << 20
	o := NewOriginWith(OriginOptions{Budget: budget})
	b := announced(t, o, "b")
	var tracks []*TrackProducer
	for _, name := range []string{"x", "y", "z"} {
		tp, err := b.CreateTrack(name, TrackInfo{MaxAge: time.Hour})
		require.NoError(t, err)
		tracks = append(tracks, tp)
	}
	for i := range uint64(300) {
		for _, tp := range tracks {
			g := openAt(t, tp, i, 0, 0)
			for range 10 {
				require.NoError(t, g.WriteFrame(Frame{Payload: make([]byte, 1000)}))
			}
			require.NoError(t, g.Close())
			require.LessOrEqual(t, o.held.Load(), int64(budget+budget/20), "group %d", i)
		}
	}
	require.Greater(t, o.held.Load(), int64(budget/2), "the budget is used")
	require.NoError(t, b.Close())
	require.Zero(t, o.held.Load(), "a closed broadcast gives everything back")
}

func TestBudgetCountsWhatIsHeld(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	g := openAt(t, tp, 0, 0, 0)
	require.Equal(t, groupSize, o.held.Load())
	require.NoError(t, g.WriteFrame(Frame{Payload: []byte("x")}))
	require.Equal(t, groupSize+arenaFirst, o.held.Load(), "capacity, not length")
	require.NoError(t, g.WriteOwned(Frame{Payload: make([]byte, 5000)}))
	require.Equal(t, groupSize+arenaFirst+5000, o.held.Load())
	tp.Abort(moqerr.StreamCancelled)
	require.Zero(t, o.held.Load())
}

func TestNumberOfGroupsIsBounded(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, time.Hour)
	for range maxGroups + 500 {
		require.NoError(t, tp.WriteFrame(Frame{}))
	}
	require.Len(t, sequences(tp), maxGroups)
	require.LessOrEqual(t, len(tp.t.cache.arrivals), maxGroups)
	require.Equal(t, int64(maxGroups)*groupSize, o.held.Load())
	c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
	seq, gap := nextSeq(t, c)
	require.Equal(t, uint64(500), seq)
	require.Equal(t, &moqerr.Gap{First: 0, Last: 499}, gap)
}

// A group far ahead that came first must not make the order of arrival grow for ever.
func TestArrivalsAreCompacted(t *testing.T) {
	tp := newTestTrack(t, NewOrigin(), time.Second)
	putGroup(t, tp, 1<<40, 0, 10) // nine seconds long: what comes before it is too old at once
	for i := range uint64(1000) {
		putGroup(t, tp, i, 0, 0)
	}
	require.Len(t, tp.t.cache.groups, 1)
	require.LessOrEqual(t, len(tp.t.cache.arrivals), 20)
}

// The table against a plain map, with groups in random order.
func TestCacheAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		o := NewOrigin()
		tp := newTestTrack(t, o, 20*time.Second)
		model := map[uint64]bool{}
		latest := uint64(0)
		for range 200 {
			seq := latest + r.Uint64N(30)
			seq -= min(seq, 15)
			_, err := tp.CreateGroup(seq)
			switch {
			case model[seq]:
				require.ErrorIs(t, err, moqerr.ErrDuplicate)
			case err != nil:
				require.ErrorIs(t, err, moqerr.ErrTooOld)
				require.Less(t, seq, tp.t.cache.floor)
			default:
				model[seq] = true
				latest = max(latest, seq)
				require.NoError(t, (&GroupProducer{tp.t.cache.groups[tp.t.cache.at(seq)]}).WriteOwned(Frame{Timestamp: time.Duration(seq) * time.Second}))
			}
			kept := sequences(tp)
			require.IsIncreasing(t, append([]uint64{0}, up(kept)...))
			require.Equal(t, latest, kept[len(kept)-1])
			for s := range model {
				if s < tp.t.cache.floor {
					delete(model, s)
				}
			}
			require.Len(t, kept, len(model))
		}
		require.NoError(t, tp.Close())
		c := subscribe(t, o, SubscribeOptions{Start: ptr(0)})
		n := 0
		for _, err := range c.Groups(testCtx(t)) {
			require.NoError(t, err)
			n++
		}
		require.Equal(t, len(model), n)
		_, err := c.NextGroup(bg)
		require.Equal(t, io.EOF, err)
	}
}

func up(seqs []uint64) (plus []uint64) {
	for _, s := range seqs {
		plus = append(plus, s+1)
	}
	return plus
}

// TestBudgetAfterTheTrackIsGone: an open group counts to its end, also when its track has
// ended before, or else a supplier that ends its tracks early could make us hold anything.
func TestBudgetAfterTheTrackIsGone(t *testing.T) {
	o := NewOrigin()
	feed := o.FeedWith(NewBudget(1 << 20))
	_, err := feed.Attach(Route{Prefix: "b", Hops: []uint64{9}})
	require.NoError(t, err)
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	asked := asking(testCtx(t), b, "t")
	q, err := feed.Next(testCtx(t))
	require.NoError(t, err)
	tp, err := q.Accept(TrackInfo{MaxAge: time.Hour})
	require.NoError(t, err)
	require.NoError(t, (<-asked).err)
	whole, open, endless := openAt(t, tp, 0, 0, 1), openAt(t, tp, 1, 0, 1), openAt(t, tp, 2, 0, 1)
	require.NoError(t, whole.Close())
	require.NoError(t, tp.Close())
	require.Equal(t, 2*(groupSize+arenaFirst), feed.budget.Held(), "what is whole does not count any more")
	require.NoError(t, open.WriteOwned(Frame{Payload: make([]byte, 100_000)}))
	require.Equal(t, 2*(groupSize+arenaFirst)+100_000, feed.budget.Held())
	require.NoError(t, open.Close())
	require.Equal(t, groupSize+arenaFirst, feed.budget.Held(), "given back at its end")
	for err = nil; err == nil; {
		err = endless.WriteOwned(Frame{Payload: make([]byte, 100_000)})
		require.LessOrEqual(t, feed.budget.Held(), int64(1<<20))
	}
	require.ErrorIs(t, err, streamError(moqerr.StreamEvicted))
	tp.t.forget()
	require.Zero(t, feed.budget.Held(), "given back once")
	require.Zero(t, o.held.Load())
	require.Empty(t, o.tracks)
}

// TestGoneTrackIsLetGo: who holds a group of a track that has gone with its session keeps that group,
// and no other.
func TestGoneTrackIsLetGo(t *testing.T) {
	o := NewOrigin()
	l := connect(t, o, []uint64{5, 7}, serving(t, []part{{1, 1, "."}, {2, 1, "."}}))
	b, err := o.Lookup("b", 0)
	require.NoError(t, err)
	begin := uint64(1)
	c, err := b.Subscribe(testCtx(t), "t", SubscribeOptions{Start: &begin})
	require.NoError(t, err)
	first, err := c.NextGroup(testCtx(t))
	require.NoError(t, err)
	second, err := c.NextGroup(testCtx(t))
	require.NoError(t, err)
	other := weak.Make(second.g)
	require.NoError(t, second.Close())
	l.cut(errLost)
	<-l.served
	runtime.GC()
	require.NotNil(t, other.Value(), "the reader could still come to it")
	require.NoError(t, c.Close())
	runtime.GC()
	require.True(t, other.Value() == nil)
	got, err := readAll(t, first)
	require.NoError(t, err)
	require.Equal(t, []string{label(1, 0)}, got)
}
