package main

import (
	"testing"
	"time"
)

// allocs sends groups for about d, with everything that this takes in the process, and
// returns the allocations for each group. As [testing.AllocsPerRun] does, it runs on
// one processor and once before it counts.
func (a *arm) allocs(d time.Duration) (float64, error) {
	var err error
	var groups uint64
	got := testing.AllocsPerRun(1, func() {
		if err != nil {
			return
		}
		before, begin := a.next, time.Now()
		err = a.flood(func(int) bool { return time.Since(begin) < d })
		groups = a.next - before
	})
	return got / float64(groups), err
}
