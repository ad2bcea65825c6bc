package wire

// AnnounceRequest asks for the routes at and below a prefix. It is the first and only
// message of the subscriber on an announce stream (§4.3).
type AnnounceRequest struct {
	Prefix  string // "" for everything
	Exclude uint64 // lite-05 only: leave out routes through this Hop ID; 0 for none
}

// Append appends the message with its length.
func (m AnnounceRequest) Append(b []byte, v Version) []byte {
	start := len(b)
	b = appendPath(b, m.Prefix)
	if v.layout().excludeHop {
		b = AppendVarint(b, m.Exclude)
	}
	return seal(b, start)
}

// ParseAnnounceRequest reads the body of an ANNOUNCE_REQUEST.
func ParseAnnounceRequest(body []byte, v Version) (AnnounceRequest, error) {
	var m AnnounceRequest
	d := &decoder{message: "ANNOUNCE_REQUEST", rest: body}
	m.Prefix = d.path("prefix")
	if v.layout().excludeHop {
		m.Exclude = d.varint("exclude hop")
	}
	return m, d.done()
}
