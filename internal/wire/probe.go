package wire

import "time"

// Probe is a publisher's estimate of its path to the subscriber (§4.7).
type Probe struct {
	Bitrate uint64        // bits in a second; 0 if unknown
	RTT     time.Duration // 0 if unknown; milliseconds on the wire, rounded up
}

// Append appends the message with its length.
func (m Probe) Append(b []byte, _ Version) []byte {
	start := len(b)
	b = AppendVarint(b, m.Bitrate)
	b = appendMillis(b, m.RTT)
	return seal(b, start)
}

// ParseProbe reads the body of a PROBE.
func ParseProbe(body []byte, _ Version) (Probe, error) {
	d := &decoder{message: "PROBE", rest: body}
	m := Probe{Bitrate: d.varint("bitrate"), RTT: d.millis("rtt")}
	return m, d.done()
}
