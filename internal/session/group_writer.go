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
)

// groupWriter sends one group on one stream.
type groupWriter struct {
	stream   transport.SendStream
	group    *pubsub.GroupConsumer
	sequence uint64
	until    int  // index behind the last frame that is wanted; 0: all
	spot     bool // written on the spot: it does not wait
	waits    bool // counted among the small groups that wait, from its start on

	// The writer's own.
	sent  int    // bytes that the carrier has taken
	loose int    // of the last of these, so many may want for the peer's credit
	rest  []byte // all of the group, if it could not be written on the spot
	cut   error  // likewise: why it is not all of it

	mu      sync.Mutex
	writing bool
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
		return errors.Join(p.ledger.pass(group.Sequence(), group.Sequence(), p.sayDrop), group.Close())
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
	var rest []byte
	var cut error
	if small && p.urgent() && p.s.outflow.openSoon(&p.patience) {
		if rest, cut = p.sendAtOnce(stream, group, header, until); len(rest) == 0 {
			return nil
		}
	}
	w := &groupWriter{
		stream: stream, group: group, sequence: header.Sequence, until: until, rest: rest, cut: cut, waits: small,
	}
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

// sendAtOnce sends a small group without waiting for anything, and returns what the peer gives no
// credit for: all of it or nothing, and what cut it.
func (p *publication) sendAtOnce(stream transport.SendStream, group *pubsub.GroupConsumer, header wire.Group, until int) ([]byte, error) {
	p.enter(header.Sequence, stream, nil)
	w := inlineWriters.Get().(*groupWriter) // nobody else gets to see it
	*w = groupWriter{stream: stream, group: group, until: until, spot: true}
	w.run(p, header)
	rest, cut := w.rest, w.cut
	*w = groupWriter{}
	inlineWriters.Put(w)
	return rest, cut
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
	var err error
	if len(w.rest) == 0 {
		err = w.copy(p, header)
	} else if err = w.writeBy(w.rest, p.s.outflow.through); err == nil {
		err = w.cut
	}
	if w.spot && len(w.rest) > 0 {
		w.cut = err
		return
	}
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
		p.abandon(header.Sequence)
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
func (w *groupWriter) gather(b []byte, buf *buffer, last *uint64) (_ []byte, err error) {
	dst := buf.frames[:]
	if w.until > 0 {
		dst = dst[:min(len(dst), max(0, w.until-w.group.Index()))]
	}
	if len(dst) == 0 {
		return b, io.EOF
	}
	n, end := w.group.ReadRaw(context.Background(), dst) // there is one: it does not wait
	for _, frame := range dst[:n] {
		b = wire.AppendFrameHeader(b, int64(frame.Ticks)-int64(*last), len(frame.Payload))
		*last = frame.Ticks
		if len(frame.Payload) < batchBytes {
			b = append(b, frame.Payload...)
			if len(b) < batchBytes {
				continue
			}
			b, err = w.writeMost(b, b)
		} else if err = w.write(b); err == nil {
			b, err = w.writeMost(b, frame.Payload)
		}
		if err != nil {
			return b[:0], err
		}
	}
	return b, end
}

// writeMost writes all of p but its last byte, which it puts in b instead: it goes out with
// what comes behind it, or shows that the peer lets all leave that was written before.
func (w *groupWriter) writeMost(b, p []byte) ([]byte, error) {
	last := p[len(p)-1]
	err := w.write(p[:len(p)-1])
	return append(b[:0], last), err
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

// flush writes b, the last of what is ready, and gives buf back. The carrier may be left with b
// if it is sure to leave; if not, a group that is written on the spot keeps b for later.
func (w *groupWriter) flush(p *publication, buf *buffer, b []byte) error {
	buf.bytes = b[:0]
	refused := false
	if w.spot || !w.waits && p.handsOver() {
		var err error
		if b, err = w.handOver(p, b); err != nil {
			buf.release()
			return err
		}
		refused = len(b) > 0
	}
	small := w.sent+len(b) < inlineBytes
	if small || refused {
		b = bytes.Clone(b) // there may be many of these
		buf.release()
	} else {
		defer buf.release()
	}
	if w.spot {
		w.rest = b
		return nil
	}
	if len(b) > 0 && small && !w.waits {
		p.s.outflow.enter()
		defer p.s.outflow.leave()
	}
	w.loose = 0
	return w.writeBy(b, p.s.outflow.through)
}

// handOver leaves the carrier with the end of b, and returns what the peer has given no credit
// for: else it could make us hold the ends of any number of groups.
func (w *groupWriter) handOver(p *publication, b []byte) (rest []byte, err error) {
	if len(b) >= inlineBytes {
		if err := w.write(b[:len(b)-1]); err != nil {
			return nil, err
		}
		b = b[len(b)-1:]
	}
	p.s.outflow.hand(w.loose + len(b))
	w.loose = 0
	err = w.writeBy(b, func(stream transport.SendStream, b []byte) (int, error) {
		yes, err := stream.TryWrite(b)
		if !yes {
			rest = b
		}
		return len(b) - len(rest), err
	})
	return rest, err
}

// write blocks until the carrier has taken b, of which it keeps the end.
func (w *groupWriter) write(b []byte) error {
	w.loose += len(b)
	return w.writeBy(b, transport.SendStream.Write)
}

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
	w.mu.Unlock()
	return err
}
