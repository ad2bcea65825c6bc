package pubsub

import (
	"context"

	"github.com/remoq/moq/moqerr"
)

// TrackRequests are the tracks of a broadcast that somebody wants and nobody has made yet.
// All methods may be called concurrently.
type TrackRequests struct{ requests *Requests }

// Tracks returns the requests for tracks that the broadcast does not have, which from here
// on wait for an answer instead of failing with StreamNotFound (moq-lite.md §6.9). Calling
// it again gives the same ones. A request is also answered by
// [BroadcastProducer.CreateTrack], and it is bounded as those of [Origin.Serve] are.
//
// A track that was made so and is not read any more can be let go with
// [TrackProducer.Release]: the next reader then makes a new request.
func (p *BroadcastProducer) Tracks() *TrackRequests {
	b := p.b
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.requests != nil {
		return &TrackRequests{b.requests}
	}
	f := b.origin.Feed()
	h := &Requests{feed: f, broadcast: b}
	f.routes[h] = struct{}{}
	if b.closed {
		h.closed, f.closed, f.err = true, true, moqerr.ErrClosed
	} else {
		b.requests = h
	}
	return &TrackRequests{h}
}

// Next returns the next request and waits for one if need be. It ends with ctx.Err(), or
// with [moqerr.ErrClosed] after Close and after the broadcast's Close.
func (r *TrackRequests) Next(ctx context.Context) (*Request, error) {
	return r.requests.feed.Next(ctx)
}

// Close ends the making of tracks by request: those that wait fail with StreamNotFound, and
// so do later readers. Tracks that were made go on. It may be repeated and returns nil.
func (r *TrackRequests) Close() error {
	h := r.requests
	b := h.broadcast
	b.mu.Lock()
	if b.requests == h {
		b.requests = nil
	}
	b.mu.Unlock()
	h.feed.close(nil, streamError(moqerr.StreamNotFound))
	return nil
}

// accept answers q with a new track, unless it was answered with another meanwhile.
func (b *broadcast) accept(q *Request, info TrackInfo) (*TrackProducer, error) {
	f := q.requests.feed
	f.mu.Lock()
	if q.answered {
		f.mu.Unlock()
		return nil, moqerr.ErrClosed
	}
	t, old, err := b.create(q.key.name, info)
	if err != nil {
		f.mu.Unlock()
		if err == moqerr.ErrDuplicate { // whoever made it answers the request
			err = moqerr.ErrClosed
		}
		return nil, err
	}
	q.give(t)
	f.mu.Unlock()
	close(q.done)
	if old != nil {
		old.forget()
	}
	return &TrackProducer{t}, nil
}

// supply answers those who wait for t, which was made without a request.
func (b *broadcast) supply(t *track) {
	b.mu.Lock()
	h := b.requests
	b.mu.Unlock()
	if h == nil {
		return
	}
	h.feed.mu.Lock()
	q := h.tracks[trackKey{b.path, t.name}].request
	if q != nil {
		q.give(t)
	}
	h.feed.mu.Unlock()
	if q != nil {
		close(q.done)
	}
}

// forget takes out a track that was released.
func (b *broadcast) forget(t *track) {
	b.mu.Lock()
	if b.tracks[t.name] == t {
		delete(b.tracks, t.name)
	}
	b.mu.Unlock()
	t.forget()
}

// running returns the track of that name.
func (b *broadcast) running(name string) *track {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.tracks[name]
}
