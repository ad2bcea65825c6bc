package session

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

const (
	// batchBytes is how much of what is ready goes into one write. Larger frames are
	// written as they are, without a copy.
	batchBytes = 16 << 10
	// batchFrames bounds the frames that are taken at once.
	batchFrames = 128
	// inlineBytes is what a fresh stream takes without blocking: one packet's worth.
	inlineBytes = 1200
	// staleGrace is how long a group that has become too old may still be blocked.
	staleGrace = 100 * time.Millisecond
)

// groupWriter sends one group on one stream.
type groupWriter struct {
	stream   transport.SendStream
	group    *pubsub.GroupConsumer
	sequence uint64
	until    int  // index behind the last frame that is wanted; 0: all
	sent     int  // bytes that the carrier has taken; the writer's own
	spot     bool // written on the spot: it does not wait
	waits    bool // counted among the small groups that wait, from its start on

	mu      sync.Mutex
	writing bool
	begun   bool // something was sent
	stale   bool
	done    bool
	timer   *time.Timer // runs out when the group becomes too old, and then when it is blocked
}

// buffers are shared by all writers: one that waits for its group holds none.
var buffers = sync.Pool{New: func() any {
	return &buffer{bytes: make([]byte, 0, batchBytes+1024)}
}}

// inlineWriters are for groups that are written on the spot.
var inlineWriters = sync.Pool{New: func() any { return new(groupWriter) }}

type buffer struct {
	bytes  []byte
	frames [batchFrames]pubsub.RawFrame
}

// send opens a stream for group and writes it: on the spot if it is complete and small and
// the carrier has nothing else to send first, else on a goroutine of its own, since a write may
// block. There may be no room for a small one, or no credit for a stream, until it is too old.
func (p *publication) send(ctx context.Context, group *pubsub.GroupConsumer) error {
	err := p.awaitRoom(ctx, group)
	var stream transport.SendStream
	if err == nil {
		stream, err = p.s.conn.OpenUniStream(ctx)
	}
	if err != nil {
		return errors.Join(err, group.Close())
	}
	if p.track.Stale(group.Sequence()) {
		stream.Reset(moqerr.StreamOld)
		return group.Close()
	}
	p.mu.Lock()
	params := p.params
	p.mu.Unlock()
	p.ledger.send(group.Sequence())
	until := 0
	header := wire.Group{Subscribe: p.id, Sequence: group.Sequence(), FrameStart: uint64(group.Index())}
	if params.HasEnd && params.HasFrameEnd && params.End == header.Sequence {
		until = int(min(params.FrameEnd, wire.MaxGroupFrames)) + 1
	}
	small := group.Complete() && group.Size() < inlineBytes
	if small && p.urgent() && p.s.outflow.openSoon(&p.patience) {
		p.enter(header.Sequence, stream, nil)
		w := inlineWriters.Get().(*groupWriter) // nobody else gets to see it
		w.stream, w.group, w.until, w.done, w.sent, w.spot = stream, group, until, false, 0, true
		w.run(p, header)
		w.stream, w.group = nil, nil
		inlineWriters.Put(w)
		return nil
	}
	w := &groupWriter{stream: stream, group: group, sequence: header.Sequence, until: until, waits: small}
	p.enter(header.Sequence, stream, w)
	p.writers.Add(1)
	if w.waits {
		p.s.outflow.enter()
	}
	p.s.work.Go(func() {
		defer p.writers.Done()
		w.run(p, header)
		p.exit(w)
		if w.waits {
			p.s.outflow.leave()
		}
	})
	return nil
}

// awaitRoom waits until one more group may wait for the carrier, if this is a small one.
func (p *publication) awaitRoom(ctx context.Context, group *pubsub.GroupConsumer) error {
	if group.Size() >= inlineBytes {
		return nil // a part of it can only leave on the peer's credit
	}
	return p.s.outflow.await(ctx, p.urgent())
}

// urgent reports whether nothing goes before this subscription.
func (p *publication) urgent() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.rank.first == urgencyFirst
}

// handsOver reports whether the carrier may be left with the end of a write: what it has of
// such ends is about to leave, as long as nothing more urgent can hold it up.
func (p *publication) handsOver() bool {
	yes := p.urgent()
	if yes {
		yes, _ = p.s.outflow.open()
	}
	return yes
}

// run writes the group to its end. What ends it early resets the stream, and is this
// group's affair alone.
func (w *groupWriter) run(p *publication, header wire.Group) {
	err := w.copy(p, header)
	w.mu.Lock()
	w.done = true
	timer := w.timer
	w.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
	if err == nil {
		err = w.stream.Close()
	}
	if err != nil && p.s.serving.Err() == nil {
		w.stream.Reset(streamCode(err))
		p.s.log.Debug("group not sent whole", "group", header.Sequence, "err", err)
	}
	_ = w.group.Close() // never fails
}

// copy gathers what is ready into one write and never waits for more: batches form
// by themselves while a write is under way. While it waits it holds no buffer.
func (w *groupWriter) copy(p *publication, header wire.Group) error {
	var last uint64
	for first := true; ; first = false {
		_, err := w.group.ReadRaw(p.s.serving, nil)
		if err != nil && !first {
			return unlessEOF(err)
		}
		buf := buffers.Get().(*buffer)
		b := buf.bytes[:0]
		if first {
			b = wire.AppendVarint(b, uint64(wire.UniGroup))
			b = header.Append(b, p.s.cfg.Version)
		}
		for err == nil {
			b, err = w.gather(b, buf, &last)
			if w.group.Buffered() == 0 {
				break // else the rest of a full batch would leave in a small write of its own
			}
		}
		if e := w.flush(p, buf, b); e != nil {
			err = e
		}
		if err != nil {
			return unlessEOF(err)
		}
	}
}

