package pubsub

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

// drain reads what is ready, in short form: +path/source, -path/source, "synced".
func drain(t testing.TB, a *Announcements) (got []string) {
	t.Helper()
	for a.Ready() {
		n, err := a.Next(testCtx(t))
		require.NoError(t, err)
		got = append(got, short(a.origin, n))
	}
	return got
}

func short(o *Origin, n Announcement) string {
	sign, source := "-", fmt.Sprint(n.Source())
	if n.Active {
		sign = "+"
	}
	if n.Local {
		source = "local"
		if n.Source() != o.Identity() || n.Route.Hops == nil || len(n.Route.Hops) != 0 {
			source = "wrong"
		}
	}
	if n.Synced {
		return "synced"
	}
	return sign + n.Path + "=" + source
}

func cursor(t testing.TB, o *Origin, prefix string, exclude uint64) *Announcements {
	a := o.Announcements(prefix, exclude)
	t.Cleanup(a.Close)
	return a
}

func TestAnnouncements(t *testing.T) {
	o := NewOrigin()
	b := announced(t, o, "room/a")
	h := attach(t, o, Route{Prefix: "room/b", Hops: []uint64{5, 6}, Warm: 1, Cold: 2})
	attach(t, o, Route{Prefix: "roomy", Hops: []uint64{5}})
	all, room, not5 := cursor(t, o, "", 0), cursor(t, o, "/room/", 0), cursor(t, o, "room", 6)
	got := drain(t, all)
	slices.Sort(got)
	require.Equal(t, []string{"+room/a=local", "+room/b=5", "+roomy=5", "synced"}, got)
	got = drain(t, room)
	require.Equal(t, "synced", got[2])
	require.ElementsMatch(t, []string{"+room/a=local", "+room/b=5", "synced"}, got)
	require.Equal(t, []string{"+room/a=local", "synced"}, drain(t, not5))

	b.Unannounce()
	h.Close(nil)
	require.Equal(t, []string{"-room/a=local", "-room/b=5"}, drain(t, room))
	require.Equal(t, []string{"-room/a=local"}, drain(t, not5))
	require.Equal(t, []string{"synced"}, drain(t, cursor(t, o, "room", 0)))
}

func TestAnnouncementCarriesTheRoute(t *testing.T) {
	o := NewOrigin()
	attach(t, o, Route{Prefix: "p", Hops: []uint64{5, 6}, Warm: 1, Cold: 2})
	n, err := cursor(t, o, "", 0).Next(bg)
	require.NoError(t, err)
	require.Equal(t, Route{Prefix: "p", Hops: []uint64{5, 6}, Warm: 1, Cold: 2}, n.Route)
	require.False(t, n.Local)
}

func TestAnnouncementsAreCoalesced(t *testing.T) {
	o := NewOrigin()
	a := cursor(t, o, "", 0)
	require.Equal(t, []string{"synced"}, drain(t, a))
	h := attach(t, o, Route{Prefix: "p", Hops: []uint64{5}})
	h.Close(nil)
	require.Empty(t, drain(t, a), "came and went unseen")

	h = attach(t, o, Route{Prefix: "p", Hops: []uint64{5}})
	require.Equal(t, []string{"+p=5"}, drain(t, a))
	h.Close(nil)
	h = attach(t, o, Route{Prefix: "p", Hops: []uint64{5, 8}})
	require.Equal(t, []string{"+p=5"}, drain(t, a), "the same publication over another route")
	require.NoError(t, h.Update(Route{Prefix: "p", Hops: []uint64{5, 9}}))
	require.NoError(t, h.Update(Route{Prefix: "p", Hops: []uint64{5, 10}}))
	require.Equal(t, []string{"+p=5"}, drain(t, a), "two updates, one state")
	require.NoError(t, h.Update(Route{Prefix: "p", Hops: []uint64{6}}))
	require.Equal(t, []string{"-p=5", "+p=6"}, drain(t, a), "another publication")
	require.ErrorContains(t, h.Update(Route{Prefix: "q"}), "Route.Prefix")
	h.Close(nil)
	attach(t, o, Route{Prefix: "p", Hops: []uint64{0, 6}})
	require.Equal(t, []string{"-p=6", "+p=0"}, drain(t, a))
	attach(t, o, Route{Prefix: "p", Hops: []uint64{0}})
	require.Equal(t, []string{"-p=0", "+p=0"}, drain(t, a), "an unknown one never proves continuity")
	require.ErrorIs(t, h.Update(Route{Prefix: "p"}), moqerr.ErrClosed)

	b := announced(t, o, "l")
	require.Equal(t, []string{"+l=local"}, drain(t, a))
	b.Unannounce()
	require.NoError(t, b.Announce())
	require.Empty(t, drain(t, a))
	require.NoError(t, b.Close())
	announced(t, o, "l")
	require.Equal(t, []string{"-l=local", "+l=local"}, drain(t, a), "made again")
}

