package session

import (
	"context"
	"errors"
	"io"
	"math"
	"sync"
	"time"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// publication is one subscription of the peer's to a track of ours.
type publication struct {
	s      *Session
	stream transport.Stream
	id     uint64

	mu sync.Mutex
	// Guarded by mu; track is written before anything is published, and read without it
	// from there on.
	track  *pubsub.TrackConsumer
	params wire.SubscribeParams
	gone   bool // the peer has unsubscribed
	open   map[uint64]*groupWriter
	rank   rank
	front  *groupWriter // of open: the one to be sent first
	next   *groupWriter // of open: the newest of the others
	cut    []uint64     // groups that were reset, of which the peer may know nothing

	ledger   ledger      // the publisher's goroutine only
	patience *time.Timer // of openSoon, likewise

	writers sync.WaitGroup
}

// serveTrack answers TRACK with TRACK_INFO (§4.4).
func (s *Session) serveTrack(stream transport.Stream, r *wire.Reader) error {
	body, err := s.request(r)
	if err != nil {
		return err
	}
	m, err := wire.ParseTrack(body, s.cfg.Version)
	if err != nil {
		return s.check(err)
	}
	ctx, cancel := s.whileWanted(s.serving, stream)
	defer cancel()
	broadcast, err := s.lookup(m.Broadcast)
	if err != nil {
		return err
	}
	info, err := broadcast.TrackInfo(ctx, m.Name)
	if err != nil {
		return err
	}
	reply := wire.TrackInfo{Priority: info.Priority, MaxAge: max(info.MaxAge, 0), Timescale: info.Timescale}
	_, err = stream.Write(reply.Append(nil, s.cfg.Version))
	return err
}

// whileWanted returns a context of parent that ends when the peer ends its side of a request,
// in whatever way.
func (s *Session) whileWanted(parent context.Context, stream transport.Stream) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	s.work.Go(func() {
		defer cancel()
		awaitEnd(stream)
	})
	return ctx, cancel
}

func (s *Session) lookup(path string) (*pubsub.BroadcastConsumer, error) {
	if s.cfg.Publish == nil {
		return nil, &moqerr.StreamError{Code: moqerr.StreamUnroutable}
	}
	return s.cfg.Publish.Lookup(wire.JoinPath(s.root, path), s.peer.Hop)
}

// serveSubscribe serves one subscription until the peer has had enough, the track
// ends, or the session does (§4.5, §6.3).
func (s *Session) serveSubscribe(stream transport.Stream, r *wire.Reader) error {
	body, err := s.request(r)
	if err != nil {
		return err
	}
	m, err := wire.ParseSubscribe(body, s.cfg.Version)
	if err != nil {
		return s.check(err)
	}
	if err := s.claim(m.ID); err != nil {
		return s.check(err)
	}
	defer s.unclaim(m.ID)
	p := &publication{
		s: s, stream: stream, id: m.ID,
		params: m.SubscribeParams, open: make(map[uint64]*groupWriter),
	}
	s.ranks.add(p, m.Priority)
	defer s.ranks.remove(p)
	broadcast, err := s.lookup(m.Broadcast)
	if err != nil {
		return err
	}
	alive, leave := context.WithCancel(s.ctx) // until the peer unsubscribes
	defer leave()
	wanted, enough := context.WithCancel(alive) // and until the session drains
	defer enough()
	defer context.AfterFunc(s.serving, enough)()
	defer context.AfterFunc(stream.Context(), func() { p.leave(); leave() })()
	heard := make(chan struct{})
	s.work.Go(func() {
		defer close(heard)
		defer leave()
		p.readUpdates(r)
	})
	defer func() { // r is the caller's again when this returns
		_ = stream.SetReadDeadline(time.Now())
		<-heard
	}()
	track, err := broadcast.Subscribe(wanted, m.Track, p.options(m.SubscribeParams))
	if err != nil {
		return err
	}
	defer func() { _ = track.Close() }() // never fails
	if err := p.attach(track, m.SubscribeParams); err != nil {
		return err
	}
	if !s.beginPublishing() {
		return errClosing
	}
	defer s.endPublishing()
	s.work.Go(func() { p.sendDatagrams(wanted) })
	defer context.AfterFunc(alive, func() {
		if p.left() {
			p.resetAll(moqerr.StreamCancelled)
		}
	})()
	return p.conclude(p.publish(alive, wanted))
}

// conclude waits for the groups that are still being sent, and says END: behind the last of
// them, not before it, since relays unsubscribe from a track of which they know the end, and
// what is on its way then would be cut. err is why nothing more is published; nil: the track
// has ended.
func (p *publication) conclude(err error) error {
	if p.left() {
		p.resetAll(moqerr.StreamCancelled)
	}
	p.writers.Wait()
	switch {
	case p.s.serving.Err() != nil:
		return errClosing
	case p.left():
		return nil // the peer's FIN is answered with ours
	case err == nil:
		return p.sayEnd()
	}
	return err
}

// beginPublishing counts one more publication that Close waits for, unless it has
// begun to wait.
func (s *Session) beginPublishing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.publishing++
	}
	return !s.closed
}

func (s *Session) endPublishing() {
	s.mu.Lock()
	s.publishing--
	last := s.closed && s.publishing == 0
	s.mu.Unlock()
	if last {
		close(s.published)
	}
}

