package wire

import "slices"

// Role is which way a client wants to use a session. A server sends none.
type Role uint8

// Roles.
const (
	RoleBoth       Role = iota // publishes and subscribes
	RolePublisher              // only publishes
	RoleSubscriber             // only subscribes
)

// Levels of Setup.Probe.
const (
	ProbeNone     = 0 // answers no probe stream
	ProbeReport   = 1 // reports its estimate
	ProbeIncrease = 2 // can also raise its rate to measure
)

// Setup is the only message of a setup stream: what its sender can do and wants
// (§4.2). The zero Setup is a valid, empty one.
type Setup struct {
	Probe   uint64 // a level; one above ProbeIncrease is read as ProbeIncrease
	Path    string // the request target, on bindings without a URL; "" is the server's default
	Role    Role   // an unknown one is read as RoleBoth
	Cost    uint64 // price of the link, if HasCost; else 1 is meant
	HasCost bool
	Hop     uint64 // the sender's Hop ID; 0 if it has none
}

const (
	setupProbe = 1
	setupPath  = 2
	setupRole  = 3
	setupCost  = 4
	setupHop   = 5
)

// Append appends the message with its length.
func (m Setup) Append(b []byte, _ Version) []byte {
	start := len(b)
	b = append(b, m.count())
	if m.Probe != 0 {
		b = appendNumber(b, setupProbe, m.Probe)
	}
	if m.Path != "" {
		b = append(b, setupPath)
		b = appendText(b, m.Path)
	}
	if m.Role != RoleBoth {
		b = appendNumber(b, setupRole, uint64(m.Role))
	}
	if m.HasCost {
		b = appendNumber(b, setupCost, min(m.Cost, MaxVarint))
	}
	if m.Hop != 0 {
		b = appendNumber(b, setupHop, m.Hop)
	}
	return seal(b, start)
}

func (m Setup) count() (n byte) {
	for _, present := range [...]bool{m.Probe != 0, m.Path != "", m.Role != RoleBoth, m.HasCost, m.Hop != 0} {
		if present {
			n++
		}
	}
	return n
}

func appendNumber(b []byte, id byte, v uint64) []byte {
	b = append(b, id, byte(VarintLen(v)))
	return AppendVarint(b, v)
}

// ParseSetup reads the body of a SETUP. Parameters come in any order, and those with
// an unknown id are skipped; an id that comes twice is an error even then.
func ParseSetup(body []byte, _ Version) (Setup, error) {
	var m Setup
	d := &decoder{message: "SETUP", rest: body}
	count := d.varint("parameter count")
	if count > MaxSetupParameters {
		d.fail("parameter count", ErrTooLarge)
		return m, d.done()
	}
	var ids [MaxSetupParameters]uint64
	for i := range int(count) {
		id := d.varint("parameter id")
		if d.err == nil && slices.Contains(ids[:i], id) {
			d.fail("parameter id", ErrDuplicate)
		}
		if d.err != nil {
			break
		}
		ids[i] = id
		m.parameter(d, id)
	}
	return m, d.done()
}

func (m *Setup) parameter(d *decoder, id uint64) {
	switch id {
	case setupProbe:
		m.Probe = min(d.number("probe"), ProbeIncrease)
	case setupPath:
		m.Path = d.text("path") // a request target, not a path of §3.4
	case setupRole:
		if r := d.number("role"); r <= uint64(RoleSubscriber) {
			m.Role = Role(r)
		}
	case setupCost:
		m.Cost, m.HasCost = d.number("cost"), true
	case setupHop:
		m.Hop = d.number("hop")
	default:
		d.bytes("unknown parameter")
	}
}

// number reads a parameter value that is one varint and nothing else.
func (d *decoder) number(field string) uint64 {
	b := d.bytes(field)
	if d.err != nil {
		return 0
	}
	v, n := cutVarint(b)
	switch {
	case n == 0:
		d.fail(field, ErrShort)
	case n < len(b):
		d.fail(field, ErrLong)
	}
	return v
}
