package transport

import (
	"sync"
	"sync/atomic"
	"time"
)

// Health is what a [Pulse] makes of the silence on a connection.
type Health int32

// The health of a connection.
const (
	Alive  Health = iota // packets come, or none are due
	Silent               // a probe, which must be answered, was not
	Dead                 // nor were those that followed
)

const (
	// minPatience is the least time that silence and an unanswered probe are borne.
	// Acknowledgements may be late by 25 ms on top of a round trip.
	minPatience = 250 * time.Millisecond
	// hintPatience is the same for an answer after a hint that the peer is gone, on top of
	// the round trip.
	hintPatience = 30 * time.Millisecond
	// hintRest is the least time between two probes for the sake of hints: they can be
	// forged, and a dead port sends one for each packet.
	hintRest = time.Second
	// minLife is the least silence that a connection is given up after, and lastWait the
	// least time that its probes go unanswered before.
	minLife  = 5 * time.Second
	lastWait = 2250 * time.Millisecond
	// forever is the patience with a connection that may be silent.
	forever = 24 * time.Hour
	// minJump is by how much the wall clock must run ahead of the monotonic one for the
	// machine to have slept.
	minJump = time.Second
)

// PulseConfig is how a connection is watched.
type PulseConfig struct {
	// Probe sends something that the peer must answer, if only by an acknowledgement. It
	// must not block.
	Probe func()
	// KeepAlive is the longest silence of an idle connection: shortly before it, a probe
	// is sent. Not positive: an idle connection may be silent.
	KeepAlive time.Duration
	// Wall reads the clock on the wall. nil: time.Now.
	Wall func() time.Time
}

// Pulse judges the silence on a connection by the traffic that it was carrying. When
// nothing has come for longer than is likely, it probes; if that is not answered, it
// calls the connection silent, and goes on probing until something comes or too much time
// has passed. It closes nothing.
//
// One timer does it, and no goroutine. All methods may be called concurrently.
type Pulse struct {
	PulseConfig
	stamps  *stamps
	rtt     func() time.Duration
	changed chan struct{}
	health  atomic.Int32
	rest    rest

	mu     sync.Mutex
	timer  *time.Timer
	ended  bool
	probed int64 // when the first probe that was not answered yet was sent; 0: none
	judge  int64 // when the probe under way has to be answered
	hinted int64 // when a hint was followed last

	begun time.Time     // by the monotonic clock
	wall  time.Time     // the same moment by the one on the wall
	ahead time.Duration // by how much the wall clock has run ahead since
}

// newPulse starts to watch; rtt is the connection's smoothed round-trip time.
func newPulse(s *stamps, c PulseConfig, rtt func() time.Duration) *Pulse {
	if c.Wall == nil {
		c.Wall = time.Now
	}
	p := &Pulse{
		PulseConfig: c, stamps: s, rtt: rtt, changed: make(chan struct{}, 1),
		begun: time.Now(), wall: c.Wall(),
	}
	p.mu.Lock()
	p.timer = time.AfterFunc(time.Hour, p.look)
	p.arm(p.patience())
	p.mu.Unlock()
	s.pulse.Store(p)
	return p
}

// Probe sends what has to be answered, whatever is thought of the connection. It does
// not block.
func (p *Pulse) Probe() { p.PulseConfig.Probe() }

// Changed is rung when Health has another value. One goroutine listens.
func (p *Pulse) Changed() <-chan struct{} { return p.changed }

// Health returns the verdict as it is now. Dead is final.
func (p *Pulse) Health() Health { return Health(p.health.Load()) }

// LastPacket returns when a packet came last.
func (p *Pulse) LastPacket() time.Time {
	return p.stamps.epoch.Add(time.Duration(p.stamps.last.Load()))
}

// RTT returns the smoothed round-trip time; 0 if there is none yet.
func (p *Pulse) RTT() time.Duration { return p.rest.spare(p.stamps.now(), p.rtt()) }

