package moq

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// maxFloor is the longest that an order waits for the one before it.
const maxFloor = time.Second

// pacer counts the failures of an outage, says how long to wait after each, and when
// to give up. It is a value without goroutine or lock: its owner is the loop.
type pacer struct {
	policy   Backoff // with its defaults
	growth   backoff.ExponentialBackOff
	failures int
	random   func(n time.Duration) time.Duration // in [0, n)

	since  time.Time     // when the outage, and with it the time to give up, began
	budget time.Duration // of this outage; not positive: never give up
	proven bool          // there was a session that was stable
}

// newPacer starts the first outage now: there is no session yet.
func newPacer(b Backoff) pacer {
	b = b.withDefaults()
	p := pacer{
		policy: b,
		growth: backoff.ExponentialBackOff{
			InitialInterval: b.Initial,
			Multiplier:      b.Multiplier,
			MaxInterval:     b.Max,
			Clock:           backoff.SystemClock,
		},
		random: rand.N[time.Duration],
	}
	p.restart()
	return p
}

// restart begins an outage now that no loss led to.
func (p *pacer) restart() {
	p.growth.Reset()
	p.failures = 0
	p.since = time.Now()
	p.budget = p.policy.FirstTimeout
	if p.proven {
		p.budget = p.policy.Timeout
	}
}

// reset ends the outage. The next one begins now, with the loss of a stable session.
func (p *pacer) reset() {
	p.proven = true
	p.restart()
}

// next counts a failure and returns how long to wait after it, and its number.
func (p *pacer) next() (wait time.Duration, failures int) {
	p.failures++
	delay := p.policy.Initial
	if p.failures >= p.policy.Hold {
		delay = p.growth.NextBackOff()
	}
	return p.jitter(delay), p.failures
}

// deadline returns when to give up; the zero time is never.
func (p *pacer) deadline() time.Time {
	if p.budget <= 0 {
		return time.Time{}
	}
	return p.since.Add(p.budget)
}

// spent reports whether the time to give up has come.
func (p *pacer) spent() bool { return p.budget > 0 && time.Since(p.since) >= p.budget }

// stable reports whether a session that lived this long ends an outage.
func (p *pacer) stable(lived time.Duration) bool {
	return p.policy.StableAfter < 0 || lived >= p.policy.StableAfter
}

// jitter spreads a delay downward, so that the cap stays a cap: [d/10, d].
func (p *pacer) jitter(d time.Duration) time.Duration {
	low := d / 10
	return low + p.random(d-low+1)
}

// floor is the least time between two attempts that no wait came before: the shortest wait
// that there is, but not so long that whoever asks for one would think that nothing happens.
func (p *pacer) floor() time.Duration { return min(max(p.policy.Initial/10, minDuration), maxFloor) }

// renewal is when to replace a session whose credential lives from since till: at a
// random moment of its last fifth, but for the last tenth, which is for the dial.
func renewal(since, till time.Time) time.Time {
	if till.IsZero() {
		return till
	}
	life := max(till.Sub(since), minStable)
	return since.Add(life/10*8 + rand.N(life/10))
}
