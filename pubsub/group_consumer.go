package pubsub

import (
	"context"
	"io"
	"iter"
	"sync/atomic"

	"github.com/remoq/moq/moqerr"
)

// Gap names what was lost just before a group.
type Gap = moqerr.Gap

// GroupConsumer reads one group. One goroutine reads at a time; Close may be called
// from anywhere and unblocks it. A group that is not closed costs nothing but the
// memory of its frames.
//
// A read that has to wait ends with ctx.Err(), with [moqerr.ErrClosed] after Close, with
// io.EOF behind the last frame, or with the error that cut the group: a
// *moqerr.StreamError with the producer's code, with StreamOld if the reader was so slow
// that an unfinished group was given up, or the cause of the track's failure. Frames that
// are here are always delivered first.
type GroupConsumer struct {
	g    *group
	gaps []Gap
	// withheld: some of what gaps name did not come, although it is not too old for the reader.
	withheld bool
	index    atomic.Int64
	open     *openGroup    // of a group that outlives subscriptions, else nil
	fetch    *FetchRequest // of a fetched range, else nil
	end      int           // index behind the last frame that is wanted; 0: the group's end
	exact    bool          // fewer frames than wanted are an error
	closed   atomic.Bool   // written under group.mu

	sleeper sleeper
}

// newGroupConsumer reads g from frame index on.
func newGroupConsumer(g *group, gaps []Gap, index int) *GroupConsumer {
	c := &GroupConsumer{g: g, gaps: gaps}
	c.index.Store(int64(index))
	return c
}

// Sequence returns the group's number within its track.
func (c *GroupConsumer) Sequence() uint64 { return c.g.sequence }

// Gap returns what was lost just before this group; nil if nothing. Where a loss is in
// several pieces it is the last of them: see [GroupConsumer.Gaps].
func (c *GroupConsumer) Gap() *Gap {
	if len(c.gaps) == 0 {
		return nil
	}
	return &c.gaps[len(c.gaps)-1]
}

// Gaps returns all that was lost since the group that was delivered before, in pieces by
// sequence. Groups between two of them had come whole before a loss of the subscription.
// Read-only.
func (c *GroupConsumer) Gaps() []Gap { return c.gaps }

// Index returns the index within the group of the next frame to be read.
func (c *GroupConsumer) Index() int { return int(c.index.Load()) }

// Complete reports that the group has ended and all that is left of it is here, so that
// reading will not wait.
func (c *GroupConsumer) Complete() bool {
	_, done, err := c.g.outcome()
	return done && (err == nil || c.open == nil)
}

// NextFrame returns the next frame and waits for it if need be. The payload is shared
// with other readers: it is read-only, and stays valid.
func (c *GroupConsumer) NextFrame(ctx context.Context) (Frame, error) {
	raw, err := c.next(ctx)
	if err != nil {
		return Frame{}, err
	}
	return Frame{Timestamp: toDuration(raw.Ticks, c.g.track.info.Timescale), Payload: raw.Payload}, nil
}

// AppendFrame is NextFrame with the payload appended to dst, so that it is the
// caller's own. On error the frame is empty and dst unchanged.
func (c *GroupConsumer) AppendFrame(ctx context.Context, dst []byte) (Frame, error) {
	f, err := c.NextFrame(ctx)
	if err != nil {
		return Frame{}, err
	}
	f.Payload = append(dst, f.Payload...)
	return f, nil
}

// ReadRaw waits for at least one frame and fills dst with what is ready. It returns the
// number of frames; with an error that is 0. Payloads are shared and read-only. An
// empty dst waits and reads nothing.
func (c *GroupConsumer) ReadRaw(ctx context.Context, dst []RawFrame) (int, error) {
	if err := c.await(ctx); err != nil {
		return 0, err
	}
	from := c.Index()
	n := min(c.limit(c.g.ready())-from, len(dst))
	for i := range n {
		dst[i] = *c.g.frame(from + i)
	}
	c.index.Add(int64(n))
	return n, nil
}

// Frames iterates over what is left of the group. Leaving the loop early closes the
// group.
func (c *GroupConsumer) Frames(ctx context.Context) iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		for {
			f, err := c.NextFrame(ctx)
			if err == io.EOF {
				return
			}
			if !yield(f, err) {
				_ = c.Close()
				return
			}
			if err != nil {
				return
			}
		}
	}
}

// Close ends the reading of this group: a waiting read returns [moqerr.ErrClosed]. It may
// be repeated and returns nil.
func (c *GroupConsumer) Close() error {
	if c.open != nil {
		c.closed.Store(true)
		c.sleeper.ring() // it was prepared: a reader that is about to sleep finds it rung
		c.open.leave()
		return nil
	}
	c.g.mu.Lock()
	c.closed.Store(true)
	c.g.bell.remove(&c.sleeper)
	c.g.mu.Unlock()
	c.sleeper.ring()
	c.release()
	return nil
}

func (c *GroupConsumer) next(ctx context.Context) (RawFrame, error) {
	if err := c.await(ctx); err != nil {
		return RawFrame{}, err
	}
	return *c.g.frame(int(c.index.Add(1)) - 1), nil
}

// await returns nil once the next frame is here.
func (c *GroupConsumer) await(ctx context.Context) error {
	if c.open != nil {
		return c.open.await(ctx, c)
	}
	for {
		if c.closed.Load() {
			return moqerr.ErrClosed
		}
		if c.Index() < c.limit(c.g.ready()) {
			return nil
		}
		asleep, err := c.sleep()
		if err != nil {
			c.release()
			return err
		}
		if !asleep {
			continue
		}
		if err := c.sleeper.wait(ctx, nil); err != nil {
			c.g.mu.Lock()
			c.g.bell.remove(&c.sleeper)
			c.g.mu.Unlock()
			if c.Index() < c.limit(c.g.ready()) {
				return nil // what is here goes before the end of ctx
			}
			return err
		}
	}
}

// sleep puts the reader into the group's bell if there is nothing to read, or returns
// why there never will be.
func (c *GroupConsumer) sleep() (asleep bool, err error) {
	g := c.g
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case c.closed.Load() || c.Index() < c.limit(g.ready()):
		return false, nil
	case c.end > 0 && c.Index() >= c.end:
		return false, io.EOF
	case g.done && g.err != nil:
		return false, g.err
	case g.done && c.exact && (c.Index() > g.ready() || c.end > 0):
		return false, streamError(moqerr.StreamTooFarBehind)
	case g.done:
		return false, io.EOF
	}
	g.bell.add(&c.sleeper)
	return true, nil
}
