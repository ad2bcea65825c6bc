package schedule_test

import (
	"fmt"
	"sync"
	"time"

	"github.com/remoq/moq"
)

// line is one of the story of a schedule.
type line struct {
	at   time.Time
	text string
}

func (l line) String() string { return fmt.Sprintf("%v %s", l.at.Sub(epoch), l.text) }

// watch judges what a supervisor does by its events.
type watch struct {
	name string

	mu           sync.Mutex
	live, silent bool
	over         bool
	generation   uint64
	losses       uint64
	since        time.Time // of the live session
	story        []line
	wrong        []string
}

func (w *watch) blame(format string, args ...any) {
	w.wrong = append(w.wrong, w.name+": "+fmt.Sprintf(format, args...))
}

// hear is the observer.
func (w *watch) hear(e moq.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.story = append(w.story, line{e.Time, fmt.Sprintf("%s %v %v: %v", w.name, e.Kind, e.State.Phase, e.Err)})
	if e.Dropped > 0 {
		w.blame("%d events were left out", e.Dropped)
	}
	if w.over {
		w.blame("%v after the end", e.Kind)
	}
	generation, losses := w.generation, w.losses
	switch e.Kind {
	case moq.EventAttempt:
		want := moq.Connecting
		if w.live {
			want = moq.Migrating
		}
		w.expect(e, want)
	case moq.EventConnected:
		if w.live && !w.silent {
			w.blame("connected beside a session that serves")
		}
		if w.live {
			losses++
		}
		generation++
		w.expect(e, moq.Connected)
		w.live, w.silent, w.since = true, false, e.Time
	case moq.EventReplaced:
		if !w.live || w.silent {
			w.blame("replaced nothing that serves")
		}
		generation++
		w.expect(e, moq.Connected)
		w.since = e.Time
	case moq.EventSilent, moq.EventAwake:
		if !w.live || w.silent == (e.Kind == moq.EventSilent) {
			w.blame("%v, live %v, silent %v", e.Kind, w.live, w.silent)
		}
		w.silent = e.Kind == moq.EventSilent
	case moq.EventLost:
		if !w.live {
			w.blame("lost what was not there")
		}
		losses++
		w.live, w.silent = false, false
	case moq.EventFailed:
		if e.Err == nil {
			w.blame("failed without a cause")
		}
	case moq.EventStopped:
		w.over = true
	default:
		w.blame("%v, which nobody asked for", e.Kind)
	}
	w.generation, w.losses = generation, losses
	if e.State.Generation != generation || e.State.Losses != losses {
		w.blame("%v: generation %d and %d losses instead of %d and %d", e.Kind, e.State.Generation, e.State.Losses, generation, losses)
		w.generation, w.losses = e.State.Generation, e.State.Losses
	}
}

func (w *watch) expect(e moq.Event, want moq.Phase) {
	if e.State.Phase != want {
		w.blame("%v in phase %v instead of %v", e.Kind, e.State.Phase, want)
	}
}

// back returns since when there is a session; false: there is none.
func (w *watch) back() (time.Time, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.since, w.live && !w.silent
}

// verdict returns what was wrong, and the story.
func (w *watch) verdict() (wrong []string, story []line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.wrong, w.story
}
