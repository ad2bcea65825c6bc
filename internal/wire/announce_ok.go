package wire

// AnnounceOK is the publisher's first answer on an announce stream (§4.3).
type AnnounceOK struct {
	Hop    uint64 // the publisher's Hop ID, which the receiver puts at the end of each hop list
	Active uint64 // how many announcements follow at once
}

// Append appends the message with its length.
func (m AnnounceOK) Append(b []byte, _ Version) []byte {
	start := len(b)
	b = AppendVarint(b, m.Hop)
	b = AppendVarint(b, m.Active)
	return seal(b, start)
}

// ParseAnnounceOK reads the body of an ANNOUNCE_OK.
func ParseAnnounceOK(body []byte, _ Version) (AnnounceOK, error) {
	d := &decoder{message: "ANNOUNCE_OK", rest: body}
	m := AnnounceOK{Hop: d.varint("hop"), Active: d.varint("active count")}
	return m, d.done()
}
