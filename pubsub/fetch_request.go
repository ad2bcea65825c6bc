package pubsub

import (
	"context"
	"runtime"
	"sync"

	"github.com/remoq/moq/moqerr"
)

// FetchRequest is one group that somebody wants and that is not kept here. It is answered
// once, by Accept or Reject. All methods may be called concurrently.
type FetchRequest struct {
	requests *Requests
	key      trackKey
	group    uint64
	opts     FetchOptions
	done     chan struct{} // closed when it was answered
	left     chan struct{} // closed when nobody wants it any more
	leave    sync.Once

	// Guarded by Feed.mu; consumer and err do not change once answered.
	queued   bool // NextFetch has not returned it yet
	answered bool
	err      error
	consumer *GroupConsumer
}

// nowhere is the home of a group that was fetched: of a track without a name to find it by.
type nowhere struct{}

func (nowhere) ended(*track, error) {}
func (nowhere) wrote(*track)        {}

// AnswerFetches makes the feed hand out what is fetched through its routes: see NextFetch.
// Without it a group that no running track has is not found.
func (f *Feed) AnswerFetches() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fetching = true
}

// NextFetch returns the next group that is wanted from any of the feed's routes, after
// [Feed.AnswerFetches]. It ends as [Feed.Next] does.
func (f *Feed) NextFetch(ctx context.Context) (*FetchRequest, error) {
	return takeNext(ctx, f, &f.fetches, &f.fetchBell, func(q *FetchRequest) { q.queued = false })
}

// Path returns the broadcast's path.
func (q *FetchRequest) Path() string { return q.key.path }

// Track returns the track's name.
func (q *FetchRequest) Track() string { return q.key.name }

// Group returns the group's sequence.
func (q *FetchRequest) Group() uint64 { return q.group }

// Options says what is wanted of the group, within the limits of a group.
func (q *FetchRequest) Options() FetchOptions { return q.opts }

// Left returns a channel that is closed when nobody wants the group any more: its reader
// gave up the wait, has read what it wanted, or closed it.
func (q *FetchRequest) Left() <-chan struct{} { return q.left }

// Info returns the track's properties if it is being read, so that they need not be asked
// for.
func (q *FetchRequest) Info() (TrackInfo, bool) {
	f := q.requests.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := q.requests.tracks[q.key].track; t != nil {
		return t.info, true
	}
	return TrackInfo{}, false
}

// Accept makes the group, whose frames will be written from index first on. The error is
// [moqerr.ErrClosed] if the request is done already or was left, or a *moqerr.ConfigError for
// a TrackInfo that cannot be used or a first frame behind the one that is wanted.
func (q *FetchRequest) Accept(info TrackInfo, first int) (*GroupProducer, error) {
	info, err := info.filled()
	if err != nil {
		return nil, err
	}
	if first < 0 || first > q.opts.FirstFrame {
		return nil, &moqerr.ConfigError{Field: "first", Err: errFirstFrame}
	}
	t := newTrack(q.requests.feed.origin, nowhere{}, q.key.name, info, 0)
	t.feed, t.lone = q.requests.feed, true
	g := newGroup(t)
	g.cutHead(first)
	if err := t.add(g, &q.group); err != nil {
		return nil, err
	}
	c := newRange(g, q.opts)
	c.fetch = q
	runtime.AddCleanup(c, (*group).drop, g) // a reader that forgets it does not keep the budget
	if !q.answer(c, nil) {
		g.drop()
		return nil, moqerr.ErrClosed
	}
	return &GroupProducer{g}, nil
}

// Reject fails the Fetch with err: a *moqerr.StreamError as a rule. Nil stands for
// StreamNotFound.
func (q *FetchRequest) Reject(err error) {
	if err == nil {
		err = streamError(moqerr.StreamNotFound)
	}
	q.answer(nil, err)
}

// answer settles the request and reports whether it was the first to do so.
func (q *FetchRequest) answer(c *GroupConsumer, err error) bool {
	f := q.requests.feed
	f.mu.Lock()
	if q.answered {
		f.mu.Unlock()
		return false
	}
	q.answered, q.consumer, q.err = true, c, err
	f.discount(q.key)
	if q.queued {
		f.fetches = without(f.fetches, q)
	}
	f.mu.Unlock()
	close(q.done)
	return true
}

func (q *FetchRequest) abandon() { q.leave.Do(func() { close(q.left) }) }

// takeBack ends the wait for an answer, or what has come of it.
func (q *FetchRequest) takeBack() {
	q.abandon()
	if !q.answer(nil, moqerr.ErrClosed) && q.consumer != nil {
		q.consumer.release()
	}
}

// fetch looks into the running track, and else asks the supplier.
func (h *Requests) fetch(key trackKey, group uint64, o FetchOptions) (*GroupConsumer, *FetchRequest, error) {
	f := h.feed
	f.mu.Lock()
	if h.closed {
		err := h.refusal()
		f.mu.Unlock()
		return nil, nil, err
	}
	running := h.tracks[key].track
	f.mu.Unlock()
	if running != nil {
		if c := running.fetch(group, o); c != nil {
			return c, nil, nil
		}
	}
	q := &FetchRequest{requests: h, key: key, group: group, opts: o, done: make(chan struct{}), left: make(chan struct{})}
	if err := q.ask(); err != nil {
		return nil, nil, err
	}
	return nil, q, nil
}

// ask puts the request into the feed's queue.
func (q *FetchRequest) ask() error {
	h := q.requests
	f := h.feed
	f.mu.Lock()
	if h.closed {
		err := h.refusal()
		f.mu.Unlock()
		return err
	}
	if !f.fetching {
		f.mu.Unlock()
		return streamError(moqerr.StreamNotFound)
	}
	if err := f.count(q.key); err != nil {
		f.mu.Unlock()
		return err
	}
	q.queued = true
	f.fetches = append(f.fetches, q)
	asleep := f.fetchBell.take()
	f.mu.Unlock()
	f.fetchBell.ring(asleep)
	return nil
}

// refuseFetches fails what nobody has taken out of the queue. The caller holds no lock.
func (f *Feed) refuseFetches() {
	f.mu.Lock()
	waiting := append([]*FetchRequest(nil), f.fetches...)
	f.mu.Unlock()
	for _, q := range waiting {
		f.mu.Lock()
		err := q.requests.refusal()
		f.mu.Unlock()
		q.Reject(err)
	}
}
