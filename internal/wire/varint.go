package wire

import "encoding/binary"

// AppendVarint appends v as a QUIC varint of the least length (§3.1). It panics if v
// is over MaxVarint.
func AppendVarint(b []byte, v uint64) []byte {
	switch VarintLen(v) {
	case 1:
		return append(b, byte(v))
	case 2:
		return binary.BigEndian.AppendUint16(b, uint16(v)|1<<14)
	case 4:
		return binary.BigEndian.AppendUint32(b, uint32(v)|2<<30)
	default:
		return binary.BigEndian.AppendUint64(b, v|3<<62)
	}
}

// VarintLen returns the number of bytes that AppendVarint appends for v. It panics if
// v is over MaxVarint.
func VarintLen(v uint64) int {
	switch {
	case v < 1<<6:
		return 1
	case v < 1<<14:
		return 2
	case v < 1<<30:
		return 4
	case v <= MaxVarint:
		return 8
	default:
		panic("wire: number over 2^62-1")
	}
}

// cutVarint reads the varint at the start of b, of whatever length it was written
// with, and returns its length; 0 if b ends inside it.
func cutVarint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = encodedLen(b[0])
	if len(b) < n {
		return 0, 0
	}
	switch n {
	case 1:
		return uint64(b[0]), 1
	case 2:
		return uint64(binary.BigEndian.Uint16(b)) & (1<<14 - 1), 2
	case 4:
		return uint64(binary.BigEndian.Uint32(b)) & (1<<30 - 1), 4
	default:
		return binary.BigEndian.Uint64(b) & MaxVarint, 8
	}
}

// encodedLen tells the length of a varint by its first byte.
func encodedLen(first byte) int { return 1 << (first >> 6) }

// zigzag maps small numbers of either sign to small numbers (§3.6).
func zigzag(n int64) uint64 { return uint64(n<<1) ^ uint64(n>>63) }

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }
