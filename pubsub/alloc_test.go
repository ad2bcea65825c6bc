package pubsub

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	allocFrames = 8000
	allocSize   = 128
)

// perGroup is the average number of allocations of filling one group with frames.
func perGroup(t *testing.T, write func(*GroupProducer, Frame) error) float64 {
	t.Helper()
	const runs = 20
	tp := newTestTrack(t, NewOrigin(), time.Hour)
	var groups []*GroupProducer
	for range runs + 1 {
		g, err := tp.AppendGroup()
		require.NoError(t, err)
		groups = append(groups, g)
	}
	payload := make([]byte, allocSize)
	return testing.AllocsPerRun(runs, func() {
		g := groups[0]
		groups = groups[1:]
		for i := range allocFrames {
			if write(g, Frame{Timestamp: time.Duration(i), Payload: payload}) != nil {
				panic("refused")
			}
		}
	})
}

func TestAllocsWriteOwned(t *testing.T) {
	got := perGroup(t, (*GroupProducer).WriteOwned)
	require.LessOrEqual(t, got/allocFrames, 0.1)
	require.LessOrEqual(t, got, float64(groupBlocks), "the index only")
}

func TestAllocsWriteFrame(t *testing.T) {
	got := perGroup(t, (*GroupProducer).WriteFrame)
	require.LessOrEqual(t, got, float64(allocFrames*allocSize)/(64<<10), "one for each 64 KiB")
}

func TestAllocsReading(t *testing.T) {
	p, _ := pair(t)
	for range maxGroupFrames {
		require.NoError(t, p.WriteOwned(Frame{Payload: make([]byte, allocSize)}))
	}
	dst, raw := make([]byte, 0, allocSize), make([]RawFrame, 16)
	for name, read := range map[string]func(*GroupConsumer) error{
		"AppendFrame": func(c *GroupConsumer) error { _, err := c.AppendFrame(bg, dst[:0]); return err },
		"NextFrame":   func(c *GroupConsumer) error { _, err := c.NextFrame(bg); return err },
		"ReadRaw":     func(c *GroupConsumer) error { _, err := c.ReadRaw(bg, raw); return err },
	} {
		c := newGroupConsumer(p.g, nil, 0)
		require.Zero(t, testing.AllocsPerRun(500, func() {
			if read(c) != nil {
				panic("nothing to read")
			}
		}), name)
	}
}

// A frame that is waited for costs nothing either, once the reader has waited before.
func TestAllocsWaking(t *testing.T) {
	p, c := pair(t)
	ctx := testCtx(t)
	ack := make(chan struct{})
	go func() {
		for {
			if _, err := c.NextFrame(ctx); err != nil {
				close(ack)
				return
			}
			ack <- struct{}{}
		}
	}()
	got := testing.AllocsPerRun(5000, func() {
		if p.WriteOwned(Frame{}) != nil {
			panic("refused")
		}
		<-ack
	})
	require.Less(t, got, 0.1)
	require.NoError(t, p.Close())
	<-ack
}

func TestAllocsGroup(t *testing.T) {
	o := NewOrigin()
	tp := newTestTrack(t, o, 0)
	c := subscribe(t, o, SubscribeOptions{})
	payload := make([]byte, allocSize)
	got := testing.AllocsPerRun(1000, func() {
		if tp.WriteFrame(Frame{Payload: payload}) != nil {
			panic("refused")
		}
		if _, err := c.NextGroup(bg); err != nil {
			panic(err)
		}
	})
	require.LessOrEqual(t, got, 4.0)
}

func TestAllocsAnnouncement(t *testing.T) {
	o := NewOrigin()
	feed := o.Feed()
	a := cursor(t, o, "", 0)
	drain(t, a)
	hops := []uint64{5, 6}
	names := make([]string, 2001)
	for i := range names {
		names[i] = "room/" + string(rune('a'+i%26)) + "/" + string(rune('0'+i))
	}
	got := testing.AllocsPerRun(2000, func() {
		if _, err := feed.Attach(Route{Prefix: names[0], Hops: hops}); err != nil {
			panic(err)
		}
		names = names[1:]
		if _, err := a.Next(bg); err != nil {
			panic(err)
		}
	})
	require.LessOrEqual(t, got, 6.0)
}

// heap is what is live.
func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// An evicted group leaves nothing behind: a long track holds what a short one does.
func TestManyGroupsStayFlat(t *testing.T) {
	tp := newTestTrack(t, NewOrigin(), time.Second)
	fill := func(n int) {
		for range n {
			require.NoError(t, tp.WriteFrame(Frame{Timestamp: time.Duration(tp.t.next) * time.Millisecond, Payload: make([]byte, 32)}))
		}
	}
	fill(20_000)
	before := heap()
	fill(100_000)
	require.Less(t, heap(), before+before/4+256<<10)
	runtime.KeepAlive(tp)
}
