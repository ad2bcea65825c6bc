package wire

import (
	"math"
	"time"
)

const maxDuration time.Duration = math.MaxInt64

// seal puts the length of the body b[start:] in front of it. The body is moved up for
// that, so a message is written in one pass and into no other memory than b.
func seal(b []byte, start int) []byte {
	size := len(b) - start
	n := VarintLen(uint64(size))
	var room [8]byte
	b = append(b, room[:n]...)
	copy(b[start+n:], b[start:start+size])
	AppendVarint(b[:start], uint64(size))
	return b
}

func appendText(b []byte, s string) []byte {
	b = AppendVarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendPath(b []byte, p string) []byte { return appendText(b, CleanPath(p)) }

func appendSequence(b []byte, v uint64) []byte {
	if v > MaxSequence {
		panic("wire: sequence over 2^62-2")
	}
	return AppendVarint(b, v)
}

// appendBound is the opposite of decoder.bound.
func appendBound(b []byte, v uint64, ok bool) []byte {
	if !ok {
		return append(b, 0)
	}
	if v > MaxSequence {
		panic("wire: sequence over 2^62-2")
	}
	return AppendVarint(b, v+1)
}

// appendMillis rounds up, so that a short duration does not become none.
func appendMillis(b []byte, d time.Duration) []byte {
	if d <= 0 {
		return append(b, 0)
	}
	ms := uint64(d / time.Millisecond)
	if d%time.Millisecond > 0 {
		ms++
	}
	return AppendVarint(b, ms)
}

func appendPriority(b []byte, p uint8, l *layout) []byte {
	if l.orderedByte {
		return append(b, p, 0)
	}
	return append(b, p)
}

func appendHops(b []byte, hops []uint64) []byte {
	b = AppendVarint(b, uint64(len(hops)))
	for _, id := range hops {
		b = AppendVarint(b, id)
	}
	return b
}
