package schedule_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/remoq/moq"
	"github.com/remoq/moq/pubsub"
)

// kind is what a fault does.
type kind int

const (
	loss kind = iota
	burst
	reorder
	duplicate
	corrupt
	shrink // of the largest packet that passes
	blackHole
	oneWay
	delay
	rebind
	sessionClosed // by the relay, in good order
	sessionReset  // by the relay, with an error
	crash         // the relay vanishes without a word; another one comes
	restart       // the relay closes; another one comes
	flap          // the relay accepts and cuts
	goaway
	streamReset
	stall  // the reader reads nothing
	cancel // the reader's calls are cancelled, and taken up again
	reopen // the Follower is closed, and another one made
	recall // the supervisor's context ends, and another one is made
	redial
	successor     // the publisher's process dies, and another one comes
	kinds     int = iota
)

var kindNames = [kinds]string{
	"loss", "burst", "reorder", "duplicate", "corrupt", "mtu", "black hole", "one way", "delay", "rebind",
	"close", "reset", "crash", "restart", "flap", "goaway", "stream reset",
	"stall", "cancel", "reopen", "recall", "redial", "successor",
}

func (k kind) String() string { return kindNames[k] }

// The lanes of a schedule: faults of one lane come one after the other, those of different
// lanes at the same time.
var lanes = [...][]kind{
	{loss, burst, reorder, duplicate, corrupt, shrink},
	{blackHole, oneWay, delay, rebind},
	{sessionClosed, sessionReset, crash, restart, flap, goaway, streamReset},
	{stall, cancel, reopen, recall, redial, successor},
}

// side is whom a fault happens to.
type side int

const (
	publisher side = iota
	subscriber
	everybody
)

func (s side) String() string { return [...]string{"publisher", "subscriber", "both"}[s] }

// has reports whether it happens to o.
func (s side) has(o side) bool { return s == o || s == everybody }

// fault is one trouble. Times are from the first one.
type fault struct {
	kind     kind
	side     side
	at, till time.Duration
	share    float64 // of packets
	n        int     // packets in a row, bytes, milliseconds or a stream, as the kind says
}

func (f fault) String() string {
	return fmt.Sprintf("%v-%v %v (%v, %.2f, %d)", f.at, f.till, f.kind, f.side, f.share, f.n)
}

// link is how one of the two programs connects.
type link struct {
	scheme  string
	version moq.Version
}

// follow is how a reader follows.
type follow struct {
	resume   pubsub.Resume
	parallel bool // groups are read side by side
	stall    time.Duration
}

// schedule is what a seed expands to.
type schedule struct {
	seed    uint64
	rtt     time.Duration
	links   [2]link // of the publisher and the subscriber
	backoff moq.Backoff
	keep    time.Duration // the track's Max Age
	rate    int           // frames a second
	frames  int           // a group
	readers []follow
	lanes   [len(lanes)][]fault
}

func (s schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: rtt %v, publisher %v, subscriber %v, backoff %v to %v, kept for %v, %d frames/s, %d a group, readers",
		s.seed, s.rtt, s.links[publisher], s.links[subscriber], s.backoff.Initial, s.backoff.Max, s.keep, s.rate, s.frames)
	for _, f := range s.readers {
		fmt.Fprintf(&b, " {%v parallel %v stall %v}", [...]string{"live", "last"}[f.resume], f.parallel, f.stall)
	}
	for _, lane := range s.lanes {
		for _, f := range lane {
			fmt.Fprintf(&b, "\n  %v", f)
		}
	}
	return b.String()
}

// has reports whether a kind of fault is in it.
func (s schedule) has(k kind) bool {
	for _, lane := range s.lanes {
		for _, f := range lane {
			if f.kind == k {
				return true
			}
		}
	}
	return false
}

const (
	// connectTimeout bounds an attempt: the handshake timeout of the first invariant.
	connectTimeout = 5 * time.Second
	// forever is a Max Age within which every schedule is over.
	forever = time.Hour
)

// lossless reports whether a reader that goes on where it was has to get everything.
func (s schedule) lossless() bool { return s.keep == forever && !s.has(successor) }

