package pubsub

import (
	"errors"
	"time"

	"github.com/remoq/moq/moqerr"
)

// Limits of a group (moq-lite.md §3.8).
const (
	maxFrameBytes  = 32 << 20
	maxGroupBytes  = 32 << 20
	maxGroupFrames = 8192
)

// Frame is a payload with its presentation time.
type Frame struct {
	// Timestamp is the presentation time on the track's own clock. It is not negative,
	// and frames may have theirs in any order. It is kept in ticks of the track's
	// timescale and rounded to the nearest both ways.
	Timestamp time.Duration

	Payload []byte
}

// RawFrame is a frame with its time in ticks of the track's timescale, for whoever
// forwards frames and must not round.
type RawFrame struct {
	Ticks   uint64 // at most 2^61-1
	Payload []byte
}

var errNegative = errors.New("negative")

// raw converts the frame's time to ticks.
func (f Frame) raw(timescale uint64) (RawFrame, error) {
	if f.Timestamp < 0 {
		return RawFrame{}, &moqerr.ConfigError{Field: "Frame.Timestamp", Err: errNegative}
	}
	return RawFrame{Ticks: toTicks(f.Timestamp, timescale), Payload: f.Payload}, nil
}

// check refuses what no group may hold.
func (f RawFrame) check() error {
	if len(f.Payload) > maxFrameBytes {
		return streamError(moqerr.StreamFrameTooLarge)
	}
	if f.Ticks > maxTicks {
		return streamError(moqerr.StreamTimestamp)
	}
	return nil
}

func streamError(code moqerr.StreamCode) *moqerr.StreamError {
	return &moqerr.StreamError{Code: code}
}
