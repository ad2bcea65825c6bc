package wire

// Group is the head of a group stream; the frames follow until the stream ends
// (§4.9).
type Group struct {
	Subscribe  uint64 // the subscription that it belongs to
	Sequence   uint64
	FrameStart uint64 // lite-06: index of the first frame on this stream
}

// Append appends the message with its length.
func (m Group) Append(b []byte, v Version) []byte {
	start := len(b)
	b = AppendVarint(b, m.Subscribe)
	b = appendSequence(b, m.Sequence)
	if v.layout().frameBounds {
		b = appendSequence(b, m.FrameStart)
	}
	return seal(b, start)
}

// ParseGroup reads the body of a GROUP.
func ParseGroup(body []byte, v Version) (Group, error) {
	d := &decoder{message: "GROUP", rest: body}
	m := Group{Subscribe: d.varint("subscribe id"), Sequence: d.sequence("sequence")}
	if v.layout().frameBounds {
		m.FrameStart = d.sequence("frame start")
	}
	return m, d.done()
}
