package moq

import "time"

// Phase is what a [Reconnect] is doing.
type Phase uint8

// The phases of a [Reconnect].
const (
	Connecting Phase = iota // an attempt is running, and there is no session
	Connected               // a session is live
	Migrating               // a session is live, and an attempt is running beside it
	Waiting                 // until the next attempt
	Paused                  // until Resume
	Stopped                 // for good
)

var phaseNames = [...]string{"connecting", "connected", "migrating", "waiting", "paused", "stopped"}

// String returns the phase's name in lower case.
func (p Phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return "unknown"
}

// State is a snapshot of a [Reconnect]. Who reads seldom sees by Generation and Losses
// that sessions came and went in between.
type State struct {
	Phase      Phase
	Generation uint64 // sessions established so far
	Losses     uint64 // sessions lost so far
	// Attempt counts the failures of this outage: failed attempts, and sessions that
	// ended. A session resets it by being stable, so while one is Connected it still
	// tells how many failures led to it, and a session that has fallen silent adds the
	// attempts that failed beside it.
	Attempt  int
	Endpoint string    // scheme, host and port only
	Since    time.Time // when this phase began
	RetryAt  time.Time // Waiting: the next attempt; zero if the time to give up comes first
	GiveUpAt time.Time // Connecting and Waiting: when to give up; zero: never
	Err      error     // why the last attempt or session ended, and once Stopped as Reconnect.Err
}
