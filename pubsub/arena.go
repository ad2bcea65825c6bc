package pubsub

// Arena blocks grow fourfold from the first size to the last, so that a small group
// holds little and a large one allocates rarely.
const (
	arenaFirst = 1 << 10
	arenaLast  = 256 << 10
	// arenaLarge is the payload size from which a payload has memory of its own.
	arenaLarge = 64 << 10
)

// arena copies payloads into blocks that are never moved.
type arena struct {
	free []byte
	next int // size of the next block
}

// copy returns a copy of p and how many bytes were allocated for it.
func (a *arena) copy(p []byte) (kept []byte, allocated int) {
	if len(p) >= arenaLarge {
		kept = make([]byte, len(p))
		copy(kept, p)
		return kept, len(p)
	}
	if len(p) > cap(a.free)-len(a.free) {
		allocated = max(a.next, arenaFirst, len(p))
		a.free = make([]byte, 0, allocated)
		a.next = min(allocated*4, arenaLast)
	}
	start := len(a.free)
	a.free = append(a.free, p...)
	return a.free[start:len(a.free):len(a.free)], allocated
}
