package pubsub

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/remoq/moq/moqerr"
)

// A failed subscription is tried again after this time, doubled up to the longest one, or
// as soon as the announcement changes.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second
)

// Resume says where a Follower goes on after a loss.
type Resume int

// ResumeLive goes on at the live edge: with the group that the publisher is at.
const ResumeLive Resume = 0

// FollowOptions is how to follow a track. The zero value begins at the latest group and
// resumes at the live edge.
type FollowOptions struct {
	SubscribeOptions
	Resume Resume
}

// FollowState is a snapshot of a Follower.
type FollowState struct {
	Live   bool   // there is a subscription; else it waits for one
	Losses uint64 // subscriptions lost so far
	// LostGroups counts the groups named by gaps so far, and those that were lost before
	// the end or before End, from when io.EOF is returned. A restart counts none.
	LostGroups uint64
	Err        error // the last failure; nil if none
}

// Follower is a durable subscription: it waits for the broadcast, subscribes, and after
// every loss does so again. One goroutine reads at a time; the other methods may be called
// from anywhere.
//
// What a loss cost is told by the Gap of the next group, exactly: from the first frame that
// had not come yet. Where groups that had come whole, or frames of a cut one, lie within
// the loss, it is several gaps ([GroupConsumer.Gaps]). If no group follows, since the track
// ended meanwhile, FollowState counts what was lost. The Gap's Cause is what ended the subscription. A group that was cut stays
// readable as far as it came, and then ends with that cause. If it is still live
// afterwards, it comes again as a group that begins at the first frame that had not come
// ([GroupConsumer.Index]). Whether a group of which all frames had come, but not its end,
// lost anything cannot be known; a gap then counts it from its end on. No frame is delivered twice, and no group twice that had come
// whole.
//
// A publisher with a new identity starts a new numbering: the first group of it has a
// Gap with Restarted set. If the identity is unknown, a live group that lies before the
// last one delivered is taken for a restart.
type Follower struct {
	origin *Origin
	path   string
	track  string
	bad    error // why the path or the track cannot be followed
	done   chan struct{}
	cursor *Announcements

	// Owned by the reader.
	active   bool      // the path is announced
	failures int       // in a row; a group that is delivered ends it
	retryAt  time.Time // when to try again after the last failure; zero: now
	source   uint64
	fresh    bool // no group of this subscription was looked at yet
	position position
	cause    error // of the loss that has not been told yet

	mu sync.Mutex
	// Guarded by mu.
	opts   SubscribeOptions
	rev    uint64         // counts changes of opts
	asked  *attempt       // not answered yet, or not looked at
	sub    *TrackConsumer // nil while waiting
	closed bool
	state  FollowState
}

// Follow returns a durable subscription to a track. It does nothing until it is read, but
// for keeping an eye on the announcements of the path; Close releases that.
func (o *Origin) Follow(path, track string, opts FollowOptions) *Follower {
	path, err := parsePath("path", path)
	if err == nil {
		err = checkTrack(track)
	}
	return &Follower{
		origin: o, path: path, track: track, bad: err, done: make(chan struct{}),
		cursor: o.announcements(path, 0, true), opts: opts.copied(),
	}
}

// NextGroup returns the next group; order, waiting and skipping are those of
// [TrackConsumer.NextGroup]. It ends with
//
//   - ctx.Err(), or [moqerr.ErrClosed] after Close;
//   - io.EOF when the track ended properly, or behind End;
//   - a *moqerr.StreamError (StreamNotFound) if the broadcast is announced and has no such
//     track; another call asks again;
//   - the error of the origin's last supervisor, if it would have to wait (see
//     [Origin.Supervise]);
//   - a *moqerr.ConfigError if no broadcast can have that path, or no track that name.
//
// Every other failure is waited out. What was asked for stays asked for when ctx ends, so
// that calls with short contexts get there too.
func (f *Follower) NextGroup(ctx context.Context) (*GroupConsumer, error) {
	for {
		sub, err := f.subscription(ctx)
		if err != nil {
			return nil, err
		}
		c, err := sub.NextGroup(ctx)
		switch {
		case err == nil:
			if c = f.take(c); c != nil {
				return c, nil
			}
		case f.isClosed():
			return nil, moqerr.ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err == io.EOF:
			f.settle(sub)
			return nil, io.EOF
		default:
			f.lose(sub, err)
		}
	}
}

// Groups iterates over the groups as NextGroup returns them. Leaving the loop early closes
// the group at hand; the Follower stays open until Close.
func (f *Follower) Groups(ctx context.Context) iter.Seq2[*GroupConsumer, error] {
	return groups(ctx, f.NextGroup)
}

// Update replaces what the reader wants, as [TrackConsumer.Update] does; also of a
// subscription that is still being asked for. It fails with [moqerr.ErrClosed] after Close.
func (f *Follower) Update(o SubscribeOptions) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return moqerr.ErrClosed
	}
	f.opts = o.copied()
	f.rev++
	sub, asked := f.sub, f.asked
	f.mu.Unlock()
	switch {
	case sub != nil:
		_ = sub.Update(o) // one that was lost just now does not matter
	case asked != nil:
		asked.update(o)
	}
	return nil
}

