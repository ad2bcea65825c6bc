package wire

// Goaway asks the peer to leave: the only message of a goaway stream (§4.8).
type Goaway struct {
	URI string // where to go instead; "" for the same place. At most MaxGoawayURI bytes
}

// Append appends the message with its length.
func (m Goaway) Append(b []byte, _ Version) []byte {
	start := len(b)
	b = appendText(b, m.URI)
	return seal(b, start)
}

// ParseGoaway reads the body of a GOAWAY.
func ParseGoaway(body []byte, _ Version) (Goaway, error) {
	d := &decoder{message: "GOAWAY", rest: body}
	m := Goaway{URI: d.text("uri")}
	if len(m.URI) > MaxGoawayURI {
		d.fail("uri", ErrTooLarge)
	}
	return m, d.done()
}
