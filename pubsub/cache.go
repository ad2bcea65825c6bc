package pubsub

import (
	"slices"
	"sort"
)

// maxGroups is how many groups a track keeps at most, so that a million small ones do
// not pile up inside MaxAge. A group costs about half a KiB besides its payload.
const maxGroups = 8192

// cache is a track's table of groups, guarded by track.mu.
type cache struct {
	groups   []*group // by sequence; the last is the latest
	arrivals []*group // by order of arrival; evicted ones are taken out now and then
	count    uint64   // arrivals so far
	floor    uint64   // every group below was evicted, or will not be taken any more
}

// at returns the place of the first group whose sequence is not below seq.
func (c *cache) at(seq uint64) int {
	n := len(c.groups)
	if n == 0 || c.groups[n-1].sequence < seq {
		return n
	}
	return sort.Search(n, func(i int) bool { return c.groups[i].sequence >= seq })
}

// has reports whether group seq is kept.
func (c *cache) has(seq uint64) bool {
	i := c.at(seq)
	return i < len(c.groups) && c.groups[i].sequence == seq
}

// insert adds g, whose sequence is not there yet.
func (c *cache) insert(g *group) {
	g.arrival = c.count
	c.count++
	c.groups = slices.Insert(c.groups, c.at(g.sequence), g)
	c.arrivals = append(c.arrivals, g)
}

// arrived returns the place of the first arrival that is not below n.
func (c *cache) arrived(n uint64) int {
	return sort.Search(len(c.arrivals), func(i int) bool { return c.arrivals[i].arrival >= n })
}

// kept reports whether g has not been evicted.
func (c *cache) kept(g *group) bool { return g.sequence >= c.floor }

// pop takes out the group with the lowest sequence.
func (c *cache) pop() *group {
	g := c.groups[0]
	c.groups[0] = nil
	c.groups = c.groups[1:]
	c.floor = g.sequence + 1
	for len(c.arrivals) > 0 && !c.kept(c.arrivals[0]) {
		c.arrivals[0] = nil
		c.arrivals = c.arrivals[1:]
	}
	if len(c.arrivals) > 2*len(c.groups)+16 {
		c.arrivals = slices.DeleteFunc(c.arrivals, func(g *group) bool { return !c.kept(g) })
	}
	return g
}

// remove takes out one group, wherever it is.
func (c *cache) remove(g *group) {
	same := func(x *group) bool { return x == g }
	c.groups = slices.DeleteFunc(c.groups, same)
	c.arrivals = slices.DeleteFunc(c.arrivals, same)
}

// newest returns the greatest timestamp of the latest group that has any frames.
func (c *cache) newest() (ticks uint64, ok bool) {
	for _, g := range slices.Backward(c.groups) {
		if !g.empty() {
			return g.newest.Load(), true
		}
	}
	return 0, false
}

// left returns how many ticks remain until a group before place i is older than maxAge:
// its successor is the first group from place i on that has frames, and the age of a
// group is how far that one starts before the newest timestamp. It has maxAge left at least
// while there is none that has. False if nothing comes behind it: it is the latest.
// Negative ages do not exist; too old is (0, true, true).
func (c *cache) left(i int, maxAge uint64) (ticks uint64, tooOld, ok bool) {
	ok = i < len(c.groups)
	for ; i < len(c.groups); i++ {
		start, has := c.groups[i].start()
		if !has {
			continue
		}
		newest, _ := c.newest()
		limit := addTicks(start, maxAge)
		if limit < newest {
			return 0, true, true
		}
		return limit - newest, false, true
	}
	return max(maxAge, 1), false, ok
}

// tooOld reports whether a group before place i is older than maxAge.
func (c *cache) tooOld(i int, maxAge uint64) bool {
	_, old, _ := c.left(i, maxAge)
	return old
}
