package moq

import "time"

// presets are the policies that the text form knows by a name.
var presets = []struct {
	name   string
	policy func() Backoff
}{
	{"eager", Eager},
	{"gentle", Gentle},
}

// Eager is the policy for interactive clients, "eager" in text form: nine waits of at
// most 1 s, then twice as long after each failure, up to 5 s.
//
// Of 100,000 clients who lose a relay at once, half are back 0.30 s after an outage of
// 3 s and 99 % after 0.92 s; after one of 60 s it is 1.5 s and 4.5 s. They come back
// fast, and so they press: one in four tries within the same 100 ms, about 1 s after
// the loss. From 10 s on it is one in 25.
func Eager() Backoff {
	return Backoff{Initial: time.Second, Hold: 9, Multiplier: 2, Max: 5 * time.Second}
}

// Gentle is the policy for large fleets, "gentle" in text form: every wait is at most
// 5 s, the first one too.
//
// Of 100,000 clients who lose a relay at once, 3.8 % try within the same 100 ms of an
// outage of 3 s; in a longer one it is 5.0 % once, 5 s after the loss. Then the tries
// come evenly, the busiest 100 ms 4 % above the mean. Half of the clients are back
// 1.4 s after an outage of 3 s, and 1.5 s after one of 60 s; 99 % are after 4.5 s.
func Gentle() Backoff {
	return Backoff{Initial: 5 * time.Second, Multiplier: 1, Max: 5 * time.Second}
}
