package wire

// Track asks for the properties of a track: the only message of a track stream
// (§4.4).
type Track struct {
	Broadcast string // path, relative to the session's root
	Name      string // not normalised
}

// Append appends the message with its length.
func (m Track) Append(b []byte, _ Version) []byte {
	start := len(b)
	b = appendPath(b, m.Broadcast)
	b = appendText(b, m.Name)
	return seal(b, start)
}

// ParseTrack reads the body of a TRACK.
func ParseTrack(body []byte, _ Version) (Track, error) {
	d := &decoder{message: "TRACK", rest: body}
	m := Track{Broadcast: d.path("broadcast"), Name: d.text("track")}
	return m, d.done()
}
