package pubsub

import (
	"context"
	"slices"
	"sync"

	"github.com/remoq/moq/moqerr"
)

// broadcast is a set of tracks made here.
type broadcast struct {
	origin *Origin
	path   string

	mu sync.Mutex
	// Guarded by mu.
	tracks    map[string]*track
	failed    map[string]error // tracks that were aborted and not made again
	requests  *Requests        // of tracks that are missing; nil: nobody makes them
	route     *route           // while announced
	announced bool             // it was, at some time
	closed    bool
}

// BroadcastProducer publishes a set of tracks under one path. Its methods may be called
// concurrently and none of them blocks. After Close they return [moqerr.ErrClosed].
type BroadcastProducer struct{ b *broadcast }

// CreateBroadcast makes a broadcast that nobody sees until it is announced. The path is
// normalised: slashes at the ends are trimmed, runs of them collapsed. The error is a
// *moqerr.ConfigError for a path that cannot be announced (more than 32 parts or 4 KiB, not
// UTF-8, a segment with '*'), or [moqerr.ErrDuplicate] if the origin has such a broadcast.
func (o *Origin) CreateBroadcast(path string) (*BroadcastProducer, error) {
	path, err := parsePath("path", path)
	if err != nil {
		return nil, err
	}
	b := &broadcast{origin: o, path: path, tracks: make(map[string]*track), failed: make(map[string]error)}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.locals[path] != nil {
		return nil, moqerr.ErrDuplicate
	}
	o.locals[path] = b
	return &BroadcastProducer{b}, nil
}

// Path returns the broadcast's path in its normal form.
func (p *BroadcastProducer) Path() string { return p.b.path }

// CreateTrack makes a track. Its numbering begins above that of every closed track of the
// origin. The error is [moqerr.ErrDuplicate] if an open track has that name, or a
// *moqerr.ConfigError for a TrackInfo that cannot be used, or a name over 4 KiB or not
// UTF-8.
func (p *BroadcastProducer) CreateTrack(name string, info TrackInfo) (*TrackProducer, error) {
	if err := checkTrack(name); err != nil {
		return nil, err
	}
	t, old, err := p.b.create(name, info)
	if err != nil {
		return nil, err
	}
	if old != nil {
		old.forget()
	}
	p.b.supply(t)
	return &TrackProducer{t}, nil
}

// create makes a track. The caller forgets the ended one of that name, if there was one.
func (b *broadcast) create(name string, info TrackInfo) (t, old *track, err error) {
	if info, err = info.filled(); err != nil {
		return nil, nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return nil, nil, moqerr.ErrClosed
	}
	begin := b.origin.high.Load()
	if old = b.tracks[name]; old != nil {
		next, ended := old.numbering()
		if !ended {
			return nil, nil, moqerr.ErrDuplicate
		}
		begin = max(begin, next)
	}
	t = newTrack(b.origin, b, name, info, begin)
	b.tracks[name] = t
	delete(b.failed, name)
	return t, old, nil
}

// numbering returns the first unused sequence and whether the track has ended.
func (t *track) numbering() (next uint64, ended bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.next, t.ended
}

// Announce makes the broadcast visible. It may be repeated.
func (p *BroadcastProducer) Announce() error {
	b := p.b
	b.mu.Lock()
	if b.closed || b.route != nil {
		closed := b.closed
		b.mu.Unlock()
		if closed {
			return moqerr.ErrClosed
		}
		return nil
	}
	r := &route{origin: b.origin, local: b, value: Route{Prefix: b.path}}
	b.route, b.announced = r, true
	b.mu.Unlock()
	b.origin.insert(r)
	return nil
}

// Unannounce makes the broadcast invisible again. Running subscriptions go on.
func (p *BroadcastProducer) Unannounce() {
	b := p.b
	b.mu.Lock()
	r := b.route
	b.route = nil
	b.mu.Unlock()
	if r != nil {
		b.origin.remove(r)
	}
}