// gather encodes the frames that are ready behind b. It writes what fills a batch, and
// leaves the rest to the caller.
func (w *groupWriter) gather(b []byte, buf *buffer, last *uint64) ([]byte, error) {
	dst := buf.frames[:]
	if w.until > 0 {
		dst = dst[:min(len(dst), max(0, w.until-w.group.Index()))]
	}
	if len(dst) == 0 {
		return b, io.EOF
	}
	n, err := w.group.ReadRaw(context.Background(), dst) // there is one: it does not wait
	for _, frame := range dst[:n] {
		b = wire.AppendFrameHeader(b, int64(frame.Ticks)-int64(*last), len(frame.Payload))
		*last = frame.Ticks
		if len(frame.Payload) < batchBytes {
			b = append(b, frame.Payload...)
		} else {
			if err := errors.Join(w.write(b), w.write(frame.Payload)); err != nil {
				return b[:0], err
			}
			b = b[:0]
		}
		if len(b) >= batchBytes {
			if err := w.write(b); err != nil {
				return b[:0], err
			}
			b = b[:0]
		}
	}
	return b, err
}

func unlessEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (b *buffer) release() {
	clear(b.frames[:]) // payloads must not outlive their group in the pool
	if cap(b.bytes) <= 4*batchBytes {
		buffers.Put(b)
	}
}

// flush writes b, the last of what is ready, with which the carrier may be left or not, and
// gives buf back.
func (w *groupWriter) flush(p *publication, buf *buffer, b []byte) error {
	buf.bytes = b[:0]
	switch {
	case len(b) == 0 || w.spot || !w.waits && p.handsOver():
		defer buf.release()
		p.s.outflow.hand(len(b))
		return w.write(b)
	case w.sent+len(b) < inlineBytes:
		b = bytes.Clone(b) // there may be many of these
		buf.release()
		if !w.waits {
			p.s.outflow.enter()
			defer p.s.outflow.leave()
		}
	default:
		defer buf.release()
	}
	return w.writeBy(b, p.s.outflow.through)
}

// write blocks until the carrier has taken b, of which it keeps the end.
func (w *groupWriter) write(b []byte) error { return w.writeBy(b, transport.SendStream.Write) }

// writeBy writes b. If the group is too old already it may not be blocked for longer than
// staleGrace.
func (w *groupWriter) writeBy(b []byte, write func(transport.SendStream, []byte) (int, error)) error {
	if len(b) == 0 {
		return nil
	}
	w.mu.Lock()
	w.writing = true
	if w.stale {
		w.timer.Reset(staleGrace)
	}
	w.mu.Unlock()
	n, err := write(w.stream, b)
	w.sent += n
	w.mu.Lock()
	w.writing = false
	w.begun = w.begun || err == nil
	w.mu.Unlock()
	return err
}

// watch arms a timer for each group that is still being sent although a newer one
// exists: it runs out when the group becomes too old for the peer, and resets the
// stream if it is blocked then (§4.5, Max Age).
func (p *publication) watch() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for sequence, w := range p.open {
		in, older := p.track.StaleIn(sequence)
		if !older {
			continue
		}
		w.arm(in, func() { p.expire(sequence, w) })
	}
}

func (w *groupWriter) arm(in time.Duration, expire func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.done:
	case w.timer == nil:
		w.timer = time.AfterFunc(in, expire)
	case in <= 0 && !w.stale: // evicted before its time
		w.timer.Reset(0)
	}
}

// expire runs when a group's time may be over: presentation time passes as frames
// come, so it looks again. A group that waits for its publisher is left alone; one
// that is blocked is reset.
func (p *publication) expire(sequence uint64, w *groupWriter) {
	in, older := p.track.StaleIn(sequence)
	if older && w.overdue(in) {
		w.stream.Reset(moqerr.StreamOld)
		p.abandon(w)
	}
}

// abandon notes a group of which the peer may not even know that there was one.
func (p *publication) abandon(w *groupWriter) {
	w.mu.Lock()
	begun := w.begun
	w.mu.Unlock()
	if begun {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsent = append(p.unsent, w.sequence)
}

func (p *publication) takeUnsent() []uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	unsent := p.unsent
	p.unsent = nil
	return unsent
}

// overdue reports whether the group has been too old and blocked for staleGrace, and
// arms the timer anew if that can still happen.
func (w *groupWriter) overdue(in time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.done:
		return false
	case in > 0:
		w.timer.Reset(max(in, staleGrace))
		return false
	case w.stale:
		return w.writing
	}
	w.stale = true
	if w.writing {
		w.timer.Reset(staleGrace)
	}
	return false
}

// resetAll cuts every group that is still being sent.
func (p *publication) resetAll(code moqerr.StreamCode) {
	p.mu.Lock()
	open := make([]*groupWriter, 0, len(p.open))
	for _, w := range p.open {
		open = append(open, w)
	}
	p.mu.Unlock()
	for _, w := range open {
		w.stream.Reset(code)
		_ = w.group.Close() // ends its wait for frames
	}
}
