package moqerr

import "fmt"

// Gap names what a reader of a track lost: everything from frame FirstFrame of
// group First to the end of group Last.
type Gap struct {
	First      uint64
	FirstFrame int
	Last       uint64
	Cause      error // why; nil if the reader was too slow or the groups never came

	// Restarted says that the track went on under a new publisher identity with
	// numbering of its own. First and FirstFrame then tell where the old numbering
	// broke off, and Last means nothing.
	Restarted bool
}

// String describes the gap in a few words.
func (g Gap) String() string {
	if g.Restarted {
		return fmt.Sprintf("publisher restarted; the old numbering broke off at group %d frame %d", g.First, g.FirstFrame)
	}
	if g.First == g.Last {
		return fmt.Sprintf("lost group %d from frame %d", g.First, g.FirstFrame)
	}
	return fmt.Sprintf("lost groups %d to %d from frame %d of the first", g.First, g.Last, g.FirstFrame)
}

// GapError ends a group that was cut and cannot be completed.
type GapError struct{ Gap }

var _ error = (*GapError)(nil)

// Error implements error.
func (e *GapError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("moq: %v: %v", e.Gap, e.Cause)
	}
	return "moq: " + e.String()
}

// Unwrap returns the cause of the gap.
func (e *GapError) Unwrap() error { return e.Cause }
