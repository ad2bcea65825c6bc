package session

import (
	"context"
	"errors"
	"io"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// serveFetch answers FETCH with the frames of one group, bare and up to its end (§4.6).
// The peer's FIN cancels it.
func (s *Session) serveFetch(stream transport.Stream, r *wire.Reader) error {
	body, err := s.request(r)
	if err != nil {
		return err
	}
	m, err := wire.ParseFetch(body, s.cfg.Version)
	if err != nil {
		return s.check(err)
	}
	alive, leave := s.whileWanted(s.ctx, stream) // until the peer has had enough
	defer leave()
	wanted, enough := context.WithCancel(alive) // and until the session drains
	defer enough()
	defer context.AfterFunc(s.serving, enough)()
	broadcast, err := s.lookup(m.Broadcast)
	if err != nil {
		return err
	}
	group, err := broadcast.Fetch(wanted, m.Track, m.Group, fetchOptions(m))
	if err != nil {
		return s.unlessDrained(alive, err)
	}
	defer func() { _ = group.Close() }() // never fails
	if !s.beginPublishing() {
		return errClosing
	}
	defer s.endPublishing()
	defer context.AfterFunc(alive, func() { s.refuse(stream, context.Canceled) })() // a write may be blocked
	if err := s.writeFetched(wanted, stream, group); err != nil {
		return s.unlessDrained(alive, err)
	}
	return stream.Close()
}

// unlessDrained is err, unless the session's close is behind it: what was written of the
// reply may still leave.
func (s *Session) unlessDrained(alive context.Context, err error) error {
	if s.serving.Err() != nil && alive.Err() == nil {
		return errClosing
	}
	return err
}

// fetchOptions says what the peer asked for in the model's words. What lies behind the
// largest group is cut to the frame behind it, which no group has.
func fetchOptions(m wire.Fetch) pubsub.FetchOptions {
	o := pubsub.FetchOptions{Priority: m.Priority, FirstFrame: int(min(m.FrameStart, wire.MaxGroupFrames))}
	if m.HasFrameEnd {
		o.Frames = int(min(m.FrameEnd, wire.MaxGroupFrames)) + 1 - o.FirstFrame
	}
	return o
}

// writeFetched writes what is ready in batches, like a group's writer.
func (s *Session) writeFetched(ctx context.Context, stream transport.Stream, group *pubsub.GroupConsumer) error {
	w := &groupWriter{stream: stream, group: group}
	var last uint64
	for {
		if _, err := group.ReadRaw(ctx, nil); err != nil {
			return unlessEOF(err)
		}
		buf := buffers.Get().(*buffer)
		b, err := buf.bytes[:0], error(nil)
		for err == nil && group.Buffered() > 0 {
			b, err = w.gather(b, buf, &last)
		}
		if err == nil {
			err = w.write(b)
		}
		buf.bytes = b[:0]
		buf.release()
		if err != nil {
			return err
		}
	}
}

// serveFetches passes on what readers fetch through the routes that the peer announced.
func (s *Session) serveFetches() {
	for {
		q, err := s.feed.NextFetch(s.ctx)
		if err != nil {
			return
		}
		s.work.Go(func() { s.fetch(q) })
	}
}

// fetch asks the peer for one group and fills it until it is whole or nobody wants it.
func (s *Session) fetch(q *pubsub.FetchRequest) {
	path, ok := wire.CutPrefix(q.Path(), s.root)
	if !ok {
		q.Reject(&moqerr.StreamError{Code: moqerr.StreamUnroutable})
		return
	}
	ctx, cancel := context.WithCancelCause(s.ctx)
	defer cancel(nil)
	s.work.Go(func() {
		select {
		case <-q.Left():
			cancel(&moqerr.StreamError{Code: moqerr.StreamCancelled})
		case <-ctx.Done():
		}
	})
	err := s.fetchGroup(ctx, q, path)
	if err == nil {
		return
	}
	if ctx.Err() != nil && s.ctx.Err() == nil {
		err = context.Cause(ctx)
	}
	q.Reject(s.settle(s.reason(err)))
}

// fetchGroup returns why the fetch came to nothing; nil once the group was accepted.
func (s *Session) fetchGroup(ctx context.Context, q *pubsub.FetchRequest, path string) error {
	o := q.Options()
	m := wire.Fetch{Broadcast: path, Track: q.Track(), Priority: o.Priority, Group: min(q.Group(), wire.MaxSequence)}
	first := 0
	if s.cfg.Version.FrameBounds() {
		first = o.FirstFrame
		m.FrameStart = uint64(first)
		if o.Frames > 0 {
			m.FrameEnd, m.HasFrameEnd = uint64(first+o.Frames-1), true
		}
	}
	stream, err := s.ask(ctx, wire.StreamFetch, m.Append)
	if err != nil {
		return err
	}
	// What is wrong with the reply is this group's affair, and the end of our interest is no
	// more than that: a FIN before the reply is complete would cancel it.
	defer s.refuse(stream, context.Canceled)
	defer context.AfterFunc(ctx, func() { s.refuse(stream, context.Canceled) })()
	info, known := q.Info()
	if !known {
		if info, err = s.trackInfo(ctx, path, q.Track()); err != nil {
			return err
		}
	}
	r := wire.NewBoundedReader(stream, s.budget)
	defer r.Release()
	in := &frames{r: r}
	frame, err := in.next()
	switch {
	case errors.Is(err, wire.ErrNoMemory):
		return &moqerr.StreamError{Code: groupCode(err)}
	case err != nil && !errors.Is(err, io.EOF):
		return err
	}
	group, failed := q.Accept(info, first)
	if failed != nil {
		return failed
	}
	if err == nil {
		if err = in.write(group, frame); err == nil {
			err = in.copyTo(group)
		}
	}
	if err == io.EOF {
		return group.Close()
	}
	if malformed(err) || errors.Is(err, wire.ErrNoMemory) {
		err = &moqerr.StreamError{Code: groupCode(err)}
	}
	group.Fail(s.settle(err))
	return nil
}
