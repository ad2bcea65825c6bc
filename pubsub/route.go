package pubsub

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/remoq/moq/moqerr"
)

// maxHops is how long a hop chain may be (moq-lite.md §3.8).
const maxHops = 32

var (
	errHopLoop     = errors.New("the chain contains this origin")
	errHopTwice    = errors.New("the chain contains a hop twice")
	errHopLarge    = errors.New("a hop over 2^62-1")
	errPrefixMoved = errors.New("an update cannot move it")
)

// Route says that broadcasts at Prefix, and at any path below it, can be asked for
// (moq-lite.md §4.3).
type Route struct {
	Prefix string

	// Hops are the identities that the announcement went through, oldest first: the
	// first is the publisher's own. Zero stands for an unknown one. Read-only.
	Hops []uint64

	// Warm and Cold price the route while it is in use and while it is not. Lower wins.
	// What is over 2^62-1 is cut to it.
	Warm, Cold uint64
}

// Source returns the identity of the publisher, or 0 if it is unknown.
func (r Route) Source() uint64 {
	if len(r.Hops) == 0 {
		return 0
	}
	return r.Hops[0]
}

// route is one entry of an origin's table.
type route struct {
	origin   *Origin
	local    *broadcast // nil: attached, or served
	requests *Requests  // nil: local
	served   bool       // by this origin itself, see Serve
	order    uint64     // greater is newer
	dead     atomic.Bool

	// Guarded by Origin.mu.
	at    *node
	value Route
	rev   uint64        // counts updates
	gone  chan struct{} // closed when the route is; made when somebody asks
}

// ours reports whether this origin is the publisher.
func (r *route) ours() bool { return r.local != nil || r.served }

// source is the identity of whoever publishes behind the route.
func (r *route) source() uint64 {
	if r.ours() {
		return r.origin.identity
	}
	return r.value.Source()
}

// visibleTo keeps a route from whoever it came from. Zero sees everything.
func (r *route) visibleTo(exclude uint64) bool {
	switch {
	case exclude == 0:
		return true
	case r.ours():
		return exclude != r.origin.identity
	default:
		return !slices.Contains(r.value.Hops, exclude)
	}
}

// before reports whether r is to be preferred to o at the same prefix (moq-lite.md §6.10).
func (r *route) before(o *route) bool {
	if a, b := r.identified(), o.identified(); a != b {
		return a
	}
	if r.value.Warm != o.value.Warm {
		return r.value.Warm < o.value.Warm
	}
	if r.value.Cold != o.value.Cold {
		return r.value.Cold < o.value.Cold
	}
	if a, b := r.local != nil, o.local != nil; a != b {
		return a
	}
	if r.served != o.served {
		return r.served
	}
	if a, b := len(r.value.Hops), len(o.value.Hops); a != b {
		return a < b
	}
	return r.order > o.order
}

func (r *route) identified() bool { return r.ours() || r.value.Source() != 0 }

// check returns a normalised copy of r for origin, or a *moqerr.ConfigError.
func (r Route) check(o *Origin) (Route, error) {
	prefix, err := parsePath("Route.Prefix", r.Prefix)
	if err != nil {
		return Route{}, err
	}
	if err := checkHops(r.Hops, o.identity); err != nil {
		return Route{}, &moqerr.ConfigError{Field: "Route.Hops", Err: err}
	}
	r.Prefix, r.Hops = prefix, slices.Clone(r.Hops)
	r.Warm, r.Cold = min(r.Warm, maxVarint), min(r.Cold, maxVarint)
	return r, nil
}

// checkHops refuses what cannot be sent on, and loops (moq-lite.md §3.8).
func checkHops(hops []uint64, self uint64) error {
	if len(hops) > maxHops {
		return fmt.Errorf("%d hops, at most %d", len(hops), maxHops)
	}
	for i, hop := range hops {
		switch {
		case hop > maxVarint:
			return errHopLarge
		case hop == self:
			return errHopLoop
		case hop != 0 && slices.Contains(hops[:i], hop):
			return errHopTwice
		}
	}
	return nil
}
