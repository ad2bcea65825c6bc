// Package schedule holds no code, but tests of the whole stack: a seed expands into a
// sequence of faults, which happen to a publisher and a reader of it, on a relay and a
// simulated network, on virtual time. All of it heals in the end, and then the invariants
// must hold: the sessions are back in time, every subscription delivers again, nothing comes
// twice, out of order or broken, what did not come is named by exactly one gap, supervisors
// went through legal states only, and no goroutine is left.
//
//	MOQ_SCHEDULES=10000 go test -run 'TestSchedules$' ./internal/schedule
//	MOQ_SEED=4711 go test -run 'TestSchedules$' -v ./internal/schedule
//
// One kind of trouble is missing, the jump of a clock: in a bubble the clock on the wall and
// the monotonic one cannot be parted, and the reading that tests replace is the supervisor's
// own. The tests of package moq have it.
package schedule