func TestAnnouncementsFollowTheBestRoute(t *testing.T) {
	o := NewOrigin()
	a, split := cursor(t, o, "", 0), cursor(t, o, "", 5)
	drain(t, a)
	drain(t, split)
	cheap := attach(t, o, Route{Prefix: "p", Hops: []uint64{5}})
	require.Equal(t, []string{"+p=5"}, drain(t, a))
	require.Empty(t, drain(t, split))
	attach(t, o, Route{Prefix: "p", Hops: []uint64{6}, Warm: 9})
	require.Empty(t, drain(t, a), "a worse one changes nothing")
	require.Equal(t, []string{"+p=6"}, drain(t, split), "but for whoever must not see the better")
	cheap.Close(nil)
	require.Equal(t, []string{"-p=5", "+p=6"}, drain(t, a))
	require.Empty(t, drain(t, split))
}

func TestRouteFromAbove(t *testing.T) {
	o := NewOrigin()
	a := cursor(t, o, "x/y", 0)
	drain(t, a)
	h := attach(t, o, Route{Prefix: "x", Hops: []uint64{5}})
	require.Equal(t, []string{"+x/y=5"}, drain(t, a), "delivered at the prefix itself")
	announced(t, o, "x/y/z")
	require.Equal(t, []string{"+x/y/z=local"}, drain(t, a))
	b := announced(t, o, "x/y")
	require.Equal(t, []string{"-x/y=5", "+x/y=local"}, drain(t, a))
	require.NoError(t, b.Close())
	require.Equal(t, []string{"-x/y=local", "+x/y=5"}, drain(t, a))
	h.Close(nil)
	require.Equal(t, []string{"-x/y=5"}, drain(t, a))
	local := announced(t, o, "x")
	require.Empty(t, drain(t, a), "a local broadcast covers nothing below it")
	require.NoError(t, local.Close())
}

func TestHiddenSegments(t *testing.T) {
	o := NewOrigin()
	announced(t, o, ".stats/node")
	announced(t, o, "a/.b")
	require.Equal(t, []string{"synced"}, drain(t, cursor(t, o, "", 0)))
	require.Equal(t, []string{"+.stats/node=local", "synced"}, drain(t, cursor(t, o, ".stats", 0)))
	require.Equal(t, []string{"+a/.b=local", "synced"}, drain(t, cursor(t, o, "a/.b", 0)))
}

func TestAnnouncementsClose(t *testing.T) {
	o := NewOrigin()
	a := cursor(t, o, "", 0)
	drain(t, a)
	_, err := a.Next(expired())
	require.ErrorIs(t, err, context.DeadlineExceeded)
	done := make(chan error)
	go func() {
		_, err := a.Next(testCtx(t))
		done <- err
	}()
	a.Close()
	a.Close()
	require.ErrorIs(t, <-done, moqerr.ErrClosed)
	require.True(t, a.Ready())
	announced(t, o, "p")
	_, err = a.Next(bg)
	require.ErrorIs(t, err, moqerr.ErrClosed)
}

