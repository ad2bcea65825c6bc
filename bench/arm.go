package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/remoq/moq/internal/session"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// setup says what an arm is made of. The zero value of from and to is raw quic-go.
type setup struct {
	load
	from, to end
	gather   int  // raw sender: bytes to gather for one write
	own      bool // our sender: WriteOwned
	append   bool // our receiver: AppendFrame
	single   bool // every frame is waited for
}

type end int

const (
	raw end = iota
	ours
)

type sender interface {
	begin(sequence uint64) error
	frame(n uint64) error
	end() error
}

type receiver interface {
	// run receives until the arm ends, and reports what it has checked to seen.
	run(ctx context.Context, seen *tally) error
}

// arm is a sender, a receiver, and a connection of their own between them.
type arm struct {
	setup
	pair     *pair
	sessions []*session.Session
	sender   sender
	seen     *tally
	next     uint64 // group

	work sync.WaitGroup
}

// open connects both ends and starts the receiver. The arm ends with ctx, or at the
// first error, which every later call returns; close it in any case.
func open(ctx context.Context, s setup) (*arm, error) {
	a := &arm{setup: s, seen: newTally(ctx, s.load, s.single)}
	var err error
	if a.pair, err = newPair(a.seen.ctx); err != nil {
		return nil, err
	}
	// Writes on raw streams know no context.
	context.AfterFunc(a.seen.ctx, a.pair.close)
	receiver, err := a.connect(a.seen.ctx)
	if err != nil {
		a.close()
		return nil, err
	}
	a.work.Go(func() { a.seen.abort(receiver.run(a.seen.ctx, a.seen)) })
	return a, nil
}

// connect makes the two ends.
func (a *arm) connect(ctx context.Context) (receiver, error) {
	near, far := &peer{ctx: ctx, conn: a.pair.near}, &peer{ctx: ctx, conn: a.pair.far}
	rs := &rawSender{
		load: a.load, conn: near.conn, gather: a.gather, ctx: ctx, payload: make([]byte, a.size),
	}
	a.sender = rs
	var from, to *pubsub.Origin
	var track *pubsub.TrackProducer
	if a.from == ours {
		from = pubsub.NewOrigin()
		var err error
		if track, err = publish(from); err != nil {
			return nil, err
		}
		a.sender = &trackSender{load: a.load, track: track, payload: make([]byte, a.size), own: a.own}
	}
	if a.to == ours {
		to = pubsub.NewOrigin()
	}
	switch {
	case a.from == ours && a.to == ours:
		if err := a.both(ctx, from, to); err != nil {
			return nil, err
		}
	case a.from == ours:
		if err := errors.Join(far.hello(), a.half(ctx, near, session.Config{Publish: from}), far.subscribe()); err != nil {
			return nil, err
		}
	case a.to == ours:
		subscribed := make(chan uint64, 1)
		a.work.Go(func() { a.seen.abort(near.serve(subscribed)) })
		if err := errors.Join(near.hello(), a.half(ctx, far, session.Config{Subscribe: to})); err != nil {
			return nil, err
		}
		receiver, err := a.subscribe(ctx, to)
		if err != nil {
			return nil, err
		}
		select {
		case rs.subscribe = <-subscribed:
			return receiver, nil
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	receiver := receiver(&rawReceiver{load: a.load, conn: far.conn})
	if a.to == ours {
		var err error
		if receiver, err = a.subscribe(ctx, to); err != nil {
			return nil, err
		}
	}
	if track == nil {
		return receiver, nil
	}
	return receiver, wanted(ctx, track)
}

// both starts a session on either end.
func (a *arm) both(ctx context.Context, from, to *pubsub.Origin) error {
	accepted := make(chan error, 1)
	var far *session.Session
	a.work.Go(func() {
		var err error
		far, err = session.Start(ctx, transport.NewQUIC(a.pair.far, nil), session.Config{
			Subscribe: to, Version: version,
			Admit: func(wire.Setup) (string, error) { return "", nil },
		})
		accepted <- err
	})
	err := a.half(ctx, &peer{conn: a.pair.near}, session.Config{Publish: from})
	err = errors.Join(err, <-accepted)
	if far != nil {
		a.sessions = append(a.sessions, far)
	}
	return err
}

// half starts a session on p's end.
func (a *arm) half(ctx context.Context, p *peer, cfg session.Config) error {
	cfg.Version = version
	s, err := session.Start(ctx, transport.NewQUIC(p.conn, nil), cfg)
	if err == nil {
		a.sessions = append(a.sessions, s)
	}
	return err
}

func publish(o *pubsub.Origin) (*pubsub.TrackProducer, error) {
	b, err := o.CreateBroadcast(broadcastPath)
	if err != nil {
		return nil, err
	}
	track, err := b.CreateTrack(trackName, pubsub.TrackInfo{MaxAge: maxAge})
	if err != nil {
		return nil, err
	}
	return track, b.Announce()
}

func (a *arm) subscribe(ctx context.Context, o *pubsub.Origin) (receiver, error) {
	b, err := o.Broadcast(ctx, broadcastPath)
	if err != nil {
		return nil, err
	}
	// From the first group on: a live reader may miss what is written until START is here.
	var first uint64
	track, err := b.Subscribe(ctx, trackName, pubsub.SubscribeOptions{Start: &first})
	if err != nil {
		return nil, err
	}
	return &trackReceiver{load: a.load, track: track, append: a.append, buf: make([]byte, 0, a.size)}, nil
}

// wanted waits until somebody reads the track, so that no group comes too early.
func wanted(ctx context.Context, track *pubsub.TrackProducer) error {
	for {
		d := track.Demand()
		if d.Readers > 0 {
			return nil
		}
		select {
		case <-d.Changed:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// flood sends batch after batch while more says so, and waits until all has arrived.
func (a *arm) flood(more func(batches int) bool) error {
	err := func() error {
		for i := 0; i == 0 || more(i); i++ {
			if err := a.seen.start(); err != nil {
				return err
			}
			for range a.batch {
				if err := a.group(nil); err != nil {
					return err
				}
			}
		}
		return a.seen.finish(a.next)
	}()
	return a.why(err)
}

// group sends one whole group and calls sent after each frame.
func (a *arm) group(sent func() error) error {
	if err := a.sender.begin(a.next); err != nil {
		return err
	}
	n := a.next * uint64(a.frames)
	for i := range a.frames {
		if err := a.sender.frame(n + uint64(i)); err != nil {
			return err
		}
		if sent == nil {
			continue
		}
		if err := sent(); err != nil {
			return err
		}
	}
	a.next++
	return a.sender.end()
}

// why prefers what ended the arm to how a call noticed it.
func (a *arm) why(err error) error {
	if cause := context.Cause(a.seen.ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// rate floods for about d and returns how many frames a second arrived.
func (a *arm) rate(d time.Duration) (float64, error) {
	before, begin := a.next, time.Now()
	err := a.flood(func(int) bool { return time.Since(begin) < d })
	took := time.Since(begin)
	return float64((a.next-before)*uint64(a.frames)) / took.Seconds(), err
}

// close ends the arm and waits for everything that it started.
func (a *arm) close() {
	a.seen.abort(errClosed)
	for _, s := range a.sessions {
		s.Abort(0, "")
	}
	a.work.Wait()
	a.pair.close()
}

var errClosed = errors.New("arm closed")
