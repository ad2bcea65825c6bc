package pubsub

import (
	"context"
	"errors"
	"testing"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

func attach(t testing.TB, o *Origin, r Route) *Requests {
	t.Helper()
	h, err := o.Attach(r)
	require.NoError(t, err)
	t.Cleanup(func() { h.Close(nil) })
	return h
}

func TestIdentity(t *testing.T) {
	seen := map[uint64]bool{}
	for range 100 {
		id := NewOrigin().Identity()
		require.NotZero(t, id)
		require.Less(t, id, uint64(1<<53))
		require.False(t, seen[id])
		seen[id] = true
	}
	require.Equal(t, uint64(7), NewOriginWith(OriginOptions{Identity: 7}).Identity())
	require.Less(t, NewOriginWith(OriginOptions{Identity: 1 << 60}).Identity(), uint64(1<<53))
}

func TestBroadcastLifecycle(t *testing.T) {
	o := NewOrigin()
	unroutable := &moqerr.StreamError{Code: moqerr.StreamUnroutable}
	b, err := o.CreateBroadcast("/room//cam/")
	require.NoError(t, err)
	require.Equal(t, "room/cam", b.Path())
	_, err = o.CreateBroadcast("room/cam")
	require.ErrorIs(t, err, moqerr.ErrDuplicate)
	_, err = o.CreateBroadcast("a/*")
	var conf *moqerr.ConfigError
	require.ErrorAs(t, err, &conf)

	tp, err := b.CreateTrack("t", TrackInfo{})
	require.NoError(t, err)
	_, err = o.Lookup("room/cam", 0)
	require.ErrorIs(t, err, unroutable, "not announced yet")
	require.NoError(t, b.Announce())
	require.NoError(t, b.Announce())
	c, err := o.Lookup("/room/cam", 0)
	require.NoError(t, err)
	require.Equal(t, "room/cam", c.Path())
	require.Equal(t, o.Identity(), c.Source())
	_, err = c.Subscribe(bg, "unknown", SubscribeOptions{})
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamNotFound})
	sub, err := c.Subscribe(bg, "t", SubscribeOptions{})
	require.NoError(t, err)

	requireOpen(t, c.Closed(), "announced")
	b.Unannounce()
	b.Unannounce()
	requireClosed(t, c.Closed(), "unannounced")
	_, err = c.Subscribe(bg, "t", SubscribeOptions{})
	require.ErrorIs(t, err, unroutable)
	require.NoError(t, tp.WriteNow([]byte("still")))
	_, err = sub.NextGroup(testCtx(t))
	require.NoError(t, err, "running subscriptions go on")

	require.NoError(t, b.Announce())
	c, err = o.Lookup("room/cam", 0)
	require.NoError(t, err)
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	requireClosed(t, c.Closed(), "closed")
	require.ErrorIs(t, b.Announce(), moqerr.ErrClosed)
	_, err = b.CreateTrack("u", TrackInfo{})
	require.ErrorIs(t, err, moqerr.ErrClosed)
	require.ErrorIs(t, tp.WriteNow(nil), moqerr.ErrClosed)
	_, err = o.CreateBroadcast("room/cam")
	require.NoError(t, err, "the path is free again")
}

func TestLookupPrefersTheLongestPrefix(t *testing.T) {
	o := NewOrigin()
	attach(t, o, Route{Prefix: "", Hops: []uint64{1}})
	attach(t, o, Route{Prefix: "room", Hops: []uint64{2}})
	attach(t, o, Route{Prefix: "room/cam/low", Hops: []uint64{3}, Cold: 1000})
	announced(t, o, "room/cam")
	for path, source := range map[string]uint64{
		"other":             1,
		"roomy":             1,
		"room":              2,
		"room/x/y":          2,
		"room/cam":          o.Identity(),
		"room/cam/x":        2, // a local broadcast serves its exact path only
		"room/cam/low":      3,
		"room/cam/low/deep": 3,
	} {
		c, err := o.Lookup(path, 0)
		require.NoError(t, err, path)
		require.Equal(t, source, c.Source(), path)
	}
	c, err := o.Lookup("room/x", 2)
	require.NoError(t, err)
	require.Equal(t, uint64(1), c.Source(), "what came from the asker is invisible")
	c, err = o.Lookup("room/cam", o.Identity())
	require.NoError(t, err)
	require.Equal(t, uint64(2), c.Source())
	_, err = NewOrigin().Lookup("room", 0)
	require.ErrorIs(t, err, &moqerr.StreamError{Code: moqerr.StreamUnroutable})
}

