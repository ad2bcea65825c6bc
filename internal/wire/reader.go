package wire

import "io"

// Reader cuts a stream into varints, messages and frames.
//
// What it returns is cut out of the memory that the stream was read into, and stays
// valid and unchanged for good: that memory is not used again. The memory asked for
// never exceeds 64 KiB plus twice what has arrived, whatever a length claims.
//
// io.EOF means that the stream ended between two items; a stream that ends inside one
// gives an *Error that wraps io.ErrUnexpectedEOF. Errors of the source are returned as
// they are. The first error is final. A Reader is not for concurrent use.
type Reader struct {
	buffer
}

// NewReader returns a Reader of src. It reads nothing until asked, and then whatever
// is there.
func NewReader(src io.Reader) *Reader { return NewBoundedReader(src, nil) }

// NewBoundedReader returns a Reader whose memory is taken from m, until Release. Reading
// fails with [ErrNoMemory] if m refuses. What payloads are pieces of is not counted any
// more: whoever keeps them counts it, as Kept says.
func NewBoundedReader(src io.Reader, m Memory) *Reader {
	return &Reader{buffer{src: src, next: firstBuffer, memory: m}}
}

// Release gives the Reader's memory back; nothing can be read any more.
func (r *Reader) Release() {
	r.letGo(r.held)
	_ = r.fail(io.ErrClosedPipe)
}

// Buffered returns the number of bytes that were read from the source and not yet
// returned.
func (r *Reader) Buffered() int { return r.end - r.start }

// Kept returns how much memory the payloads of the frames so far keep from being freed: that
// of which they are pieces, which may be several times their length.
func (r *Reader) Kept() int { return r.kept }

// Varint reads one varint, as the type of a stream is.
func (r *Reader) Varint() (uint64, error) {
	return r.varint("stream", "varint", true)
}

// Message reads a length and returns that many bytes. A length over MaxMessage is an
// *Error that wraps ErrTooLarge.
func (r *Reader) Message() ([]byte, error) { return r.message(true) }

// Typed reads a message that has a type before its length (§3.7).
func (r *Reader) Typed() (typ uint64, body []byte, err error) {
	if typ, err = r.varint("message", "type", true); err != nil {
		return 0, nil, err
	}
	body, err = r.message(false)
	return typ, body, err
}

// Frame reads one frame (§4.12): its timestamp as the difference in ticks to the
// frame before, and its payload. A size over MaxFrame is an *Error that wraps
// ErrTooLarge.
func (r *Reader) Frame() (delta int64, payload []byte, err error) {
	v, err := r.varint("FRAME", "timestamp delta", true)
	if err != nil {
		return 0, nil, err
	}
	payload, err = r.counted("FRAME", "size", "payload", MaxFrame, false)
	if len(payload) > 0 {
		r.give()
	}
	return unzigzag(v), payload, err
}

func (r *Reader) message(first bool) ([]byte, error) {
	return r.counted("message", "length", "body", MaxMessage, first)
}

// counted reads a length and that many bytes; length and body are the names of both.
func (r *Reader) counted(message, length, body string, limit uint64, first bool) ([]byte, error) {
	n, err := r.varint(message, length, first)
	if err != nil {
		return nil, err
	}
	if n > limit {
		return nil, r.fail(&Error{Message: message, Field: length, Err: ErrTooLarge})
	}
	if err := r.ensure(int(n)); err != nil {
		return nil, r.cut(message, body, err)
	}
	return r.take(int(n)), nil
}

// messageOrSkip is message, but drops a body over MaxMessage and up to limit.
func (r *Reader) messageOrSkip(limit uint64, first bool) (skipped bool, body []byte, err error) {
	n, err := r.varint("message", "length", first)
	switch {
	case err != nil:
		return false, nil, err
	case n > limit:
		return false, nil, r.fail(&Error{Message: "message", Field: "length", Err: ErrTooLarge})
	case n > MaxMessage:
		err = r.skip(int(n))
		skipped = true
	default:
		err = r.ensure(int(n))
	}
	if err != nil {
		return false, nil, r.cut("message", "body", err)
	}
	if !skipped {
		body = r.take(int(n))
	}
	return skipped, body, nil
}

// varint reads a varint. first says that the stream may end before it.
func (r *Reader) varint(message, field string, first bool) (uint64, error) {
	if err := r.ensure(1); err != nil {
		if first {
			return 0, err
		}
		return 0, r.cut(message, field, err)
	}
	if err := r.ensure(encodedLen(r.buf[r.start])); err != nil {
		return 0, r.cut(message, field, err)
	}
	v, n := cutVarint(r.buf[r.start:r.end])
	r.start += n
	return v, nil
}

// cut is the end of the stream inside an item; it names the field.
func (r *Reader) cut(message, field string, err error) error {
	if err == io.EOF {
		err = &Error{Message: message, Field: field, Err: io.ErrUnexpectedEOF}
	}
	return r.fail(err)
}

// fail makes err the answer from now on.
func (r *Reader) fail(err error) error {
	r.err = err
	r.start = r.end
	return err
}
