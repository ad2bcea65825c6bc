package main

import (
	"syscall"
	"time"
)

// pause waits for a short time. A timer of an idle process would come up to a millisecond
// late, and then several frames at once.
func pause(d time.Duration) {
	if d <= 0 {
		return
	}
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil) // a signal cuts it short; the next frame is due soon
}
