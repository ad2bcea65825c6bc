package pubsub

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/remoq/moq/moqerr"
)

// openGroup is a group that a Follower's reader has, or will get next. It outlives
// subscriptions: what comes of it from each of them is a copy, of which the reader takes
// the frames that the copies before did not have.
type openGroup struct {
	f        *Follower
	sequence uint64
	consumer *GroupConsumer

	// Owned by whoever has the Follower's turn.
	last      *group    // the newest copy
	have      int       // index behind the last frame that the copies before it had
	cut       bool      // last came with a subscription that is gone
	doubted   *group    // the copy that broke off while its subscription runs
	since     time.Time // when that was seen
	tried     int       // above the index from which the running subscription's peer was asked for it; 0: never
	settled   bool      // what is missing before it was told by the subscription that brought it
	gaps      []Gap     // so
	restarted bool      // it begins a new numbering

	mu sync.Mutex
	// Guarded by mu.
	copies  []*group         // those that the reader has not come to
	fetched []*GroupConsumer // to be released with the group
	err     *moqerr.GapError // why nothing more comes; nil: not known
	left    bool             // the reader is done with it
	stop    func()           // ends what the reader does as the one who moves the Follower on
	adrift  bool             // nothing comes of last any more, and it may never end
	asking  *FetchRequest    // for the rest of it, not answered yet

	// The reader's own.
	timer *time.Timer
	index int       // of the frame that it waits for
	alarm time.Time // when it looks for a stall; zero: not settled
}

// newOpenGroup makes a group of what the subscription brought.
func (f *Follower) newOpenGroup(c *GroupConsumer) *openGroup {
	o := &openGroup{f: f, sequence: c.g.sequence, last: c.g, consumer: newGroupConsumer(c.g, nil, c.Index())}
	o.consumer.open = o
	o.consumer.sleeper.prepare()
	o.have = c.Index()
	return o
}

// frames returns the index behind the last frame that has come.
func (o *openGroup) frames() int { return max(o.have, o.last.ready()) }

// over reports whether nothing of it can be lost any more: it is whole, or given up, or
// not wanted.
func (o *openGroup) over() bool {
	if _, done, err := o.last.outcome(); done && err == nil {
		return true
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err != nil || o.left
}

// breakOff notes that the subscription is gone. Its track may go on without saying anything, so
// whoever sleeps within the group is woken.
func (o *openGroup) breakOff() {
	o.have, o.cut, o.tried = o.frames(), true, 0
	o.mu.Lock()
	o.adrift = true
	o.mu.Unlock()
	o.consumer.sleeper.ring()
}

// drifts reports whether the reader has to see to the rest by itself.
func (o *openGroup) drifts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.adrift
}

// awaits notes what was asked for the rest, so that leave takes it back; nil: nothing.
func (o *openGroup) awaits(q *FetchRequest) {
	o.mu.Lock()
	o.asking = q
	left := o.left
	o.mu.Unlock()
	if left && q != nil {
		q.takeBack()
	}
}

// goOnWith gives the reader another copy; via is what was fetched for it, if it was.
func (o *openGroup) goOnWith(g *group, via *GroupConsumer) {
	o.have = o.frames()
	o.last, o.cut, o.doubted = g, false, nil
	o.mu.Lock()
	left := o.left
	o.adrift = false
	o.copies = append(o.copies, g)
	if via != nil && !left {
		o.fetched = append(o.fetched, via)
	}
	o.mu.Unlock()
	if via != nil && left {
		via.release()
	}
	o.consumer.sleeper.ring()
}

// giveUp ends the group behind what has come, and returns what is lost of it.
func (o *openGroup) giveUp(cause error) Gap {
	gap := Gap{First: o.sequence, FirstFrame: o.frames(), Last: o.sequence, Cause: cause}
	o.mu.Lock()
	if o.err == nil {
		o.err = &moqerr.GapError{Gap: gap}
	}
	o.mu.Unlock()
	o.consumer.sleeper.ring()
	return gap
}

