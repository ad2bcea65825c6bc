package pubsub

import (
	"context"
	"io"
	"slices"
	"sync"

	"github.com/remoq/moq/moqerr"
)

// Feed is one supplier of routes, as a session is: everything that is asked of its routes
// comes out of one queue. All methods may be called concurrently.
type Feed struct {
	origin *Origin
	budget *Budget // nil: no bound

	mu sync.Mutex
	// Guarded by mu.
	routes map[*Requests]struct{} // attached, or with tracks that still run
	queue  []*Request
	asked  int // requests and fetches that are not answered
	names  int // bytes of their names
	closed bool
	err    error // why
	bell   bell

	fetching  bool // fetches are answered
	fetches   []*FetchRequest
	fetchBell bell
}

// trackKey names a track below a route.
type trackKey struct{ path, name string }

// slot is what a route knows of a track: it was asked for, or it runs.
type slot struct {
	request *Request
	track   *track
}

// Requests is one attached or served route. All methods may be called concurrently.
type Requests struct {
	feed      *Feed
	route     *route     // nil: the broadcast's, and in no table
	own       route      // what route points to
	broadcast *broadcast // whose missing tracks these are; nil: a route's
	alone     bool       // the feed has no other route

	// Guarded by Feed.mu.
	tracks map[trackKey]slot
	aside  map[*track]struct{} // run, but are not what is asked for any more
	closed bool
}

// Feed returns a new supplier without routes.
func (o *Origin) Feed() *Feed { return o.FeedWith(nil) }

// FeedWith returns a new supplier whose tracks count against b, beside the origin's own
// budget.
func (o *Origin) FeedWith(b *Budget) *Feed {
	return &Feed{origin: o, budget: b, routes: make(map[*Requests]struct{})}
}

// Attach announces a route from elsewhere and returns the handle that answers what is
// asked below it: a [Feed] of one route.
func (o *Origin) Attach(r Route) (*Requests, error) {
	return o.Feed().attach(r, &Requests{alone: true})
}

// Serve announces prefix as this origin's own and returns the handle that answers what is
// asked at it or below it (moq-lite.md §4.3), so that broadcasts and tracks can be made
// when somebody wants them. A broadcast of the origin goes before it at its own path, and
// a longer prefix before a shorter one. Tracks that are accepted are numbered above all
// closed ones, as those of a broadcast are. The error is a *moqerr.ConfigError for a prefix
// that cannot be announced.
//
// A request that is not answered within 30 s fails with StreamControlTimeout, and one that
// comes while 16,384 others wait with StreamInternal.
func (o *Origin) Serve(prefix string) (*Requests, error) {
	return o.Feed().attach(Route{Prefix: prefix}, &Requests{alone: true, own: route{served: true}})
}

// Attach adds a route to the origin's table. It fails with a *moqerr.ConfigError for a
// route that cannot be: a bad prefix, more than 32 hops, a hop over 2^62-1, a chain through
// this very origin or twice through another; or after Close with its cause.
func (f *Feed) Attach(r Route) (*Requests, error) { return f.attach(r, new(Requests)) }

// attach fills in h, which is new, and announces it.
func (f *Feed) attach(r Route, h *Requests) (*Requests, error) {
	value, err := r.check(f.origin)
	if err != nil {
		return nil, err
	}
	h.feed = f
	h.own.origin, h.own.requests, h.own.value = f.origin, h, value
	h.route = &h.own
	f.mu.Lock()
	if f.closed {
		err := f.err
		f.mu.Unlock()
		return nil, err
	}
	f.routes[h] = struct{}{}
	f.mu.Unlock()
	f.origin.insert(h.route)
	return h, nil
}

// Next returns the next request for a track below any of the feed's routes. It ends with
// ctx.Err(), or after Close with its cause.
func (f *Feed) Next(ctx context.Context) (*Request, error) {
	return takeNext(ctx, f, &f.queue, &f.bell, func(q *Request) { q.queued = false })
}

// takeNext waits for the next entry of one of the feed's queues, with its bell. It calls
// taken with the lock held.
func takeNext[T any](ctx context.Context, f *Feed, queue *[]*T, b *bell, taken func(*T)) (*T, error) {
	var s sleeper
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		f.mu.Lock()
		if list := *queue; len(list) > 0 {
			q := list[0]
			list[0] = nil
			*queue = list[1:]
			taken(q)
			f.mu.Unlock()
			return q, nil
		}
		if f.closed {
			err := f.err
			f.mu.Unlock()
			return nil, err
		}
		b.add(&s)
		f.mu.Unlock()
		if err := s.wait(ctx, nil); err != nil {
			f.mu.Lock()
			b.remove(&s)
			f.mu.Unlock()
			return nil, err
		}
	}
}

