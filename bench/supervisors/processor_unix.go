//go:build unix

package main

import (
	"syscall"
	"time"
)

// processorTime is how long this process has run on a core, the kernel's work for it
// included.
func processorTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // there is no such case
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
