package main

import (
	"slices"
	"sync"
	"time"
)

// timeline is when frames came to the subscriber. A frame that comes again, which is
// usual where an application has to subscribe anew, is only counted.
type timeline struct {
	bell chan struct{} // rung for each frame

	mu    sync.Mutex
	seen  map[uint64]struct{}
	at    []time.Time // of new frames, in order
	twice int
}

func newTimeline() *timeline {
	return &timeline{bell: make(chan struct{}, 1), seen: make(map[uint64]struct{})}
}

// add notes that a frame came now.
func (t *timeline) add(frame uint64) {
	t.mu.Lock()
	if _, ok := t.seen[frame]; ok {
		t.twice++
	} else {
		t.seen[frame] = struct{}{}
		t.at = append(t.at, time.Now())
	}
	t.mu.Unlock()
	select {
	case t.bell <- struct{}{}:
	default:
	}
}

// times returns when new frames came.
func (t *timeline) times() []time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.at)
}

// repeated returns how many frames came that had come before.
func (t *timeline) repeated() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.twice
}

// forget drops the arrivals before a moment, but for the last of them.
func (t *timeline) forget(before time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := after(t.at, before)
	t.at = slices.Clone(t.at[max(i-1, 0):])
}

// after returns the index of the first of at, which are in order, that lies after since.
func after(at []time.Time, since time.Time) int {
	i, _ := slices.BinarySearchFunc(at, since, func(a, since time.Time) int {
		if a.After(since) {
			return 1
		}
		return -1
	})
	return i
}

// first returns the first arrival after since.
func first(at []time.Time, since time.Time) (time.Time, bool) {
	i := after(at, since)
	if i == len(at) {
		return time.Time{}, false
	}
	return at[i], true
}

// hole returns the longest time between two frames that follow each other, of which at
// least the second came after the kill.
func hole(at []time.Time, kill time.Time) time.Duration {
	var longest time.Duration
	for i := max(after(at, kill), 1); i < len(at); i++ {
		longest = max(longest, at[i].Sub(at[i-1]))
	}
	return longest
}

// flowing reports whether frames that came after since have come for as long as calm,
// without a pause between them that is longer than pause.
func flowing(at []time.Time, since time.Time, calm, pause time.Duration) bool {
	i := after(at, since)
	if i == len(at) {
		return false
	}
	begun := at[i]
	for i++; i < len(at); i++ {
		if at[i].Sub(at[i-1]) > pause {
			begun = at[i]
		}
	}
	return at[len(at)-1].Sub(begun) >= calm
}
