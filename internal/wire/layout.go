package wire

// layout is what one version does differently from the others. The messages ask it
// and never compare versions.
type layout struct {
	alpn string

	announceIDs   bool // announcements have a type varint and numbers instead of a status byte (§4.3)
	costs         bool // announcements carry a warm and a cold cost (§4.14)
	excludeHop    bool // ANNOUNCE_REQUEST ends with a Hop ID to leave out (§4.3)
	orderedByte   bool // a retired byte follows the priority (§3.3): written 0, ignored on read
	rawGroupStart bool // group start is the sequence, 0 = none; else sequence + 1, 0 = latest (§3.3)
	frameBounds   bool // SUBSCRIBE, SUBSCRIBE_UPDATE, FETCH and GROUP carry frame indexes (§4.14)
}

var layouts = [...]layout{
	Lite05: {
		alpn:        "moq-lite-05",
		excludeHop:  true,
		orderedByte: true,
	},
	Lite06: {
		alpn:          "moq-lite-06",
		announceIDs:   true,
		costs:         true,
		rawGroupStart: true,
		frameBounds:   true,
	},
}

func (v Version) valid() bool { return v > 0 && int(v) < len(layouts) }

func (v Version) layout() *layout {
	if !v.valid() {
		panic("wire: " + v.String() + " is no version")
	}
	return &layouts[v]
}