// Close detaches all routes. With a cause, which is why the session ended, it also ends
// every track that was accepted from the feed, at once: readers get the frames that are
// here, then the cause. Without one it is a retraction, as in [Requests.Close]. It may be
// repeated; Next then returns the first cause, or [moqerr.ErrClosed].
func (f *Feed) Close(cause error) {
	refused := cause
	if cause == nil {
		refused = streamError(moqerr.StreamUnroutable)
	}
	f.close(cause, refused)
}

// close is Close with what those get who wait for an answer.
func (f *Feed) close(cause, refused error) {
	f.mu.Lock()
	if !f.closed {
		f.closed = true
		if f.err = cause; cause == nil {
			f.err = moqerr.ErrClosed
		}
	}
	all := make([]*Requests, 0, len(f.routes))
	for h := range f.routes {
		all = append(all, h)
	}
	asleep, fetchers := f.bell.take(), f.fetchBell.take()
	f.mu.Unlock()
	f.bell.ring(asleep)
	f.fetchBell.ring(fetchers)
	for _, h := range all {
		h.close(cause, refused)
	}
	f.refuseFetches()
}

// Next returns the next request, as [Feed.Next] does. For a route that was attached
// through a Feed it is the Feed's, and may be for another of its routes.
func (h *Requests) Next(ctx context.Context) (*Request, error) { return h.feed.Next(ctx) }

// Update changes hops and costs of the route; its prefix must stay, and a served one has
// no hops. What runs goes on. The error is a *moqerr.ConfigError, or [moqerr.ErrClosed] after Close.
func (h *Requests) Update(r Route) error {
	value, err := r.check(h.feed.origin)
	if err != nil {
		return err
	}
	if h.route.served {
		value.Hops = nil
	}
	return h.feed.origin.update(h.route, value)
}

// Close takes the route away. Without a cause it is a retraction: requests that are not
// answered fail with StreamUnroutable, running tracks go on to their own end. With a
// cause running tracks end with it at once, and so do requests. It may be repeated, also
// to end with a cause what a retraction left running.
func (h *Requests) Close(cause error) {
	if h.alone {
		h.feed.Close(cause)
		return
	}
	refused := cause
	if cause == nil {
		refused = streamError(moqerr.StreamUnroutable)
	}
	h.close(cause, refused)
}

func (h *Requests) close(cause, refused error) {
	f := h.feed
	if h.route != nil {
		f.origin.remove(h.route)
	}
	if cause == io.EOF {
		cause = failure(cause)
		refused = cause
	}
	f.mu.Lock()
	h.closed = true
	var pending []*Request
	var running []*track
	for key, s := range h.tracks {
		if s.request != nil {
			pending = append(pending, s.request)
			s.request.answer(refused)
			delete(h.tracks, key)
		} else if cause != nil {
			running = append(running, s.track)
		}
	}
	if len(pending) > 0 {
		f.queue = slices.DeleteFunc(f.queue, func(q *Request) bool { return q.answered })
	}
	if cause != nil {
		for t := range h.aside {
			running = append(running, t)
		}
	}
	if h.idle() {
		delete(f.routes, h)
	}
	f.mu.Unlock()
	for _, q := range pending {
		close(q.done)
	}
	for _, t := range running {
		t.finish(cause)
	}
}

// forget takes a track out that has ended.
func (h *Requests) forget(key trackKey, t *track) {
	if h.broadcast != nil {
		h.broadcast.forget(t)
		return
	}
	f := h.feed
	f.mu.Lock()
	if h.tracks[key].track == t {
		delete(h.tracks, key)
	}
	delete(h.aside, t)
	if h.closed && h.idle() {
		delete(f.routes, h)
	}
	f.mu.Unlock()
}

// idle reports whether nothing runs. The caller holds the feed's lock.
func (h *Requests) idle() bool { return len(h.tracks) == 0 && len(h.aside) == 0 }

// setAside lets the next reader of a track ask the supplier for it anew, although it runs.
func (h *Requests) setAside(key trackKey, t *track) {
	f := h.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.tracks[key].track != t {
		return
	}
	delete(h.tracks, key)
	if h.aside == nil {
		h.aside = make(map[*track]struct{})
	}
	h.aside[t] = struct{}{}
}
