package pubsub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/remoq/moq/moqerr"
)

// How many requests of a feed may wait for an answer, how many bytes their names may have,
// and for how long each may wait. Beyond that they are refused.
const (
	maxRequests     = 16 << 10
	maxRequestNames = 8 << 20
	requestPatience = 30 * time.Second
)

// Request is one track that somebody wants and nobody has made yet. It is answered once,
// by Accept or Reject. All methods may be called concurrently.
type Request struct {
	requests *Requests
	key      trackKey
	done     chan struct{}

	// Guarded by Feed.mu; waiters and err do not change once answered.
	waiters  []*waiter
	queued   bool // Next has not returned it yet
	answered bool // or abandoned
	err      error
	patience *time.Timer
	demand   demandCell
}

// waiter is one Subscribe that waits for the answer, or one TrackInfo.
type waiter struct {
	opts     SubscribeOptions
	expected time.Duration  // what the track's MaxAge was when it was known last; 0: never
	infoOnly bool           // it will not read
	consumer *TrackConsumer // set before the request's done is closed, unless infoOnly
	info     TrackInfo      // likewise
}

// Path returns the broadcast's path.
func (q *Request) Path() string { return q.key.path }

// Track returns the track's name.
func (q *Request) Track() string { return q.key.name }

// Demand returns what those who wait want together. The track's own MaxAge is not known
// yet, so a reader that asks for it counts with DefaultMaxAge, or with what it was before.
func (q *Request) Demand() Demand {
	q.requests.feed.mu.Lock()
	defer q.requests.feed.mu.Unlock()
	return q.demand.get()
}

// Done returns a channel that is closed when the request was answered, or when nobody
// wants it any more.
func (q *Request) Done() <-chan struct{} { return q.done }

// Accept makes the track: those who wait become its readers, and whoever accepted fills
// it. On a route from elsewhere that is with the peer's own numbering, and info is what
// the peer said: its Priority stays as it is, also 0. What is made here is as
// [BroadcastProducer.CreateTrack] makes it. The error is [moqerr.ErrClosed] if the request
// is done already, or a *moqerr.ConfigError for a TrackInfo that cannot be used.
func (q *Request) Accept(info TrackInfo) (*TrackProducer, error) {
	h := q.requests
	if h.broadcast != nil {
		return h.broadcast.accept(q, info)
	}
	priority := info.Priority
	info, err := info.filled()
	if err != nil {
		return nil, err
	}
	var begin uint64
	if h.route.served {
		begin = h.feed.origin.high.Load()
	} else {
		info.Priority = priority
	}
	t := newTrack(h.feed.origin, &attached{h, q.key}, q.key.name, info, begin)
	t.feed = h.feed
	h.feed.mu.Lock()
	if q.answered {
		h.feed.mu.Unlock()
		return nil, moqerr.ErrClosed
	}
	q.give(t)
	h.tracks[q.key] = slot{track: t}
	h.feed.mu.Unlock()
	close(q.done)
	return &TrackProducer{t}, nil
}

// give makes those who wait readers of t. The caller holds the feed's lock, and closes
// done without it.
func (q *Request) give(t *track) {
	for _, w := range q.waiters {
		w.info = t.info
		if !w.infoOnly {
			w.consumer, _ = t.subscribe(w.opts)
		}
	}
	q.answer(nil)
	q.forget()
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

// expire runs when the request was not answered in time.
func (q *Request) expire() { q.Reject(streamError(moqerr.StreamControlTimeout)) }

// answer settles the request. The caller holds the feed's lock, and closes done without
// it.
func (q *Request) answer(err error) {
	q.answered, q.err = true, err
	q.patience.Stop()
	q.requests.feed.discount(q.key)
}

// count makes room for one more request or fetch, if there is any. The caller holds the lock.
func (f *Feed) count(key trackKey) error {
	if f.asked >= maxRequests || f.names+key.size() > maxRequestNames {
		return fmt.Errorf("moq: too many unanswered requests: %w", streamError(moqerr.StreamInternal))
	}
	f.asked++
	f.names += key.size()
	return nil
}

// discount takes back count, once there is an answer. The caller holds the lock.
func (f *Feed) discount(key trackKey) {
	f.asked--
	f.names -= key.size()
}

func (k trackKey) size() int { return len(k.path) + len(k.name) }

// forget takes the request out of its route and the queue. The caller holds the lock.
func (q *Request) forget() {
	h := q.requests
	delete(h.tracks, q.key)
	if q.queued {
		h.feed.queue = without(h.feed.queue, q)
	}
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
			age = cmp.Or(w.expected, DefaultMaxAge)
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
	s := h.tracks[key]
	if h.broadcast != nil {
		s.track = h.broadcast.running(key.name)
	}
	if h.closed && (h.broadcast == nil || s.track == nil) {
		err := h.refusal()
		f.mu.Unlock()
		return nil, nil, err
	}
	if s.track != nil {
		f.mu.Unlock()
		return nil, s.track, nil
	}
	var asleep *sleepers
	if s.request == nil {
		if err := f.count(key); err != nil {
			f.mu.Unlock()
			return nil, nil, err
		}
		s.request = h.request(key)
		asleep = f.bell.take()
	}
	s.request.waiters = append(s.request.waiters, w)
	changed := s.request.recount()
	f.mu.Unlock()
	fire(changed)
	f.bell.ring(asleep)
	return s.request, nil, nil
}

// refusal is what a request or a fetch gets after Close. The caller holds the lock.
func (h *Requests) refusal() error {
	switch f := h.feed; {
	case h.broadcast != nil:
		return streamError(moqerr.StreamNotFound)
	case f.closed && !errors.Is(f.err, moqerr.ErrClosed):
		return f.err
	default:
		return streamError(moqerr.StreamUnroutable)
	}
}

// request makes a new request and queues it. The caller holds the lock.
func (h *Requests) request(key trackKey) *Request {
	q := &Request{requests: h, key: key, done: make(chan struct{}), queued: true}
	q.patience = time.AfterFunc(requestPatience, q.expire)
	if h.tracks == nil {
		h.tracks = make(map[trackKey]slot)
	}
	h.tracks[key] = slot{request: q}
	h.feed.queue = append(h.feed.queue, q)
	return q
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
func (a *attached) ended(t *track, _ error) {
	a.requests.forget(a.key, t)
	t.forget()
}

// wrote implements home.
func (a *attached) wrote(*track) {}