// mending is how long it may take to fetch a number of groups, which is done one after the
// other, over two hops. What a reader who goes on where it was has missed comes by its
// subscription, but for one that it shares with a reader who wants the latest group only.
func (s schedule) mending(groups uint64) time.Duration {
	var has [2]bool
	for _, r := range s.readers {
		has[r.resume] = true
	}
	if !has[pubsub.ResumeLast] || !has[pubsub.ResumeLive] {
		return 0
	}
	return time.Duration(groups) * 2 * s.rtt
}

// within is how long after healing the sessions may be missing.
func (s schedule) within() time.Duration { return s.backoff.Max + 2*connectTimeout }

// dice draws for expand.
type dice struct{ *rand.Rand }

func (d dice) between(from, to time.Duration) time.Duration {
	return from + time.Duration(d.Int64N(int64((to-from)/time.Millisecond)+1))*time.Millisecond
}

func pick[T any](d dice, of ...T) T { return of[d.IntN(len(of))] }

// expand makes a schedule of a seed.
func expand(seed uint64) schedule {
	d := dice{rand.New(rand.NewPCG(seed, 0))}
	s := schedule{seed: seed, rtt: pick[time.Duration](d, 2, 20, 80, 200) * time.Millisecond}
	for i := range s.links {
		s.links[i] = link{pick(d, "moqt", "https"), pick(d, moq.Lite06, moq.Lite05)}
	}
	s.backoff = pick(d,
		moq.Backoff{Initial: 100 * time.Millisecond, Multiplier: 2, Max: time.Second},
		moq.Backoff{Initial: 500 * time.Millisecond, Multiplier: 2, Max: 2 * time.Second},
		moq.Eager())
	s.keep = pick(d, forever, forever, 2*time.Second, 5*time.Second)
	s.rate = pick(d, 10, 20, 30)
	s.frames = pick(d, 1, 3, 8, 20)
	for range 1 + d.IntN(2) {
		s.readers = append(s.readers, follow{
			resume:   pick(d, pubsub.ResumeLast, pubsub.ResumeLast, pubsub.ResumeLive),
			parallel: d.IntN(2) == 0,
			stall:    pick(d, 0, 3*time.Second),
		})
	}
	for n := 0; n == 0; {
		for i := range s.lanes {
			s.lanes[i] = d.lane(lanes[i])
			n += len(s.lanes[i])
		}
	}
	if s.keep == forever && s.has(reopen) {
		// A subscription begins with Max Age 0, which is raised when the first group has come. A
		// group that its publisher resets until then, before its head has come, can be named by
		// nobody, and is waited for as long as the track's Max Age says.
		s.keep = 5 * time.Second
	}
	return s
}

// lane draws faults that come one after the other.
func (d dice) lane(of []kind) []fault {
	var all []fault
	at := d.between(0, 2*time.Second)
	for range pick(d, 0, 1, 1, 2) {
		f := d.fault(pick(d, of...), at)
		all = append(all, f)
		at = f.till + d.between(0, 1500*time.Millisecond)
	}
	return all
}

// fault draws one of a kind.
func (d dice) fault(k kind, at time.Duration) fault {
	f := fault{kind: k, side: side(d.IntN(3)), at: at, till: at + d.between(200*time.Millisecond, 3*time.Second)}
	switch k {
	case loss:
		f.share = pick(d, 0.02, 0.1, 0.3)
	case burst:
		f.share, f.n = 0.02, 2+d.IntN(12)
	case reorder:
		f.share, f.n = pick(d, 0.05, 0.3), pick(d, 5, 50)
	case duplicate, corrupt:
		f.share = pick(d, 0.05, 0.3)
	case shrink:
		f.n = 1200 + d.IntN(200)
	case blackHole, oneWay:
		f.till = at + d.between(100*time.Millisecond, pick[time.Duration](d, 1, 4, 12)*time.Second)
		f.n = d.IntN(2) // which way
	case delay:
		f.n = 50 + d.IntN(950)
	case rebind, sessionClosed, sessionReset, streamReset, redial:
		f.till = at
		f.n = d.IntN(8)
	case crash, restart:
		f.till = at + d.between(0, 4*time.Second)
	case flap:
		f.n = pick(d, 0, 1, 50, 400)
	case recall, successor:
		f.till = at + d.between(0, 2*time.Second)
	case stall:
		f.till = at + d.between(200*time.Millisecond, 7*time.Second)
	}
	if f.kind == successor {
		f.side = publisher
	}
	return f
}