// verdict returns why nothing more comes behind the copy that the reader has; nil if more
// may come, or if that copy is whole.
func (o *openGroup) verdict(c *GroupConsumer) error {
	o.mu.Lock()
	err := o.err
	o.mu.Unlock()
	if err == nil {
		return nil // and not a nil *GapError
	}
	if _, done, cut := c.g.outcome(); done && cut == nil {
		return nil
	}
	return err
}

// answered reports whether the reader has something to look at.
func (o *openGroup) answered() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.err != nil || len(o.copies) > 0 || o.left
}

// next moves the reader on to the next copy, if there is one, and reports whether it should look
// again. The copy that it has may have grown meanwhile, and the next one begin behind that.
func (o *openGroup) next(c *GroupConsumer) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.copies) == 0:
		return false
	case c.Index() < c.g.ready():
		return true
	}
	c.g = o.copies[0]
	o.copies = o.copies[1:]
	return true
}

// leave says that the reader is done with it. Nothing needs to wait for the rest of it then.
func (o *openGroup) leave() {
	o.mu.Lock()
	awaited := o.adrift && !o.left
	o.left = true
	fetched, stop, asking := o.fetched, o.stop, o.asking
	o.fetched, o.asking = nil, nil
	o.mu.Unlock()
	if stop != nil {
		stop()
	}
	for _, via := range fetched {
		via.release()
	}
	if asking != nil {
		asking.takeBack() // whoever has the turn hears of it at once
	}
	if awaited {
		o.f.nudge()
	}
}

// await returns nil once the reader's next frame is here.
func (o *openGroup) await(ctx context.Context, c *GroupConsumer) error {
	for {
		switch {
		case c.closed.Load():
			return moqerr.ErrClosed
		case c.Index() < c.g.ready():
			return nil
		case o.next(c):
			continue
		}
		if err := o.verdict(c); err != nil {
			o.leave()
			return err
		}
		asleep, err := c.sleep()
		switch {
		case err == io.EOF:
			o.leave()
			return err
		case err != nil:
			if err := o.until(ctx, c, o.f.repair); err != nil {
				return err
			}
		case asleep && o.drifts():
			c.g.mu.Lock()
			c.g.bell.remove(&c.sleeper)
			c.g.mu.Unlock()
			if err := o.until(ctx, c, o.f.repair); err != nil {
				return err
			}
		case asleep:
			if err := o.doze(ctx, c); err != nil {
				return err
			}
		}
	}
}

// doze waits for a frame, or until the subscription has been silent for too long.
func (o *openGroup) doze(ctx context.Context, c *GroupConsumer) error {
	var alarm <-chan time.Time
	if patience := time.Duration(o.f.patience.Load()); patience > 0 {
		// It goes on between calls, so that those with short contexts notice it too.
		if now := time.Now(); o.alarm.IsZero() || o.index != c.Index() || o.alarm.After(now.Add(patience)) {
			o.index, o.alarm = c.Index(), now.Add(patience)
		}
		wait := max(time.Until(o.alarm), 1)
		if o.timer == nil {
			o.timer = time.NewTimer(wait)
		} else {
			o.timer.Reset(wait)
		}
		defer o.timer.Stop()
		alarm = o.timer.C
	}
	g := c.g
	var err error
	silent := false
	select {
	case <-c.sleeper.ch:
		return nil
	case <-alarm:
		silent, o.alarm = true, time.Time{}
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.mu.Lock()
	g.bell.remove(&c.sleeper)
	g.mu.Unlock()
	switch {
	case c.Index() < g.ready():
		return nil // what is here goes before the end of ctx
	case silent:
		return o.until(ctx, c, o.f.wakeUp)
	}
	return err
}

// until lets the reader move the Follower on, which Close ends.
func (o *openGroup) until(ctx context.Context, c *GroupConsumer, act func(context.Context, *openGroup) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	o.mu.Lock()
	o.stop = cancel
	left := o.left
	o.mu.Unlock()
	if left {
		cancel()
	}
	if err := act(ctx, o); err != nil {
		if c.closed.Load() {
			return moqerr.ErrClosed
		}
		return err
	}
	return nil
}
