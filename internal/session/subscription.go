package session

import (
	"context"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// idleTrack is how long a track that was asked for but is not read yet is kept: a
// peer of ours asks for the track first and subscribes a round trip later.
const idleTrack = 5 * time.Second

// stragglers is how long groups may come after the end of the subscription that they
// belong to, at least and at most: streams do not keep their order (§4.5).
const (
	stragglers    = time.Second
	maxStragglers = 30 * time.Second
)

// subscription is one track of the peer's that readers of our origin want.
type subscription struct {
	s       *Session
	request *pubsub.Request
	path    string // as the peer names it
	id      uint64 // of the SUBSCRIBE, registered before it leaves

	producer *pubsub.TrackProducer // set before ready is closed
	ready    chan struct{}         // closed when TRACK_INFO was read
	ended    chan struct{}         // closed when the subscription is over

	params wire.SubscribeParams // what the peer was told last; demand's goroutine only
	served atomic.Bool          // the peer has said START, or a group has come
	begun  atomic.Bool          // a group has come
	first  chan uint64          // which; capacity 1

	mu    sync.Mutex
	tails []tail // guarded by mu; parts of groups that were asked for, the last maxTails
}

// maxTails is how many of these are remembered: answers may cross that many updates.
const maxTails = 64

// tail is a group without the frames before one.
type tail struct{ group, frame uint64 }

// serveRequests passes on what readers want of the routes that the peer announced.
func (s *Session) serveRequests() {
	for {
		request, err := s.feed.Next(s.ctx)
		if err != nil {
			return
		}
		s.work.Go(func() { s.subscribe(request) })
	}
}

// subscribe asks the peer for one track and keeps the subscription equal to what its
// readers want, until nobody wants it any more. TRACK and SUBSCRIBE leave together,
// so that the first group is one round trip away (§4.4, §4.5).
func (s *Session) subscribe(request *pubsub.Request) {
	path, ok := wire.CutPrefix(request.Path(), s.root)
	if !ok {
		request.Reject(&moqerr.StreamError{Code: moqerr.StreamUnroutable})
		return
	}
	sub := &subscription{
		s: s, request: request, path: path,
		ready: make(chan struct{}), ended: make(chan struct{}), first: make(chan uint64, 1),
	}
	defer close(sub.ended)
	err := s.settle(s.reason(sub.run()))
	s.forget(sub)
	switch {
	case sub.producer != nil && err != nil:
		sub.producer.Fail(err)
	case sub.producer == nil:
		request.Reject(err)
	}
}

// reason makes of what is wrong with the peer's words what readers can use: why the
// session ended, if it did, or else that the track is malformed.
func (s *Session) reason(err error) error {
	if !malformed(err) {
		return err
	}
	if s.ctx.Err() != nil {
		return context.Cause(s.ctx)
	}
	return &moqerr.StreamError{Code: moqerr.StreamMalformed}
}

// run returns nil when the track was released, or why it is over.
func (sub *subscription) run() error {
	ctx, cancel := context.WithCancelCause(sub.s.ctx)
	defer cancel(nil)
	sub.s.work.Go(func() { // a reader who leaves, or has no patience left, takes the request back
		select {
		case <-sub.request.Done():
			cancel(&moqerr.StreamError{Code: moqerr.StreamCancelled})
		case <-sub.ready:
		case <-ctx.Done():
		}
	})
	track, err := sub.s.askTrack(ctx, sub.path, sub.request.Track())
	if err != nil {
		return err
	}
	var stream transport.Stream
	if demand := sub.request.Demand(); demand.Readers > 0 {
		if stream, err = sub.open(ctx, demand); err != nil {
			sub.s.refuse(track, context.Canceled)
			return err
		}
		defer finish(stream)
	}
	info, err := sub.s.awaitInfo(ctx, track)
	if err != nil {
		return err
	}
	if sub.producer, err = sub.request.Accept(info); err != nil {
		return err
	}
	close(sub.ready)
	return sub.follow(stream)
}

// open sends SUBSCRIBE under an id that groups can name from now on.
func (sub *subscription) open(ctx context.Context, demand pubsub.Demand) (transport.Stream, error) {
	sub.s.register(sub)
	sub.tell(sub.wanted(demand))
	m := wire.Subscribe{ID: sub.id, Broadcast: sub.path, Track: sub.request.Track(), SubscribeParams: sub.params}
	return sub.s.ask(ctx, wire.StreamSubscribe, m.Append)
}

// tell notes what the peer is told, before it is.
func (sub *subscription) tell(p wire.SubscribeParams) {
	sub.params = p
	if p.FrameStart == 0 {
		return
	}
	sub.mu.Lock()
	defer sub.mu.Unlock()
	t := tail{p.Start, p.FrameStart}
	if at := slices.Index(sub.tails, t); at >= 0 {
		sub.tails = slices.Delete(sub.tails, at, at+1)
	} else if len(sub.tails) == maxTails {
		sub.tails = slices.Delete(sub.tails, 0, 1)
	}
	sub.tails = append(sub.tails, t)
}

// askedFor reports whether the peer was ever asked for that group from that frame on. What
// was asked for last does not count alone: an answer may cross an update.
func (sub *subscription) askedFor(group, frame uint64) bool {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	return slices.Contains(sub.tails, tail{group, frame})
}

// wanted says demand in the wire's words. Where the version knows no "latest", a
// start at the live group is asked for with Max Age 0, and Max Age is raised when the
// first group has come (§4.14). START does not tell which one that is: relays name
// groups in it that never come.
func (sub *subscription) wanted(demand pubsub.Demand) wire.SubscribeParams {
	p := wire.SubscribeParams{Priority: demand.Priority, MaxAge: max(demand.MaxAge, 0)}
	if demand.Start != nil {
		p.Start, p.HasStart = min(*demand.Start, wire.MaxSequence), true
	}
	if p.Start > 0 && sub.s.cfg.Version.FrameBounds() { // a start of 0 names no group there
		p.FrameStart = uint64(demand.FirstFrame)
	}
	if demand.End != nil {
		p.End, p.HasEnd = min(*demand.End, wire.MaxSequence), true
	}
	if sub.params.HasStart && (!p.HasStart || sub.params.Start < p.Start) {
		p.Start, p.HasStart = sub.params.Start, true // a floor never rises
		p.FrameStart = sub.params.FrameStart
	}
	if !p.HasStart && sub.s.cfg.Version.StartFloor() {
		p.MaxAge = 0
	}
	return p
}

// follow keeps the peer's idea of the subscription equal to the demand of our
// readers, and ends when there is none left or the track is finished.
func (sub *subscription) follow(stream transport.Stream) error {
	defer func() {
		if stream != nil {
			finish(stream) // unblocks the reader of the replies
		}
	}()
	replies := make(chan error, 1)
	listen := func() { replies <- sub.readReplies(stream) }
	if stream != nil {
		sub.s.work.Go(listen)
	}
	timer := time.NewTimer(idleTrack)
	defer timer.Stop()
	for finished := false; ; {
		demand := sub.producer.Demand()
		var err error
		switch {
		case finished: // nothing to ask for any more
			if demand.Readers == 0 && sub.producer.Release() {
				return nil
			}
		case demand.Readers > 0 && stream != nil:
			sub.update(stream, demand)
		case demand.Readers > 0:
			if stream, err = sub.open(sub.s.ctx, demand); err == nil {
				sub.s.work.Go(listen)
			}
		case stream != nil && sub.producer.Release():
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-demand.Changed:
		case n := <-sub.first:
			if !sub.params.HasStart {
				sub.params.Start, sub.params.HasStart = n, true
			}
		case err := <-replies:
			if err != nil {
				return err
			}
			finished = true
			if !sub.served.Load() {
				return sub.producer.Close() // there never was a group
			}
			timer.Reset(min(max(sub.producer.Info().MaxAge, stragglers), maxStragglers))
		case <-timer.C:
			if finished {
				return sub.producer.Close()
			}
			if stream == nil && sub.producer.Release() {
				return nil
			}
		case <-sub.s.ctx.Done():
			return context.Cause(sub.s.ctx)
		}
	}
}

// update sends SUBSCRIBE_UPDATE if the demand is not what the peer knows. A peer that has
// said all does not read it any more; what became of the stream its replies tell.
func (sub *subscription) update(stream transport.Stream, demand pubsub.Demand) {
	p := sub.wanted(demand)
	if p == sub.params {
		return
	}
	sub.tell(p)
	_, _ = stream.Write(wire.SubscribeUpdate{SubscribeParams: p}.Append(nil, sub.s.cfg.Version))
}

// readReplies reads START, END and DROP until the peer has said all; nil means that
// the track is finished.
func (sub *subscription) readReplies(stream transport.Stream) error {
	r := wire.NewReader(stream)
	ended := false
	for {
		m, err := wire.ReadSubscribeReply(r, sub.s.cfg.Version)
		if err == io.EOF {
			if !ended {
				sub.s.log.Debug("subscription finished without END", "subscribe id", sub.id)
				return &moqerr.StreamError{Code: moqerr.StreamMalformed}
			}
			return nil
		}
		if err != nil {
			return sub.s.check(err)
		}
		switch m.Kind {
		case wire.ReplyStart:
			sub.served.Store(true)
			sub.producer.StartAt(m.Group)
		case wire.ReplyEnd:
			ended = true
			if err := sub.producer.EndAt(m.Group); err != nil {
				if sub.s.cfg.Version.AnnounceIDs() {
					return err
				}
				sub.s.log.Debug("end left out", "err", err) // older peers say it too low
			}
		case wire.ReplyDrop:
			sub.producer.Drop(m.Group, m.End)
		}
	}
}

// begin notes the first group that came.
func (sub *subscription) begin(sequence uint64) {
	sub.served.Store(true)
	if sub.s.cfg.Version.StartFloor() && sub.begun.CompareAndSwap(false, true) {
		sub.first <- sequence
	}
}

// register gives sub a subscribe id, under which groups find it.
func (s *Session) register(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.id = s.nextSub
	s.nextSub++
	s.subs[sub.id] = sub
}

func (s *Session) forget(sub *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[sub.id] == sub {
		delete(s.subs, sub.id)
	}
}

func (s *Session) subscription(id uint64) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.subs[id]
}
