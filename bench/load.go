package main

import (
	"encoding/binary"
	"fmt"
	"time"
)

// numberSize is how many bytes at the end of a payload tell which frame it is.
const numberSize = 8

// load is what an arm carries: groups of equal frames. Frame n of an arm's life is
// frame n % frames of group n / frames, and is stamped n * step.
type load struct {
	size   int           // bytes of payload
	frames int           // in a group
	step   time.Duration // of presentation time, from frame to frame

	// The sender may be ahead of the receiver by window batches of groups: a publisher
	// never blocks, and without a bound would measure how fast frames are thrown away.
	batch, window int
}

// long is small frames in groups of a second: a mebibyte or as many as a group may hold.
func long(size int) load {
	frames := min(1<<20/size, 8192)
	return load{size: size, frames: frames, step: time.Second / time.Duration(frames), batch: 1, window: 3}
}

// single is groups of one frame.
func single(size int) load {
	return load{size: size, frames: 1, step: 5 * time.Millisecond, batch: 32, window: 8}
}

func (l load) at(n uint64) time.Duration { return time.Duration(n) * l.step }

// number writes into payload which frame it is.
func number(payload []byte, n uint64) {
	binary.BigEndian.PutUint64(payload[len(payload)-numberSize:], n)
}

// check reports what is wrong with a payload that should be that of frame n.
func (l load) check(payload []byte, n uint64) error {
	if len(payload) != l.size {
		return fmt.Errorf("frame %d has %d bytes instead of %d", n, len(payload), l.size)
	}
	if got := frameNumber(payload); got != n {
		return fmt.Errorf("frame %d came instead of %d", got, n)
	}
	return nil
}

func frameNumber(payload []byte) uint64 {
	return binary.BigEndian.Uint64(payload[len(payload)-numberSize:])
}