// Close unannounces the broadcast and ends every track properly: readers get io.EOF. It
// may be repeated and returns nil.
func (p *BroadcastProducer) Close() error {
	b := p.b
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	requests := b.requests
	b.requests = nil
	tracks := make([]*track, 0, len(b.tracks))
	for _, t := range b.tracks {
		tracks = append(tracks, t)
	}
	clear(b.failed)
	b.mu.Unlock()
	p.Unannounce()
	if requests != nil {
		requests.feed.Close(nil)
	}
	for _, t := range tracks {
		t.finish(nil)
		t.forget()
	}
	o := b.origin
	o.mu.Lock()
	delete(o.locals, b.path)
	o.mu.Unlock()
	return nil
}

// ended implements home.
func (b *broadcast) ended(t *track, err error) {
	if err == nil {
		return
	}
	b.mu.Lock()
	current := b.tracks[t.name] == t
	if current {
		delete(b.tracks, t.name)
		if !b.closed && b.requests == nil {
			b.failed[t.name] = err
		}
	}
	b.mu.Unlock()
	if current {
		t.forget()
	}
}

// wrote implements home.
func (b *broadcast) wrote(t *track) {
	b.mu.Lock()
	announced := b.announced
	b.mu.Unlock()
	if !announced {
		b.origin.logger.Warn("written to a track whose broadcast was never announced", "broadcast", b.path, "track", t.name)
	}
}

// find returns the track of that name, or who makes it, or the error that readers get.
func (b *broadcast) find(name string) (*track, *Requests, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.requests != nil {
		return nil, b.requests, nil
	}
	if t := b.tracks[name]; t != nil {
		return t, nil, nil
	}
	if err := b.failed[name]; err != nil {
		return nil, nil, err
	}
	return nil, nil, streamError(moqerr.StreamNotFound)
}

// BroadcastConsumer reads one broadcast. Its methods may be called concurrently. It needs
// no closing.
type BroadcastConsumer struct {
	route *route
	path  string
}

// Path returns the broadcast's path.
func (c *BroadcastConsumer) Path() string { return c.path }

// Source returns the identity of the publisher, or 0 if it is unknown.
func (c *BroadcastConsumer) Source() uint64 {
	o := c.route.origin
	o.mu.Lock()
	defer o.mu.Unlock()
	return c.route.source()
}

// Closed returns a channel that is closed when the broadcast is not announced any more, or
// the route to it is gone. Running subscriptions may go on.
func (c *BroadcastConsumer) Closed() <-chan struct{} {
	r := c.route
	r.origin.mu.Lock()
	defer r.origin.mu.Unlock()
	if r.gone == nil {
		r.gone = make(chan struct{})
		if r.dead.Load() {
			close(r.gone)
		}
	}
	return r.gone
}

// Subscribe reads a track. For a broadcast that comes from elsewhere it waits until the
// supplier has accepted; ctx ends that wait only, not the subscription. The error is a
// *moqerr.StreamError: StreamNotFound if there is no such track, StreamUnroutable if the
// broadcast is gone, or the supplier's own; or a *moqerr.ConfigError for a name that no
// track can have; or ctx.Err(), or why the supplier's session ended.
func (c *BroadcastConsumer) Subscribe(ctx context.Context, track string, o SubscribeOptions) (*TrackConsumer, error) {
	if err := checkTrack(track); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	w := &waiter{opts: o.copied()}
	sub, q, err := c.ask(track, w)
	if q == nil {
		return sub, err
	}
	if err := q.await(ctx, w); err != nil {
		return nil, err
	}
	return w.consumer, nil
}

// ask returns a subscription if the track is here, else the request that w now waits for.
func (c *BroadcastConsumer) ask(track string, w *waiter) (*TrackConsumer, *Request, error) {
	r := c.route
	if r.local == nil {
		return r.requests.ask(trackKey{c.path, track}, w)
	}
	if r.dead.Load() {
		return nil, nil, streamError(moqerr.StreamUnroutable)
	}
	t, missing, err := r.local.find(track)
	switch {
	case err != nil:
		return nil, nil, err
	case missing != nil:
		return missing.ask(trackKey{c.path, track}, w)
	}
	sub, ok := t.subscribe(w.opts)
	if !ok { // it was released just now
		return nil, nil, streamError(moqerr.StreamNotFound)
	}
	return sub, nil, nil
}

// without returns list with one element taken out.
func without[T comparable](list []T, x T) []T {
	return slices.DeleteFunc(list, func(y T) bool { return x == y })
}
