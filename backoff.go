package moq

import (
	"fmt"
	"math"
	"time"
)

// The policy of a zero [Backoff].
const (
	defaultInitial    = time.Second
	defaultMultiplier = 2
	defaultMax        = 30 * time.Second

	// minStable is the least time that a session lives to be called stable by
	// default: a peer that accepts and drops needs less than that.
	minStable = time.Second
	// minDuration is the floor of every duration: below it a setting is a mistake in
	// the unit, and would make a loop that keeps a core busy.
	minDuration = 50 * time.Millisecond
)

// Backoff is the pacing of a [Reconnect]: how long it waits between attempts, and
// when it gives up. The zero value waits 1 s, twice as long after each failure, up
// to 30 s, and never gives up.
//
// A wait is random between a tenth of the current delay and the whole of it, so that
// clients who lost the same relay do not come back in step. It is never longer than
// Max. The first attempt of all is made at once.
//
// Durations that are positive and below 50 ms are raised to 50 ms.
//
// [Eager] and [Gentle] are two other policies. A Backoff can be read from flags, by
// RegisterFlags, [flag.FlagSet.TextVar] or the tags of its fields, from JSON, from
// TOML and from text; the methods tell how. The tags are read by
// github.com/alecthomas/kong, in a program's struct with
//
//	Backoff moq.Backoff `embed:"" prefix:"backoff-"`
//
// for a flag and a variable for each field but StableAfter, or, without the embed,
// for one flag in the text form. Kong first sets what it fills to zero, so a default
// is given by a tag (default:"eager", with one flag), not by the struct.
//
// A struct should hold a Backoff in a named field: one that embeds it takes over its
// methods, and is then itself written and read as a Backoff.
type Backoff struct {
	// Initial is the first delay. Default: 1 s, or Max if that is less.
	Initial time.Duration `json:"initial,omitzero" env:"MOQ_BACKOFF_INITIAL" help:"First delay between attempts to connect; 0 is 1s."`
	// Hold is how many waits of Initial come before the delay grows. Default, and the
	// least: 1.
	Hold int `json:"hold,omitzero" env:"MOQ_BACKOFF_HOLD" help:"Number of waits before the delay grows; 0 is 1."`
	// Multiplier is what each further failure multiplies the delay by. 1 keeps it
	// constant. Default: 2.
	Multiplier float64 `json:"multiplier,omitzero" env:"MOQ_BACKOFF_MULTIPLIER" help:"Factor by which each failure lengthens the delay; 0 is 2."`
	// Max is the longest delay. Default: 30 s, or Initial if that is more.
	Max time.Duration `json:"max,omitzero" env:"MOQ_BACKOFF_MAX" help:"Longest delay between attempts to connect; 0 is 30s."`

	// FirstTimeout is the time to give up after, from the call of Reconnect until the
	// first session that was stable, so that a mistyped address fails fast. It covers
	// dialing as well as waiting. Default: Timeout. Negative: never.
	FirstTimeout time.Duration `json:"first_timeout,omitzero" env:"MOQ_BACKOFF_FIRST_TIMEOUT" help:"Give up after this time without a first session; 0 is as after a loss."`
	// Timeout is the same from the loss of the last session that was stable. A session
	// that is live when the time runs out may still prove stable. Default, and
	// negative: never.
	Timeout time.Duration `json:"timeout,omitzero" env:"MOQ_BACKOFF_TIMEOUT" help:"Give up after an outage of this time; 0 is never."`

	// StableAfter is how long a session must live to count: it resets the delay and
	// the time to give up. One that ends sooner is one more failed attempt.
	// Default: Initial, but at least 1 s. Negative: every session counts.
	StableAfter time.Duration `json:"stable_after,omitzero" kong:"-"` // no flag: it is a matter of the program, not of who runs it
}

// validate reports the first setting that cannot be meant.
func (b Backoff) validate() error {
	bad := func(field, format string, args ...any) error {
		return &ConfigError{Field: "Backoff." + field, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case b.Initial < 0:
		return bad("Initial", "%v is negative", b.Initial)
	case b.Max < 0:
		return bad("Max", "%v is negative", b.Max)
	case b.Max > 0 && b.Max < b.Initial:
		return bad("Max", "%v is less than Initial, which is %v", b.Max, b.Initial)
	case math.IsNaN(b.Multiplier) || math.IsInf(b.Multiplier, 0):
		return bad("Multiplier", "%v is not a number to multiply by", b.Multiplier)
	case b.Multiplier != 0 && b.Multiplier < 1:
		return bad("Multiplier", "%v is less than 1", b.Multiplier)
	}
	return nil
}

// withDefaults returns a copy in which every field means what it says; a timeout that
// is not positive is none. To fill a copy again changes nothing.
func (b Backoff) withDefaults() Backoff {
	for _, d := range []*time.Duration{&b.Initial, &b.Max, &b.FirstTimeout, &b.Timeout, &b.StableAfter} {
		if *d > 0 {
			*d = max(*d, minDuration)
		}
	}
	switch {
	case b.Initial == 0 && b.Max == 0:
		b.Initial, b.Max = defaultInitial, defaultMax
	case b.Initial == 0:
		b.Initial = min(defaultInitial, b.Max)
	case b.Max == 0:
		b.Max = max(defaultMax, b.Initial)
	}
	if b.Multiplier == 0 {
		b.Multiplier = defaultMultiplier
	}
	b.Hold = max(b.Hold, 1)
	if b.FirstTimeout == 0 {
		b.FirstTimeout = b.Timeout
	}
	if b.StableAfter == 0 {
		b.StableAfter = max(b.Initial, minStable)
	}
	return b
}
