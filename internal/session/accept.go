package session

import (
	"errors"
	"io"
	"time"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
)

// streamCost is what an open stream of the peer's takes beside what it carries: its
// goroutine, and quic-go's state of it.
const streamCost = 6 << 10

// acceptStreams gives each request of the peer's a goroutine of its own.
func (s *Session) acceptStreams() {
	for {
		stream, err := s.conn.AcceptStream(s.ctx)
		if err != nil {
			s.fail(s.cause(err))
			return
		}
		if !s.budget.Take(streamCost) {
			s.refuse(stream, wire.ErrNoMemory)
			continue
		}
		s.work.Go(func() {
			defer s.budget.Give(streamCost)
			s.serveStream(stream)
		})
	}
}

// acceptGroups gives each unidirectional stream of the peer's a goroutine of its
// own: a group that nobody drains would hold up the whole connection.
func (s *Session) acceptGroups() {
	for {
		stream, err := s.conn.AcceptUniStream(s.ctx)
		if err != nil {
			s.fail(s.cause(err))
			return
		}
		if !s.budget.Take(streamCost) {
			stream.Stop(streamCode(wire.ErrNoMemory))
			continue
		}
		s.work.Go(func() {
			defer s.budget.Give(streamCost)
			s.serveUniStream(stream)
		})
	}
}

// cause prefers why the connection died to how a call noticed it.
func (s *Session) cause(err error) error {
	select {
	case <-s.conn.Done():
		return s.conn.Err()
	default:
		return err
	}
}

// lastWords bounds how long the peer's reason for closing may come behind its effects.
const lastWords = time.Second

// settle is cause for a stream that the peer has reset because it closes the session:
// the reason for that is on its way.
func (s *Session) settle(err error) error {
	var reset *moqerr.StreamError
	if !errors.As(err, &reset) || reset.Code != moqerr.StreamSessionClosed {
		return s.cause(err)
	}
	return s.awaitReason(err)
}

// awaitReason gives the connection a moment to end with the reason behind err.
func (s *Session) awaitReason(err error) error {
	patience := time.NewTimer(lastWords)
	defer patience.Stop()
	select {
	case <-s.conn.Done():
		return s.conn.Err()
	case <-patience.C:
		return err
	}
}

func (s *Session) serveUniStream(stream transport.ReceiveStream) {
	r := wire.NewBoundedReader(stream, s.budget)
	defer r.Release()
	typ, err := r.Varint()
	switch {
	case err != nil:
		stream.Stop(moqerr.StreamCancelled)
	case typ == uint64(wire.UniGroup):
		s.readGroup(stream, r)
	case typ == uint64(wire.UniSetup):
		s.readSetup(stream, r)
	default:
		s.log.Debug("unknown stream type", "type", typ)
		stream.Stop(moqerr.StreamCancelled)
	}
}

func (s *Session) serveStream(stream transport.Stream) {
	stream.SetPriority(urgencyControl, false)
	r := wire.NewBoundedReader(stream, s.budget)
	defer r.Release()
	typ, err := r.Varint()
	if err != nil {
		s.refuse(stream, err)
		return
	}
	var serve func(transport.Stream, *wire.Reader) error
	switch typ {
	case uint64(wire.StreamAnnounce):
		serve = s.serveAnnounce
	case uint64(wire.StreamSubscribe):
		serve = s.serveSubscribe
	case uint64(wire.StreamFetch):
		serve = s.serveFetch
	case uint64(wire.StreamProbe):
		serve = s.serveProbe
	case uint64(wire.StreamGoaway):
		serve = s.readGoaway
	case uint64(wire.StreamTrack):
		serve = s.serveTrack
	default:
		s.log.Debug("unknown stream type", "type", typ)
		s.refuse(stream, &moqerr.StreamError{Code: moqerr.StreamCancelled})
		return
	}
	switch err = serve(stream, r); {
	case errors.Is(err, errClosing):
	case err != nil:
		s.refuse(stream, err)
	default:
		finish(stream)
	}
}

// refuse resets both directions of a request.
func (s *Session) refuse(stream transport.Stream, err error) {
	code := streamCode(err)
	stream.Reset(code)
	stream.Stop(code)
}

// finish ends a request that was answered; what the requester might still say is not
// wanted.
func finish(stream transport.Stream) {
	_ = stream.Close() // fails only where the stream is gone already
	stream.Stop(moqerr.StreamCancelled)
}

// awaitEnd reads a stream to its end, for that alone. What blocks here for long must not
// hold much: io.Discard would take a buffer of 8 KB along.
func awaitEnd(stream io.Reader) {
	b := make([]byte, 256)
	for {
		if _, err := stream.Read(b); err != nil {
			return
		}
	}
}

// request reads the one message that opens a request, and waits for admission.
func (s *Session) request(r *wire.Reader) ([]byte, error) {
	body, err := r.Message()
	if err != nil {
		return nil, s.check(truncated(err))
	}
	if !s.awaitAdmission() {
		return nil, errClosing
	}
	return body, nil
}

// truncated makes the end of a stream in front of a message that must come an error.
func truncated(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
