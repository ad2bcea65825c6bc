//go:build !race

package schedule_test

// How many schedules are played by default, and how many twice.
const (
	number  = 40
	replays = 8
)