// claim notes a subscribe id that is in use; no other subscription may have it.
func (s *Session) claim(id uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.served[id]; used {
		return &wire.Error{Message: "SUBSCRIBE", Field: "subscribe id", Err: wire.ErrDuplicate}
	}
	s.served[id] = struct{}{}
	return nil
}

func (s *Session) unclaim(id uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.served, id)
}

// options says what the peer asked for in the model's words. Max Age 0 means the
// live group only. A version whose start is a floor begins as far back as Max Age
// reaches when there is none.
func (p *publication) options(m wire.SubscribeParams) pubsub.SubscribeOptions {
	o := pubsub.SubscribeOptions{Priority: m.Priority, MaxAge: m.MaxAge}
	if m.MaxAge == 0 {
		o.MaxAge = pubsub.LiveOnly
	}
	if m.HasStart || p.s.cfg.Version.StartFloor() && m.MaxAge > 0 {
		o.Start, o.FirstFrame = &m.Start, int(min(m.FrameStart, wire.MaxGroupFrames))
	}
	if m.HasEnd {
		o.End = &m.End // a pause, not an end: NextArrival holds back what is above
	}
	return o
}

// readUpdates takes SUBSCRIBE_UPDATE until the peer unsubscribes.
func (p *publication) readUpdates(r *wire.Reader) {
	defer p.leave()
	for {
		body, err := r.Message()
		if err != nil {
			if !errors.Is(err, io.EOF) {
				_ = p.s.check(err)
			}
			return
		}
		m, err := wire.ParseSubscribeUpdate(body, p.s.cfg.Version)
		if err != nil {
			p.s.violation(err)
			return
		}
		p.mu.Lock()
		p.params = m.SubscribeParams
		track := p.track
		p.mu.Unlock()
		p.s.ranks.update(p, m.Priority)
		if track != nil && track.Update(p.options(m.SubscribeParams)) != nil {
			return
		}
	}
}

// attach makes track, which was asked for with params, the one that updates go to, with those
// that came meanwhile: only once there are none left, lest an older one be applied last.
func (p *publication) attach(track *pubsub.TrackConsumer, params wire.SubscribeParams) error {
	for {
		p.mu.Lock()
		now := p.params
		if now == params {
			p.track = track
		}
		p.mu.Unlock()
		if now == params {
			return nil
		}
		if err := track.Update(p.options(now)); err != nil {
			return err
		}
		params = now
	}
}

func (p *publication) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
}

func (p *publication) left() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.gone
}

// publish opens a stream for each group as it comes, says START before the first, and DROP of
// what never comes. It returns nil at the track's end.
func (p *publication) publish(alive, wanted context.Context) error {
	for started := false; ; started = true {
		group, err := p.track.NextArrival(wanted)
		switch {
		case errors.Is(err, io.EOF) && started:
			return p.account(true, math.MaxUint64) // END may have to wait
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		if err := p.account(started, group.Sequence()); err != nil {
			return errors.Join(err, group.Close())
		}
		p.watch() // send may have to wait for those that are too old
		if err := p.send(alive, group); err != nil {
			return err
		}
		p.watch() // it may be an older one itself
	}
}

// account says START before the first group, and before others DROP of those that are too
// old by now to be sent.
func (p *publication) account(started bool, sequence uint64) error {
	floor := min(sequence, p.track.Floor())
	if started {
		if err := p.sayCut(); err != nil {
			return err
		}
		if err := p.ledger.raise(floor, p.sayDrop); err != nil {
			return err
		}
		return p.passDrops()
	}
	p.ledger.floor = floor
	if err := p.sayStart(floor); err != nil {
		return err
	}
	return p.passDrops()
}

// passDrops tells the peer what we were told of groups that never come.
func (p *publication) passDrops() error {
	for _, r := range p.track.Dropped() {
		if err := p.ledger.pass(r.First, r.Last, p.sayDrop); err != nil {
			return err
		}
	}
	return nil
}

// sayCut tells the peer which groups were reset since it was told last.
func (p *publication) sayCut() error {
	for _, sequence := range p.takeCut() {
		if err := p.sayDrop(sequence, sequence); err != nil {
			return err
		}
	}
	return nil
}

// sayDrop tells the peer that a range of groups will not come, or no more of them.
func (p *publication) sayDrop(first, last uint64) error {
	m := wire.SubscribeReply{Kind: wire.ReplyDrop, Group: first, End: last, Code: uint64(moqerr.StreamOld)}
	_, err := p.stream.Write(m.Append(nil, p.s.cfg.Version))
	return err
}

// sayStart tells the peer that nothing below sequence will come.
func (p *publication) sayStart(sequence uint64) error {
	m := wire.SubscribeReply{Kind: wire.ReplyStart, Group: sequence}
	_, err := p.stream.Write(m.Append(nil, p.s.cfg.Version))
	return err
}

// sayEnd tells the peer the first sequence that will never exist. Peers of this
// generation take a FIN without it for a broken protocol.
func (p *publication) sayEnd() error {
	final, ok := p.track.Final()
	if !ok {
		return &moqerr.StreamError{Code: moqerr.StreamInternal}
	}
	if err := p.sayCut(); err != nil {
		return err
	}
	if len(p.ledger.known) > 0 || p.ledger.floor > 0 {
		if err := p.ledger.raise(final, p.sayDrop); err != nil {
			return err
		}
	}
	m := wire.SubscribeReply{Kind: wire.ReplyEnd, Group: final}
	_, err := p.stream.Write(m.Append(nil, p.s.cfg.Version))
	return err
}
