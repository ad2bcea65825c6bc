package pubsub

import (
	"context"
	"iter"
	"slices"
)

// Announcement says that a path can be asked for, or not any more (moq-lite.md §4.3).
type Announcement struct {
	Path   string // empty if Synced
	Active bool
	// Synced marks the end of the set that was present at the beginning. It carries
	// nothing else.
	Synced bool
	Local  bool  // published by this very origin
	Route  Route // how it is reached; Hops is empty for a local one
	source uint64
}

// Source returns the identity of the publisher: the origin's own for a local broadcast; 0
// if unknown.
func (a Announcement) Source() uint64 { return a.source }

// Announcements is a cursor over what is announced below a prefix. One goroutine calls
// Next at a time; Close may be called from anywhere.
type Announcements struct {
	origin  *Origin
	prefix  string
	exclude uint64
	exact   bool // only the path itself

	// Guarded by Origin.mu.
	at      *node
	paths   map[string]delivered
	dirty   []note // paths to look at
	tickets uint64 // counts notes
	dropped int    // notes that were dropped since the list was last cleaned up
	initial int    // how many notes are left of the present set
	synced  bool
	closed  bool
	waiting bool

	sleeper sleeper
}

// note is a path to look at. It is dropped once its ticket is not the path's any more.
type note struct {
	path   string
	ticket uint64
}

// delivered is what the reader of a cursor knows of a path.
type delivered struct {
	ticket uint64 // of the note; 0: none
	route  *route // nil: not active
	rev    uint64
	source uint64
}

// Announced iterates over what is announced at prefix and below: first the present set,
// then one announcement with Synced set, then changes. Changes that were not read yet are
// merged for each path: only the state counts. A publication replaced by another is
// delivered as an inactive, then an active announcement; a changed route to the same one as
// another active announcement. The loop ends with ctx.Err() or the error of the last
// supervisor (see Supervise).
func (o *Origin) Announced(ctx context.Context, prefix string) iter.Seq2[Announcement, error] {
	return func(yield func(Announcement, error) bool) {
		a := o.Announcements(prefix, 0)
		defer a.Close()
		for {
			next, err := a.Next(ctx)
			if !yield(next, err) || err != nil {
				return
			}
		}
	}
}

// Announcements is the pull form of Announced with split horizon: routes whose hop chain
// contains exclude (if it is not zero) are invisible. A route that covers prefix from
// above is delivered at prefix itself. Segments that start with a dot are hidden unless
// they are part of prefix. A prefix that no path can have yields nothing.
func (o *Origin) Announcements(prefix string, exclude uint64) *Announcements {
	return o.announcements(cleanPath(prefix), exclude, false)
}

func (o *Origin) announcements(prefix string, exclude uint64, exact bool) *Announcements {
	a := &Announcements{origin: o, prefix: prefix, exclude: exclude, exact: exact, paths: make(map[string]delivered)}
	o.mu.Lock()
	defer o.mu.Unlock()
	a.at = o.root.grow(prefix)
	a.at.cursors = append(a.at.cursors, a)
	a.mark(prefix, nil)
	if !exact {
		a.at.walk(func(n *node) {
			if len(n.routes) > 0 {
				a.mark(n.routes[0].value.Prefix, nil)
			}
		})
	}
	a.initial = len(a.dirty)
	return a
}

// Next returns the next announcement and waits for one if need be. It ends with
// ctx.Err(), with [moqerr.ErrClosed] after Close, and, if it would have to wait, with the
// error of the origin's last supervisor.
func (a *Announcements) Next(ctx context.Context) (Announcement, error) {
	return a.next(ctx, nil)
}

// Ready reports whether Next would return at once.
func (a *Announcements) Ready() bool {
	a.origin.mu.Lock()
	defer a.origin.mu.Unlock()
	_, ok := a.produce(false)
	return ok || a.closed || a.origin.stopped != nil
}

// Len returns how many paths the cursor holds at present.
func (a *Announcements) Len() int {
	a.origin.mu.Lock()
	defer a.origin.mu.Unlock()
	return len(a.paths)
}

// Close releases the cursor and ends a waiting Next. It may be repeated.
func (a *Announcements) Close() {
	o := a.origin
	o.mu.Lock()
	if a.closed {
		o.mu.Unlock()
		return
	}
	a.closed = true
	a.paths, a.dirty = nil, nil
	a.sleeper.prepare()
	a.at.cursors = slices.DeleteFunc(a.at.cursors, func(x *Announcements) bool { return x == a })
	a.at.prune()
	o.mu.Unlock()
	a.sleeper.ring()
}