// A cursor that is read now and then always ends with the true state, and never says the
// same thing twice.
func TestAnnouncementsAgainstModel(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 30 {
		o := NewOrigin()
		a := cursor(t, o, "r", 9)
		seen := map[string]uint64{}
		live := map[*Requests]Route{}
		read := func() {
			for a.Ready() {
				n, err := a.Next(bg)
				require.NoError(t, err)
				_, was := seen[n.Path]
				switch {
				case n.Synced:
				case n.Active:
					if was {
						require.Equal(t, seen[n.Path], n.Source())
					}
					seen[n.Path] = n.Source()
				default:
					require.True(t, was)
					delete(seen, n.Path)
				}
			}
		}
		for range 300 {
			if len(live) > 0 && r.IntN(2) == 0 {
				for h := range live {
					h.Close(nil)
					delete(live, h)
					break
				}
			} else {
				route := Route{Prefix: fmt.Sprintf("r/%d", r.IntN(8)), Hops: []uint64{r.Uint64N(3) + 8}, Warm: r.Uint64N(3)}
				live[attach(t, o, route)] = route
			}
			if r.IntN(5) == 0 {
				read()
			}
		}
		read()
		want := map[string]uint64{}
		for i := range 8 {
			path := fmt.Sprintf("r/%d", i)
			if c, err := o.Lookup(path, 9); err == nil {
				want[path] = c.Source()
			}
		}
		require.Equal(t, want, seen, slices.Collect(maps.Values(live)))
	}
}

// What came and went while nobody read a cursor leaves nothing in it.
func TestCursorThatNobodyReads(t *testing.T) {
	o := NewOrigin()
	a := o.Announcements("", 0)
	defer a.Close()
	kept := announced(t, o, "kept")
	for i := range 2005 {
		require.NoError(t, announced(t, o, fmt.Sprint("x", i)).Close())
		require.NoError(t, announced(t, o, "again").Close())
		require.LessOrEqual(t, len(a.paths), 2)
		require.LessOrEqual(t, len(a.dirty), 64)
	}
	announced(t, o, "again")
	var got []string
	for len(got) < 3 {
		next, err := a.Next(testCtx(t))
		require.NoError(t, err)
		got = append(got, fmt.Sprint(next.Path, next.Active, next.Synced))
	}
	require.ElementsMatch(t, []string{"false true", "kepttrue false", "againtrue false"}, got)
	require.False(t, a.Ready())
	require.Zero(t, a.dropped, "the list is empty")
	require.NoError(t, kept.Close())
	next, err := a.Next(testCtx(t))
	require.NoError(t, err)
	require.Equal(t, "kept", next.Path)
	require.False(t, next.Active, "it was told as active")
	require.Empty(t, a.dirty)
	require.Len(t, a.paths, 1)
}

// The present set ends where it ended at the beginning, also if most of it goes before it
// is read.
func TestCursorCountsThePresentSet(t *testing.T) {
	o := NewOrigin()
	var first []*BroadcastProducer
	for i := range 50 {
		first = append(first, announced(t, o, fmt.Sprint("x", i)))
	}
	a := o.Announcements("", 0)
	defer a.Close()
	for _, b := range first[5:] {
		require.NoError(t, b.Close())
	}
	require.LessOrEqual(t, len(a.dirty), 20)
	announced(t, o, "later")
	active := 0
	for {
		next, err := a.Next(testCtx(t))
		require.NoError(t, err)
		if next.Synced {
			break
		}
		require.True(t, next.Active)
		require.NotEqual(t, "later", next.Path)
		active++
	}
	require.Equal(t, 5, active)
	next, err := a.Next(testCtx(t))
	require.NoError(t, err)
	require.Equal(t, "later", next.Path)
}