// Stop ends the watch. Health stays what it is.
func (p *Pulse) Stop() {
	p.stamps.pulse.CompareAndSwap(p, nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.timer.Stop()
}

// Check probes now: the path may have changed, or the machine may have slept.
func (p *Pulse) Check() { p.suspect(0) }

// hint is Check for the sake of something that may be forged.
func (p *Pulse) hint() { p.suspect(hintRest) }

// suspect sends a probe, unless one is under way or the last one for this reason is not
// older than rest. The answer has to come soon.
func (p *Pulse) suspect(rest time.Duration) {
	p.mu.Lock()
	now := p.stamps.now()
	p.settle()
	if p.ended || p.probed != 0 || rest > 0 && p.hinted != 0 && now-p.hinted < int64(rest) {
		p.mu.Unlock()
		return
	}
	if rest > 0 {
		p.hinted = now
	}
	p.expect(now, hintPatience+p.RTT()*3/2)
	p.mu.Unlock()
	p.Probe()
}

// expect arms the timer for the answer to a probe that is sent now. The caller holds mu.
func (p *Pulse) expect(now int64, within time.Duration) {
	if p.probed == 0 {
		p.probed = now
	}
	p.judge = now + int64(within)
	p.arm(within)
}

// patience is the silence that the traffic of late makes likely. An idle connection is
// one whose silence its keep-alive ends: a relay with many of them must not be asked by
// all at once because it was slow for a moment.
func (p *Pulse) patience() time.Duration {
	idle := forever
	if p.KeepAlive > 0 {
		// What is left of the keep-alive is for the probe's answer.
		idle = p.KeepAlive - min(minPatience, p.KeepAlive/4)
	}
	if !p.stamps.busy() {
		return idle
	}
	return min(idle, max(minPatience, p.RTT()*3/2, 2*p.stamps.typical()))
}

// quicken looks sooner than was planned, since there is traffic now.
func (p *Pulse) quicken() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.ended && p.probed == 0 && !p.rest.rouse.Load() {
		p.arm(p.patience())
	}
}

// answer is how long a probe may go unanswered.
func (p *Pulse) answer() time.Duration { return max(minPatience, p.RTT()*3/2) }

// life is the silence that a connection is given up after.
func (p *Pulse) life() time.Duration {
	return max(minLife, max(p.KeepAlive, 0)+max(2*time.Second, 4*p.RTT()))
}

// end is when the connection is given up, if nothing comes. The caller holds mu.
func (p *Pulse) end(last int64) int64 {
	return max(last+int64(p.life()), p.probed+int64(lastWait))
}

// next is when to probe again if left is the time until the end. The last probe is sent
// when there is just time for its answer: a path that has healed before was asked.
func (p *Pulse) next(left time.Duration) time.Duration {
	if last := left - (hintPatience + p.RTT()*3/2); last > 0 {
		return min(p.answer(), last)
	}
	return left
}

// look runs when the timer does.
func (p *Pulse) look() {
	if p.slept() {
		return
	}
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return
	}
	now, last := p.stamps.now(), p.stamps.last.Load()
	if p.rest.overslept(now) {
		p.wake(now)
		p.mu.Unlock()
		return
	}
	p.settle()
	probe, verdict := false, Health(p.health.Load())
	switch {
	case p.probed == 0:
		within := p.answer()
		if p.rest.ended() {
			within = hintPatience + p.RTT()*3/2
		} else if left := last + int64(p.patience()) - now; left > 0 {
			p.arm(time.Duration(left))
			break
		}
		p.expect(now, within)
		probe = true
	case now < p.judge: // the timer of an earlier question
		p.arm(time.Duration(p.judge - now))
	case now >= p.end(last):
		verdict, p.ended = Dead, true
	default:
		verdict, probe = Silent, true
		p.expect(now, p.next(time.Duration(p.end(last)-now)))
	}
	p.mu.Unlock()
	p.publish(verdict)
	if probe {
		p.Probe()
	}
}

// publish makes a verdict known. What came meanwhile overrules it: then the reader finds
// the connection alive.
func (p *Pulse) publish(verdict Health) {
	if old := Health(p.health.Swap(int32(verdict))); old == verdict {
		return
	}
	if verdict == Silent && p.answered() {
		p.health.CompareAndSwap(int32(Silent), int32(Alive))
	}
	p.ring()
}

func (p *Pulse) answered() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle()
	return p.probed == 0
}

// settle forgets a question that was answered. The caller holds mu.
func (p *Pulse) settle() {
	if p.stamps.last.Load() >= p.probed {
		p.probed = 0
	}
}

// woke is called when a packet has come although the connection is not alive.
func (p *Pulse) woke() {
	if p.health.CompareAndSwap(int32(Silent), int32(Alive)) {
		p.ring()
	}
}

// ring wakes who listens to Changed.
func (p *Pulse) ring() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// slept looks after the path if the machine has slept: the clock on the wall has then run
// ahead of the monotonic one, which stood still. It says if that was so.
func (p *Pulse) slept() bool {
	ahead := p.Wall().Round(0).Sub(p.wall.Round(0)) - time.Since(p.begun)
	p.mu.Lock()
	defer p.mu.Unlock()
	jumped := ahead-p.ahead > minJump
	p.ahead = ahead
	if jumped && !p.ended {
		p.wake(p.stamps.now())
	}
	return jumped
}
