//go:build !linux

package main

import "time"

// pause waits for a short time, as exactly as timers are.
func pause(d time.Duration) { time.Sleep(d) }
