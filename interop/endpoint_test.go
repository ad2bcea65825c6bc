//go:build interop

package interop

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	groups     = 10
	frames     = 100 // in each group; with those of a clock's reader one more, which it does not print as a line
	holdBefore = 8   // the group before which a writer waits until the late reader is there
	padding    = 300
	rate       = 500 // frames a second
	broadcast  = "room/camera"
	track      = "data"
	unknown    = "nope"
)

// Writer is a peer that publishes the track of a cell.
type Writer interface {
	// Announce connects and makes the broadcast visible, with the track in place.
	Announce(t *testing.T)
	// Write writes all groups and ends the track. It says in begun which group
	// begins, and does not begin the group holdBefore until go on is closed.
	Write(ctx context.Context, begun chan<- uint64, goOn <-chan struct{}) error
	// Retract takes the broadcast back.
	Retract(t *testing.T)
}

// Reader is a peer that subscribes to the track of a cell.
type Reader interface {
	// Subscribe waits for the broadcast, is refused an unknown track, which it
	// describes, and subscribes.
	Subscribe(t *testing.T) (refusal string)
	// Joined waits for the first frame.
	Joined(t *testing.T)
	// Finish reads to the end of the track, whose last group is last.
	Finish(t *testing.T, last uint64) *Ledger
	// Retracted waits until it sees that the broadcast is gone.
	Retracted(t *testing.T)
}

// PythonWriter is peer.py as a client, or as the server itself.
type PythonWriter struct {
	*Python
	connect func(args ...string) *Python // nil: it runs already
}

// writerArgs are what peer.py needs to know to be a cell's writer.
func writerArgs() []string {
	return []string{
		"--path", broadcast, "--track", track, "--hold", strconv.Itoa(holdBefore), "--rate", strconv.Itoa(rate),
		"--groups", strconv.Itoa(groups), "--frames", strconv.Itoa(frames), "--size", strconv.Itoa(padding),
	}
}

// Announce implements [Writer].
func (w *PythonWriter) Announce(t *testing.T) {
	if w.connect != nil {
		w.Python = w.connect(writerArgs()...)
	}
	w.AwaitNamed(t, 20*time.Second, "announced")
}

// Write implements [Writer].
func (w *PythonWriter) Write(ctx context.Context, begun chan<- uint64, goOn <-chan struct{}) error {
	if err := w.Tell("go"); err != nil {
		return err
	}
	for i := range groups {
		if i == holdBefore {
			select {
			case <-goOn:
			case <-ctx.Done():
				return context.Cause(ctx)
			}
			if err := w.Tell("on"); err != nil {
				return err
			}
		}
		e, err := w.await(ctx, func(e Event) bool { return e.Event == "group" })
		if err != nil {
			return err
		}
		begun <- e.Group
	}
	_, err := w.await(ctx, func(e Event) bool { return e.Event == "finished" })
	return err
}

// Retract implements [Writer].
func (w *PythonWriter) Retract(t *testing.T) {
	w.Say(t, "retract")
	w.AwaitNamed(t, 10*time.Second, "retracted")
}

// PythonReader is peer.py as a client, or as the server itself.
type PythonReader struct {
	*Python
	connect func(args ...string) *Python // nil: it runs already
}

func readerArgs() []string {
	return []string{"--path", broadcast, "--track", track, "--unknown", unknown}
}

// Subscribe implements [Reader].
func (r *PythonReader) Subscribe(t *testing.T) string {
	if r.connect != nil {
		r.Python = r.connect(readerArgs()...)
	}
	r.AwaitNamed(t, 20*time.Second, "subscribed")
	e := r.AwaitNamed(t, 10*time.Second, "unknown")
	require.NotNil(t, e.Error, "a track that nobody makes was found")
	require.NotNil(t, e.Error.Code, "no stream error but %v", e.Error)
	return fmt.Sprintf("%s 0x%x", e.Error.Type, *e.Error.Code)
}

// Joined implements [Reader].
func (r *PythonReader) Joined(t *testing.T) {
	ctx := within(t, 10*time.Second)
	for r.Ledger.Len() == 0 {
		e, err := r.event(ctx)
		require.NoError(t, err)
		if e.Event != "frame" {
			r.backlog = append(r.backlog, e)
		}
	}
}

// Finish implements [Reader].
func (r *PythonReader) Finish(t *testing.T, _ uint64) *Ledger {
	r.AwaitNamed(t, 20*time.Second, "track_end")
	return &r.Ledger
}

// Retracted implements [Reader].
func (r *PythonReader) Retracted(t *testing.T) {
	r.Await(t, 10*time.Second, func(e Event) bool { return e.Event == "announce" && !e.Active && e.Path == broadcast })
}

// ClockReader is upstream's "clock subscribe". It prints each frame of a group
// behind the group's first, so that a writer who puts the group's number there is
// checked frame by frame. It asks for the live group only.
type ClockReader struct {
	*Process
	ledger Ledger
	run    func(track string) *Process
}

// Subscribe implements [Reader].
func (r *ClockReader) Subscribe(t *testing.T) string {
	refused := r.run(unknown)
	code, err := refused.ExitCode(within(t, 20*time.Second))
	require.NoError(t, err)
	require.NotZero(t, code, "a track that nobody makes was found")
	require.Contains(t, refused.Log(), "not found")
	r.Process = r.run(track)
	require.True(t, r.awaitLog(within(t, 20*time.Second), "subscribing to track"), "clock does not see the broadcast")
	return "not found"
}

// Joined implements [Reader].
func (r *ClockReader) Joined(t *testing.T) { r.readLine(t, within(t, 10*time.Second)) }

func (r *ClockReader) readLine(t *testing.T, ctx context.Context) {
	t.Helper()
	line, err := r.Line(ctx)
	require.NoError(t, err)
	require.NoError(t, r.ledger.AddLine(line))
}

// Finish implements [Reader]. The clock prints no end, but logs how it leaves the track then. A
// retraction before that would be an error to it: an August relay lets it overtake the end.
func (r *ClockReader) Finish(t *testing.T, last uint64) *Ledger {
	for ctx := within(t, 20*time.Second); !r.ledger.Has(spot{last, frames}); {
		r.readLine(t, ctx)
	}
	require.True(t, r.awaitLog(within(t, 10*time.Second), "subscribe complete", "subscribe canceled"), "clock does not see the end")
	return &r.ledger
}

// Retracted implements [Reader].
func (r *ClockReader) Retracted(t *testing.T) {
	require.True(t, r.awaitLog(within(t, 10*time.Second), "broadcast is offline"), "clock does not see the retraction")
}
