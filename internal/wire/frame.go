package wire

// AppendFrameHeader appends what stands before a frame's payload (§4.12): delta, the
// difference in ticks to the frame before on the same stream (to 0 for the first),
// and the payload's size in bytes. It panics if delta is not within ±2^61 or size is
// negative; differences between timestamps up to MaxTicks always fit.
func AppendFrameHeader(b []byte, delta int64, size int) []byte {
	b = AppendVarint(b, zigzag(delta))
	return AppendVarint(b, uint64(size))
}

// AddTicks returns the timestamp that lies delta after ticks, and whether it is one
// that can be kept and sent on: not negative and not over MaxTicks. A frame for which
// it is false is malformed.
func AddTicks(ticks uint64, delta int64) (uint64, bool) {
	sum := ticks + uint64(delta)
	// With both operands within ±2^61, a negative sum wraps to far above MaxTicks.
	return sum, ticks <= MaxTicks && sum <= MaxTicks
}
