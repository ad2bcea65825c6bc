package wire

// Subscribe asks for a track, live: the first message of a subscribe stream (§4.5).
type Subscribe struct {
	ID        uint64 // names the subscription in groups and datagrams; never used again
	Broadcast string // path, relative to the session's root
	Track     string // not normalised
	SubscribeParams
}

// Append appends the message with its length.
func (m Subscribe) Append(b []byte, v Version) []byte {
	start := len(b)
	b = AppendVarint(b, m.ID)
	b = appendPath(b, m.Broadcast)
	b = appendText(b, m.Track)
	b = m.appendParams(b, v.layout())
	return seal(b, start)
}

// ParseSubscribe reads the body of a SUBSCRIBE.
func ParseSubscribe(body []byte, v Version) (Subscribe, error) {
	d := &decoder{message: "SUBSCRIBE", rest: body}
	m := Subscribe{ID: d.varint("subscribe id"), Broadcast: d.path("broadcast"), Track: d.text("track")}
	m.SubscribeParams = d.params(v.layout())
	return m, d.done()
}
