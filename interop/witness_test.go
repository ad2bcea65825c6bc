//go:build interop

package interop

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

// Witness is a Python subscriber that is read all the time, and remembers whatever it
// reports besides frames.
type Witness struct {
	*Python
	whole   int           // frames in a group
	arrival chan struct{} // rung at each event; closed at their end

	mu      sync.Mutex
	events  map[string]int
	noticed []notice
}

// notice is what a subscriber sees only if something went wrong before it.
type notice struct{ kind, detail string }

// startWitness subscribes, straight at the relay; a reader of Max Age maxAge.
func startWitness(t *testing.T, r *Relay, whole int, maxAge time.Duration) *Witness {
	t.Helper()
	w := &Witness{whole: whole, arrival: make(chan struct{}, 1), events: make(map[string]int)}
	w.Python = startPythonClient(t, r, "https", "subscribe",
		"--path", broadcast, "--track", track, "--max-age", fmt.Sprint(maxAge.Milliseconds()))
	ctx, cancel := context.WithCancel(context.Background())
	var pump sync.WaitGroup
	t.Cleanup(func() { cancel(); pump.Wait() })
	pump.Go(func() { w.watch(ctx) })
	return w
}

func (w *Witness) watch(ctx context.Context) {
	for !w.next(ctx) {
		select {
		case w.arrival <- struct{}{}:
		default:
		}
	}
	close(w.arrival)
}

func (w *Witness) next(ctx context.Context) (ended bool) {
	e, err := w.event(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.notice("end of the subscriber", "%v", err)
		return true
	}
	w.take(e)
	return false
}

// take counts an event; w.mu is held. The first announcement is expected.
func (w *Witness) take(e Event) {
	name := e.Event
	switch {
	case name == "announce" && !e.Active:
		name = "retraction"
		w.notice("retraction", "%s", e.Path)
	case name == "announce" && w.events[name] > 0:
		w.notice("new announcement", "%s", e.Path)
	case name == "group_end" && e.Frames != w.whole:
		w.notice("short group", "%d frames of group %d", e.Frames, e.Group)
	case name == "group_error":
		w.notice("error in a group", "group %d, frame %d: %v", e.Group, e.Frame, e.Error)
	case name == "track_end":
		w.notice("end of the track", "no error")
	case e.Error != nil:
		w.notice("error of the track", "%v", e.Error)
	}
	w.events[name]++
}

func (w *Witness) notice(kind, format string, args ...any) {
	w.noticed = append(w.noticed, notice{kind, time.Now().Format("15:04:05.000 ") + fmt.Sprintf(format, args...)})
}

// Noticed returns what it saw so far that it should not have.
func (w *Witness) Noticed() []notice {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.noticed)
}

// Has reports whether an event of this name was seen.
func (w *Witness) Has(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.events[name] > 0
}

// Holds waits until something holds, which is looked at after each event, and reports
// whether it came to that.
func (w *Witness) Holds(t *testing.T, limit time.Duration, holds func() bool) bool {
	t.Helper()
	ctx := within(t, limit)
	for !holds() {
		select {
		case _, more := <-w.arrival:
			if !more {
				return false
			}
		case <-ctx.Done():
			return false
		}
	}
	return true
}
