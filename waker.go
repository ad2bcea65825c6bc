package moq

import (
	"sync"
	"time"
)

// wallClock reads the clock on the wall, which goes on while the machine sleeps.
var wallClock = time.Now

const (
	// lookEvery is how often a client with supervisors that wait looks at the clocks.
	lookEvery = 2 * time.Second
	// minSleep is by how much the clock on the wall has to run ahead of the monotonic one
	// for the machine to have slept.
	minSleep = time.Second
)

// waker notices that the machine has slept while supervisors waited. Their timers stood
// still meanwhile, and a relay may be back for long. It is one timer for all of a
// client, and none if nobody waits.
type waker struct {
	wall  func() time.Time
	rouse func() // called without locks when the machine has slept

	mu      sync.Mutex
	waiting int
	timer   *time.Timer // nil: stopped
	began   time.Time   // by the monotonic clock
	wallAt  time.Time   // the same moment by the clock on the wall
}

func newWaker(wall func() time.Time, rouse func()) *waker { return &waker{wall: wall, rouse: rouse} }

// asleep counts who waits.
func (w *waker) asleep(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting += n
	if w.waiting > 0 && w.timer == nil {
		w.set(time.Now(), w.wall().Round(0))
	}
}

// set starts to wait for the next look; now is by both clocks. The caller holds mu.
func (w *waker) set(now, wall time.Time) {
	w.began, w.wallAt = now, wall
	w.timer = time.AfterFunc(lookEvery, w.look)
}

// look compares the clocks, and goes on from the same readings if somebody still waits: a sleep
// between two readings would not be seen.
func (w *waker) look() {
	w.mu.Lock()
	if w.timer == nil {
		w.mu.Unlock()
		return
	}
	now, wall := time.Now(), w.wall().Round(0)
	slept := wall.Sub(w.wallAt) - now.Sub(w.began)
	w.timer = nil
	if w.waiting > 0 {
		w.set(now, wall)
	}
	w.mu.Unlock()
	if slept > minSleep {
		w.rouse()
	}
}

// stop ends it: nobody waits any more.
func (w *waker) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
}