// State returns how the Follower is doing.
func (f *Follower) State() FollowState {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state
}

// Close ends the Follower and unblocks NextGroup. Groups that were delivered can still be
// read. It may be repeated and returns nil.
func (f *Follower) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.state.Live = false
	sub, asked := f.sub, f.asked
	f.asked = nil
	f.mu.Unlock()
	close(f.done)
	f.cursor.Close()
	if asked != nil {
		asked.request.leave(asked.waiter)
	}
	if sub != nil {
		_ = sub.Close()
	}
	return nil
}

func (f *Follower) isClosed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// subscription returns the running subscription, or makes one when it is time.
func (f *Follower) subscription(ctx context.Context) (*TrackConsumer, error) {
	f.mu.Lock()
	sub, asked, closed := f.sub, f.asked, f.closed
	f.mu.Unlock()
	switch {
	case closed:
		return nil, moqerr.ErrClosed
	case f.bad != nil:
		return nil, f.bad
	case sub != nil:
		return sub, nil
	}
	for {
		if asked == nil {
			if err := f.pause(ctx); err != nil {
				return nil, err
			}
			if err := f.await(ctx); err != nil {
				return nil, err
			}
		}
		sub, err := f.subscribe(ctx, asked)
		switch {
		case err == nil:
			return sub, nil
		case f.isClosed():
			return nil, moqerr.ErrClosed
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		asked = nil
		f.fail()
		f.mu.Lock()
		f.state.Err = err
		f.mu.Unlock()
		if errors.Is(err, streamError(moqerr.StreamNotFound)) {
			return nil, err
		}
	}
}

// fail counts a failure and settles when to try again.
func (f *Follower) fail() {
	d := min(retryFirst<<min(f.failures, 10), retryLast)
	f.failures++
	f.retryAt = time.Now().Add(d/2 + rand.N(d/2))
}

// pause waits after a failure: for a while, or until the announcement changes. The time
// goes on between calls, so that short ones get there too.
func (f *Follower) pause(ctx context.Context) error {
	if f.retryAt.IsZero() {
		return nil
	}
	timer := time.NewTimer(time.Until(f.retryAt))
	defer timer.Stop()
	for {
		a, err := f.cursor.next(ctx, timer.C)
		if err != nil && err != errTimer {
			return err
		}
		if err == errTimer || f.see(a) {
			f.retryAt = time.Time{}
			return nil
		}
	}
}

// await waits until the broadcast is announced.
func (f *Follower) await(ctx context.Context) error {
	for a, ok := f.cursor.poll(); ok; a, ok = f.cursor.poll() {
		f.see(a)
	}
	for !f.active {
		a, err := f.cursor.next(ctx, nil)
		if err != nil {
			return err
		}
		f.see(a)
	}
	return nil
}

// see takes note of an announcement and reports whether it is one.
func (f *Follower) see(a Announcement) bool {
	if a.Synced {
		return false
	}
	f.active = a.Active
	return true
}

// lose notes what a failed subscription left unfinished.
func (f *Follower) lose(sub *TrackConsumer, err error) {
	_ = sub.Close()
	f.position.breakOff(err)
	f.cause = err
	f.fail()
	f.mu.Lock()
	f.sub = nil
	f.state.Live = false
	f.state.Losses++
	f.state.Err = err
	f.mu.Unlock()
}

// take decides what of a group is delivered: nil if all of it was.
func (f *Follower) take(c *GroupConsumer) *GroupConsumer {
	p := &f.position
	fresh := f.fresh
	f.fresh = false
	gaps, index := c.gaps, 0
	switch {
	case !p.known:
	case p.restartedBy(f.source, fresh, c.Sequence()):
		gaps = []Gap{p.end(f.cause)}
		*p, f.cause = position{}, nil
	case f.cause != nil:
		var wanted bool
		if index, wanted = p.resumeAt(c.Sequence()); !wanted {
			return nil
		}
		gaps = p.lostBefore(c.Sequence(), f.cause)
		if c.Sequence() >= p.top {
			f.cause = nil
		}
	}
	f.failures = 0
	f.count(gaps)
	p.advance(c.g, index, f.source)
	return newGroupConsumer(c.g, gaps, index)
}

// settle counts what a loss cost before the end that sub came to, of which no gap tells.
func (f *Follower) settle(sub *TrackConsumer) {
	p := &f.position
	if f.cause == nil || !p.known || f.source != 0 && p.source != 0 && f.source != p.source {
		return
	}
	end, bounded := sub.end()
	if bounded && end < p.top {
		return // another numbering
	}
	f.count(p.lostBefore(end, f.cause))
	p.giveUp(end)
}

func (f *Follower) count(gaps []Gap) {
	n := uint64(0)
	for _, gap := range gaps {
		if !gap.Restarted {
			n += gap.Last - gap.First + 1
		}
	}
	if n == 0 {
		return
	}
	f.mu.Lock()
	f.state.LostGroups += n
	f.mu.Unlock()
}
