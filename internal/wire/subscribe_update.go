package wire

// SubscribeUpdate replaces the parameters of a running subscription (§4.5).
type SubscribeUpdate struct{ SubscribeParams }

// Append appends the message with its length.
func (m SubscribeUpdate) Append(b []byte, v Version) []byte {
	start := len(b)
	b = m.appendParams(b, v.layout())
	return seal(b, start)
}

// ParseSubscribeUpdate reads the body of a SUBSCRIBE_UPDATE.
func ParseSubscribeUpdate(body []byte, v Version) (SubscribeUpdate, error) {
	d := &decoder{message: "SUBSCRIBE_UPDATE", rest: body}
	m := SubscribeUpdate{d.params(v.layout())}
	return m, d.done()
}
