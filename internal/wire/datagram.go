package wire

// Datagram is a group of one frame, sent as a datagram (§4.10).
type Datagram struct {
	Subscribe uint64
	Sequence  uint64
	Ticks     uint64 // absolute, at most MaxTicks
	Payload   []byte // nil if empty
}

// Append appends the datagram, which has no length: it ends where b ends.
func (m Datagram) Append(b []byte, _ Version) []byte {
	b = AppendVarint(b, m.Subscribe)
	b = appendSequence(b, m.Sequence)
	b = AppendVarint(b, m.Ticks)
	return append(b, m.Payload...)
}

// ParseDatagram reads a whole datagram. The payload is not copied: it is the rest
// of b.
func ParseDatagram(b []byte) (Datagram, error) {
	d := &decoder{message: "DATAGRAM", rest: b}
	m := Datagram{Subscribe: d.varint("subscribe id"), Sequence: d.sequence("sequence"), Ticks: d.varint("timestamp")}
	if m.Ticks > MaxTicks {
		d.fail("timestamp", ErrRange)
	}
	if len(d.rest) > 0 {
		m.Payload, d.rest = d.rest, nil
	}
	return m, d.done()
}
