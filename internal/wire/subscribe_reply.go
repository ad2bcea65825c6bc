package wire

// ReplyKind says what a [SubscribeReply] tells. The values are its type varints.
type ReplyKind uint8

// Kinds of replies.
const (
	ReplyStart   ReplyKind = iota // nothing below Group will come
	ReplyEnd                      // Group is the first that will never exist
	ReplyDrop                     // Group to End will not come, because of Code
	ReplyUnknown                  // of an unknown type: to be skipped
)

// SubscribeReply is what a publisher says on a subscribe stream: SUBSCRIBE_START,
// SUBSCRIBE_END or SUBSCRIBE_DROP (§4.5).
type SubscribeReply struct {
	Kind  ReplyKind
	Group uint64 // for an end, exclusive: 0 if there is no group at all
	End   uint64 // of a drop, inclusive
	Code  uint64 // of a drop: the stream error code
}

// Append appends the message with its type and length. It panics on ReplyUnknown.
func (m SubscribeReply) Append(b []byte, _ Version) []byte {
	if m.Kind >= ReplyUnknown {
		panic("wire: subscribe reply of unknown kind")
	}
	b = append(b, byte(m.Kind))
	start := len(b)
	if m.Kind == ReplyEnd {
		b = AppendVarint(b, m.Group)
		return seal(b, start)
	}
	b = appendSequence(b, m.Group)
	if m.Kind == ReplyDrop {
		b = appendSequence(b, m.End)
		b = AppendVarint(b, m.Code)
	}
	return seal(b, start)
}

// ParseSubscribeReply reads the body of a reply. typ is the varint before its length;
// see [ReadSubscribeReply].
func ParseSubscribeReply(typ uint64, body []byte, _ Version) (SubscribeReply, error) {
	if typ >= uint64(ReplyUnknown) {
		return SubscribeReply{Kind: ReplyUnknown}, nil
	}
	m := SubscribeReply{Kind: ReplyKind(typ)}
	d := &decoder{message: replyNames[m.Kind], rest: body}
	if m.Kind == ReplyEnd {
		m.Group = d.varint("group")
		return m, d.done()
	}
	m.Group = d.sequence("group")
	if m.Kind == ReplyDrop {
		m.End = d.sequence("end")
		m.Code = d.varint("code")
		if m.End < m.Group {
			d.fail("end", ErrRange)
		}
	}
	return m, d.done()
}

var replyNames = [...]string{"SUBSCRIBE_START", "SUBSCRIBE_END", "SUBSCRIBE_DROP"}

// ReadSubscribeReply reads the next reply of a subscribe stream. It returns io.EOF at
// the end of the stream.
func ReadSubscribeReply(r *Reader, v Version) (SubscribeReply, error) {
	typ, body, err := r.Typed()
	if err != nil {
		return SubscribeReply{}, err
	}
	return ParseSubscribeReply(typ, body, v)
}
