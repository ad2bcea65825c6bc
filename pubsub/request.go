package pubsub

import (
	"context"

	"github.com/remoq/moq/moqerr"
)

// Request is one track that somebody wants and nobody has made yet. It is answered once,
// by Accept or Reject. All methods may be called concurrently.
type Request struct {
	requests *Requests
	key      trackKey
	done     chan struct{}

	// Guarded by Feed.mu; waiters and err do not change once answered.
	waiters  []*waiter
	answered bool // or abandoned
	err      error
	demand   demandCell
}

// waiter is one Subscribe that waits for the answer, or one TrackInfo.
type waiter struct {
	opts     SubscribeOptions
	infoOnly bool           // it will not read
	consumer *TrackConsumer // set before the request's done is closed, unless infoOnly
	info     TrackInfo      // likewise
}

// Path returns the broadcast's path.
func (q *Request) Path() string { return q.key.path }

// Track returns the track's name.
func (q *Request) Track() string { return q.key.name }

// Demand returns what those who wait want together. The track's own MaxAge is not known
// yet, so a reader that asks for it counts with DefaultMaxAge.
func (q *Request) Demand() Demand {
	q.requests.feed.mu.Lock()
	defer q.requests.feed.mu.Unlock()
	return q.demand.get()
}

// Done returns a channel that is closed when the request was answered, or when nobody
// wants it any more.
func (q *Request) Done() <-chan struct{} { return q.done }

// Accept makes the track: those who wait become its readers, and whoever accepted fills
// it with the peer's own numbering. Info is what the peer said: its Priority stays as it
// is, also 0. The error is [moqerr.ErrClosed] if the request is done
// already, or a *moqerr.ConfigError for a TrackInfo that cannot be used.
func (q *Request) Accept(info TrackInfo) (*TrackProducer, error) {
	priority := info.Priority
	info, err := info.filled()
	if err != nil {
		return nil, err
	}
	info.Priority = priority
	h := q.requests
	t := newTrack(h.feed.origin, &attached{h, q.key}, q.key.name, info, 0)
	h.feed.mu.Lock()
	if q.answered {
		h.feed.mu.Unlock()
		return nil, moqerr.ErrClosed
	}
	for _, w := range q.waiters {
		w.info = info
		if !w.infoOnly {
			w.consumer, _ = t.subscribe(w.opts)
		}
	}
	h.tracks[q.key] = slot{track: t}
	h.feed.queue = without(h.feed.queue, q)
	q.answered = true
	h.feed.mu.Unlock()
	close(q.done)
	return &TrackProducer{t}, nil
}

// Reject fails every Subscribe that waits, with err: a *moqerr.StreamError as a rule. Nil
// stands for StreamNotFound. The next Subscribe asks again.
func (q *Request) Reject(err error) {
	if err == nil {
		err = streamError(moqerr.StreamNotFound)
	}
	h := q.requests
	h.feed.mu.Lock()
	if q.answered {
		h.feed.mu.Unlock()
		return
	}
	q.answer(err)
	q.forget()
	h.feed.mu.Unlock()
	close(q.done)
}

// answer settles the request with an error. The caller holds the feed's lock, and closes
// done without it.
func (q *Request) answer(err error) { q.answered, q.err = true, err }

// forget takes the request out of its route and the queue. The caller holds the lock.
func (q *Request) forget() {
	h := q.requests
	delete(h.tracks, q.key)
	h.feed.queue = without(h.feed.queue, q)
}

// recount sums up the demand. The caller holds the lock and fires the result without it.
func (q *Request) recount() chan struct{} {
	var d Demand
	for _, w := range q.waiters {
		if w.infoOnly {
			continue
		}
		age := w.opts.MaxAge
		if age == 0 {
			age = DefaultMaxAge
		}
		d.add(w.opts, max(age, 0))
	}
	return q.demand.set(d)
}

// ask joins the running track, or asks for it together with all others that do.
func (h *Requests) ask(key trackKey, w *waiter) (*TrackConsumer, *Request, error) {
	for {
		q, running, err := h.join(key, w)
		if running == nil {
			return nil, q, err
		}
		if c, ok := running.subscribe(w.opts); ok {
			return c, nil, nil
		}
		// It was released just now.
		h.forget(key, running)
	}
}

// trackInfo asks for a track without reading it.
func (h *Requests) trackInfo(ctx context.Context, key trackKey) (TrackInfo, error) {
	w := &waiter{infoOnly: true}
	q, running, err := h.join(key, w)
	if err != nil {
		return TrackInfo{}, err
	}
	if running != nil {
		return running.info, nil
	}
	if err := q.await(ctx, w); err != nil {
		return TrackInfo{}, err
	}
	return w.info, nil
}

// await waits for the answer, or takes the wait back.
func (q *Request) await(ctx context.Context, w *waiter) error {
	select {
	case <-q.done:
		return q.err
	case <-ctx.Done():
		q.leave(w)
		return ctx.Err()
	}
}

// change replaces what w wants, also if it has become a reader by now.
func (q *Request) change(w *waiter, o SubscribeOptions) {
	f := q.requests.feed
	f.mu.Lock()
	if !q.answered {
		w.opts = o.copied()
		changed := q.recount()
		f.mu.Unlock()
		fire(changed)
		return
	}
	f.mu.Unlock()
	if w.consumer != nil {
		_ = w.consumer.Update(o)
	}
}

// join returns the running track, or the request that w now waits for.
func (h *Requests) join(key trackKey, w *waiter) (*Request, *track, error) {
	f := h.feed
	f.mu.Lock()
	if h.closed {
		err := h.refusal()
		f.mu.Unlock()
		return nil, nil, err
	}
	s := h.tracks[key]
	if s.track != nil {
		f.mu.Unlock()
		return nil, s.track, nil
	}
	var asleep *sleepers
	if s.request == nil {
		s.request = &Request{requests: h, key: key, done: make(chan struct{})}
		if h.tracks == nil {
			h.tracks = make(map[trackKey]slot)
		}
		h.tracks[key] = s
		f.queue = append(f.queue, s.request)
		asleep = f.bell.take()
	}
	s.request.waiters = append(s.request.waiters, w)
	changed := s.request.recount()
	f.mu.Unlock()
	fire(changed)
	f.bell.ring(asleep)
	return s.request, nil, nil
}

// leave takes back a wait. The last one to leave ends the request.
func (q *Request) leave(w *waiter) {
	f := q.requests.feed
	f.mu.Lock()
	if q.answered {
		f.mu.Unlock()
		if w.consumer != nil {
			_ = w.consumer.Close()
		}
		return
	}
	q.waiters = without(q.waiters, w)
	abandoned := len(q.waiters) == 0
	if abandoned {
		q.answer(moqerr.ErrClosed)
		q.forget()
	}
	changed := q.recount()
	f.mu.Unlock()
	fire(changed)
	if abandoned {
		close(q.done)
	}
}

// attached is the home of a track that was accepted from a feed.
type attached struct {
	requests *Requests
	key      trackKey
}

// ended implements home.
func (a *attached) ended(t *track, _ uint64, _ error) {
	a.requests.forget(a.key, t)
	t.forget()
}

// wrote implements home.
func (a *attached) wrote(*track) {}
