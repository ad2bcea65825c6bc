package wire

// Fetch asks for one group, past or present: the only message of a fetch stream,
// answered by bare frames (§4.6).
type Fetch struct {
	Broadcast string // path, relative to the session's root
	Track     string // not normalised
	Priority  uint8  // higher first
	Group     uint64

	FrameStart  uint64 // lite-06: first frame
	FrameEnd    uint64 // lite-06: last frame, if HasFrameEnd; not below FrameStart
	HasFrameEnd bool
}

// Append appends the message with its length.
func (m Fetch) Append(b []byte, v Version) []byte {
	start := len(b)
	b = appendPath(b, m.Broadcast)
	b = appendText(b, m.Track)
	b = append(b, m.Priority)
	b = appendSequence(b, m.Group)
	if v.layout().frameBounds {
		b = appendSequence(b, m.FrameStart)
		b = appendBound(b, m.FrameEnd, m.HasFrameEnd)
	}
	return seal(b, start)
}

// ParseFetch reads the body of a FETCH.
func ParseFetch(body []byte, v Version) (Fetch, error) {
	d := &decoder{message: "FETCH", rest: body}
	m := Fetch{
		Broadcast: d.path("broadcast"),
		Track:     d.text("track"),
		Priority:  d.byte("priority"),
		Group:     d.sequence("group"),
	}
	if v.layout().frameBounds {
		m.FrameStart = d.sequence("frame start")
		m.FrameEnd, m.HasFrameEnd = d.bound("frame end")
		if m.HasFrameEnd && m.FrameEnd < m.FrameStart {
			d.fail("frame end", ErrRange)
		}
	}
	return m, d.done()
}
