package schedule_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

// event makes one as a supervisor tells it.
func event(k moq.EventKind, phase moq.Phase, generation, losses uint64) moq.Event {
	return moq.Event{Kind: k, State: moq.State{Phase: phase, Generation: generation, Losses: losses}, Err: errAny}
}

// TestWatch: what a supervisor must not do is found out.
func TestWatch(t *testing.T) {
	attempt := event(moq.EventAttempt, moq.Connecting, 0, 0)
	connected := event(moq.EventConnected, moq.Connected, 1, 0)
	silent := event(moq.EventSilent, moq.Connected, 1, 0)
	hedge := event(moq.EventAttempt, moq.Migrating, 1, 0)
	lost := event(moq.EventLost, moq.Waiting, 1, 1)
	stopped := event(moq.EventStopped, moq.Stopped, 1, 1)
	slow := connected
	slow.Dropped = 1
	for _, c := range []struct {
		name   string
		events []moq.Event
		want   string
	}{
		{"a life", []moq.Event{attempt, connected, silent, hedge, lost, event(moq.EventConnected, moq.Connected, 2, 1)}, ""},
		{"a hedge that wins", []moq.Event{attempt, connected, silent, hedge, event(moq.EventConnected, moq.Connected, 2, 1)}, ""},
		{"a replacement", []moq.Event{attempt, connected, hedge, event(moq.EventReplaced, moq.Connected, 2, 0)}, ""},
		{"two sessions", []moq.Event{attempt, connected, event(moq.EventConnected, moq.Connected, 2, 0)}, "connected beside a session that serves"},
		{"a generation too many", []moq.Event{attempt, event(moq.EventConnected, moq.Connected, 2, 0)}, "generation 2 and 0 losses instead of 1 and 0"},
		{"a loss that is not counted", []moq.Event{attempt, connected, event(moq.EventLost, moq.Waiting, 1, 0)}, "instead of 1 and 1"},
		{"lost twice", []moq.Event{attempt, connected, lost, event(moq.EventLost, moq.Waiting, 1, 2)}, "lost what was not there"},
		{"silent twice", []moq.Event{attempt, connected, silent, silent}, "silent, live true, silent true"},
		{"the wrong phase", []moq.Event{attempt, connected, attempt}, "attempt in phase connecting instead of migrating"},
		{"replaced by nothing", []moq.Event{event(moq.EventReplaced, moq.Connected, 1, 0)}, "replaced nothing"},
		{"life after the end", []moq.Event{attempt, connected, lost, stopped, attempt}, "attempt after the end"},
		{"events left out", []moq.Event{attempt, slow}, "1 events were left out"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &watch{name: "x"}
			for _, e := range c.events {
				w.hear(e)
			}
			wrong, _ := w.verdict()
			if c.want == "" {
				require.Empty(t, wrong)
				return
			}
			require.Contains(t, strings.Join(wrong, "\n"), c.want)
		})
	}
}