// mark puts a path on the list of those to look at and adds the reader to wake if it
// sleeps. A path that the reader never heard of, and that is not active, leaves nothing
// behind. The caller holds the origin's lock.
func (a *Announcements) mark(path string, wake []*sleeper) []*sleeper {
	suffix, _ := cutPrefix(path, a.prefix)
	if suffix != "" && (a.exact || isHidden(suffix)) {
		return wake
	}
	d := a.paths[path]
	if d.route == nil && a.present(path).route == nil {
		a.drop(path, d)
		return wake
	}
	if d.ticket != 0 {
		return wake
	}
	a.tickets++
	d.ticket = a.tickets
	a.paths[path] = d
	a.dirty = append(a.dirty, note{path, d.ticket})
	if a.waiting {
		a.waiting = false
		wake = append(wake, &a.sleeper)
	}
	return wake
}

// drop forgets a path and its note. Once most notes are dropped ones the list is cleaned.
func (a *Announcements) drop(path string, d delivered) {
	delete(a.paths, path)
	if d.ticket == 0 {
		return
	}
	a.dropped++
	if a.dropped < 16 || 2*a.dropped < len(a.dirty) {
		return
	}
	kept := a.dirty[:0]
	initial := 0
	for i, n := range a.dirty {
		if a.paths[n.path].ticket != n.ticket {
			continue
		}
		kept = append(kept, n)
		if i < a.initial {
			initial++
		}
	}
	clear(a.dirty[len(kept):])
	a.dirty, a.initial, a.dropped = kept, initial, 0
}

// shift takes the first note off the list.
func (a *Announcements) shift() {
	a.dirty[0] = note{}
	a.dirty = a.dirty[1:]
	if a.initial > 0 {
		a.initial--
	}
}

// produce returns the next announcement, if there is one, and drops what came to
// nothing before it. Only with commit it counts as delivered. The caller holds the lock.
func (a *Announcements) produce(commit bool) (Announcement, bool) {
	for {
		if a.initial == 0 && !a.synced {
			a.synced = commit
			return Announcement{Synced: true}, true
		}
		if len(a.dirty) == 0 {
			return Announcement{}, false
		}
		path := a.dirty[0].path
		was := a.paths[path]
		if was.ticket != a.dirty[0].ticket {
			a.dropped--
			a.shift()
			continue
		}
		now := a.present(path)
		if !was.differs(now) {
			a.settle(path, was)
			continue
		}
		next := was
		out := Announcement{Path: path}
		if was.route != nil && (now.route == nil || was.replacedBy(now)) {
			out.describe(was)
			next = delivered{ticket: was.ticket}
		} else {
			out.Active = true
			out.describe(now)
			next = now
		}
		switch {
		case !commit:
		case next.route == nil && now.route != nil: // the active one follows
			a.paths[path] = next
		default:
			a.settle(path, next)
		}
		return out, true
	}
}

// present looks up what a reader should know of path.
func (a *Announcements) present(path string) delivered {
	var r *route
	if path == a.prefix {
		r = a.origin.root.covering(path, a.exclude)
	} else if n := a.origin.root.find(path); n != nil {
		r = n.best(a.exclude)
	}
	if r == nil {
		return delivered{}
	}
	return delivered{route: r, rev: r.rev, source: r.source()}
}

// settle takes the first path off the list.
func (a *Announcements) settle(path string, d delivered) {
	a.shift()
	d.ticket = 0
	if d.route == nil {
		delete(a.paths, path)
	} else {
		a.paths[path] = d
	}
}

func (d delivered) differs(now delivered) bool {
	if d.route != nil && now.route != nil && d.route.local != nil && d.route.local == now.route.local {
		return false // announced again
	}
	return d.route != now.route || d.rev != now.rev
}

// replacedBy reports whether another publication took the place of d.
func (d delivered) replacedBy(now delivered) bool {
	if d.route.local != nil || now.route.local != nil {
		return d.route.local != now.route.local
	}
	return d.source != now.source || d.source == 0 && d.route != now.route
}

func (a *Announcement) describe(d delivered) {
	a.source, a.Local = d.source, d.route.ours()
	a.Route = d.route.value
	if a.Local {
		a.Route.Hops = []uint64{}
	}
}
