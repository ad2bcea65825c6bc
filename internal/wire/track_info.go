package wire

import "time"

// TrackInfo answers a [Track]: properties that hold for the track's life (§4.4).
type TrackInfo struct {
	Priority  uint8
	MaxAge    time.Duration // how long groups are kept after the next one; milliseconds on the wire
	Timescale uint64        // ticks of a timestamp in a second; never 0
}

// Append appends the message with its length. It panics if Timescale is 0.
func (m TrackInfo) Append(b []byte, v Version) []byte {
	if m.Timescale == 0 {
		panic("wire: timescale 0")
	}
	start := len(b)
	b = appendPriority(b, m.Priority, v.layout())
	b = appendMillis(b, m.MaxAge)
	b = AppendVarint(b, m.Timescale)
	return seal(b, start)
}

// ParseTrackInfo reads the body of a TRACK_INFO.
func ParseTrackInfo(body []byte, v Version) (TrackInfo, error) {
	d := &decoder{message: "TRACK_INFO", rest: body}
	m := TrackInfo{
		Priority:  d.priority(v.layout()),
		MaxAge:    d.millis("max age"),
		Timescale: d.varint("timescale"),
	}
	if m.Timescale == 0 {
		d.fail("timescale", ErrRange)
	}
	return m, d.done()
}