func TestRouteRanking(t *testing.T) {
	// Each is better than all that follow.
	ranked := []Route{
		{Hops: []uint64{7}, Warm: 1, Cold: 2},
		{Hops: []uint64{8}, Warm: 1, Cold: 3},
		{Hops: []uint64{9}, Warm: 2, Cold: 0},
		{Hops: []uint64{10, 11}, Warm: 2, Cold: 0},
		{Hops: []uint64{0}, Warm: 0, Cold: 0},
		{Hops: []uint64{0, 12}, Warm: 0, Cold: 0},
	}
	o := NewOrigin()
	for i := len(ranked) - 1; i >= 0; i-- {
		r := ranked[i]
		r.Prefix = "p"
		attach(t, o, r)
		c, err := o.Lookup("p", 0)
		require.NoError(t, err)
		require.Equal(t, r, c.route.value)
	}
	for i := range ranked {
		r := ranked[i]
		r.Prefix = "q"
		attach(t, o, r)
	}
	c, err := o.Lookup("q", 0)
	require.NoError(t, err)
	require.Equal(t, ranked[0].Hops, c.route.value.Hops, "in whichever order they came")

	attach(t, o, Route{Prefix: "q", Hops: []uint64{33}, Warm: 1, Cold: 2})
	c, err = o.Lookup("q", 0)
	require.NoError(t, err)
	require.Equal(t, uint64(33), c.Source(), "the newest of equals")

	attach(t, o, Route{Prefix: "l", Hops: []uint64{5}})
	announced(t, o, "l")
	attach(t, o, Route{Prefix: "l", Hops: []uint64{6}})
	c, err = o.Lookup("l", 0)
	require.NoError(t, err)
	require.Equal(t, o.Identity(), c.Source(), "local first at equal cost")
	attach(t, o, Route{Prefix: "m", Hops: nil})
	announced(t, o, "m")
	c, err = o.Lookup("m", 0)
	require.NoError(t, err)
	require.Equal(t, o.Identity(), c.Source(), "anonymous last")
}

func TestAttachRefuses(t *testing.T) {
	o := NewOrigin()
	for field, r := range map[string]Route{
		"Route.Prefix": {Prefix: "a/*"},
		"Route.Hops":   {Hops: make([]uint64, 33)},
	} {
		_, err := o.Attach(r)
		var conf *moqerr.ConfigError
		require.ErrorAs(t, err, &conf)
		require.Equal(t, field, conf.Field)
	}
	_, err := o.Attach(Route{Hops: []uint64{1, o.Identity()}})
	require.ErrorIs(t, err, errHopLoop)
	_, err = o.Attach(Route{Hops: make([]uint64, 32)})
	require.NoError(t, err, "zero may repeat")
}

func TestAttachCopiesHops(t *testing.T) {
	o := NewOrigin()
	hops := []uint64{4}
	attach(t, o, Route{Prefix: "p", Hops: hops})
	hops[0] = 5
	c, err := o.Lookup("p", 0)
	require.NoError(t, err)
	require.Equal(t, uint64(4), c.Source())
}

func TestTableIsPruned(t *testing.T) {
	o := NewOrigin()
	h := attach(t, o, Route{Prefix: "a/b/c"})
	b := announced(t, o, "a/b")
	a := o.Announcements("x/y", 0)
	require.Len(t, o.root.children, 2)
	h.Close(nil)
	a.Close()
	require.NoError(t, b.Close())
	require.Equal(t, node{}, o.root, "nothing is left behind")
	require.Empty(t, o.locals)
}

func TestBroadcastWaits(t *testing.T) {
	o := NewOrigin()
	_, err := o.Broadcast(expired(), "b")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	got := make(chan *BroadcastConsumer)
	go func() {
		c, err := o.Broadcast(testCtx(t), "b")
		if err == nil {
			got <- c
		}
		close(got)
	}()
	announced(t, o, "b/other")
	announced(t, o, "b")
	require.Equal(t, "b", (<-got).Path())
	c, err := o.Broadcast(bg, "b")
	require.NoError(t, err, "at once")
	require.Equal(t, o.Identity(), c.Source())
	attach(t, o, Route{Prefix: "far", Hops: []uint64{5}})
	c, err = o.Broadcast(testCtx(t), "far/away")
	require.NoError(t, err, "a route covers it")
	require.Equal(t, uint64(5), c.Source())
	_, err = o.Broadcast(bg, "*")
	require.Error(t, err)
}

func TestSupervise(t *testing.T) {
	o := NewOrigin()
	announced(t, o, "there")
	waits := []struct {
		name string
		wait func(context.Context) error
	}{
		{"Broadcast", func(ctx context.Context) error { _, err := o.Broadcast(ctx, "b"); return err }},
		{"Announced", func(ctx context.Context) error {
			seen := 0
			for a, err := range o.Announced(ctx, "") {
				if err != nil {
					if seen != 2 {
						return errors.New("the present set comes first")
					}
					return err
				}
				_ = a
				seen++
			}
			return nil
		}},
		{"Follow", func(ctx context.Context) error {
			f := o.Follow("b", "t", FollowOptions{})
			defer f.Close()
			_, err := f.NextGroup(ctx)
			return err
		}},
	}
	for _, w := range waits {
		first, second := o.Supervise(), o.Supervise()
		first(errors.New("not the last"))
		first(errors.New("again"))
		require.ErrorIs(t, w.wait(expired()), context.DeadlineExceeded, w.name)

		result := make(chan error)
		go func() { result <- w.wait(testCtx(t)) }()
		cause := errors.New("gave up")
		second(cause)
		require.Equal(t, cause, <-result, w.name)
		require.Equal(t, cause, w.wait(testCtx(t)), w.name)

		third := o.Supervise()
		require.ErrorIs(t, w.wait(expired()), context.DeadlineExceeded, "fed again")
		third(nil)
		require.ErrorIs(t, w.wait(testCtx(t)), moqerr.ErrClosed, w.name)
	}
	_, err := o.Broadcast(bg, "there")
	require.NoError(t, err, "what is there is still found")
}
