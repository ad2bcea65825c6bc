//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/pubsub"
)

const (
	pathKeep    = 30 * time.Second // the publisher's cache, and the subscriber's Max Age
	pathBackIn  = 2 * time.Second  // longest hole, besides the cut itself
	pathWholeIn = 15 * time.Second // after a cut, until all that was written in it is there
	// pathStable is how long a session lives at least, so that it counts as stable: cuts that
	// follow one another sooner are a path that flaps, on which the supervisor waits longer.
	pathStable = 1200 * time.Millisecond
	// pathForgotten is for how long a relay keeps a session that fell silent, and more.
	pathForgotten = 15 * time.Second
)

// cuts is how often each arm of TestLostPath loses its path; MOQ_CUTS says otherwise.
func cuts(t *testing.T) int {
	t.Helper()
	text := os.Getenv("MOQ_CUTS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "MOQ_CUTS")
	require.Positive(t, n, "MOQ_CUTS")
	return n
}

// pathArm is one row of TestLostPath.
type pathArm struct {
	name    string
	version moq.Version
	carrier string
	// identity makes the Hop ID of the next session out of the last one's; nil: the
	// supervisor's sessions, which all have their origin's.
	identity func(uint64) uint64
	seen     bool // the subscriber must notice it
}

// TestLostPath takes the publisher's path away, for ever and at random phases: a proxy
// swallows all that its socket sends and is sent, and lets other sockets through after
// 0.2 to 6 s. The Python subscriber behind the real relay sees neither a retraction nor an
// end, and gets every frame once. That is so because all sessions of a supervisor have one
// Hop ID: where each is made by hand, with a fresh one, the same checks must fail, and by
// hand with the same one they must hold.
func TestLostPath(t *testing.T) {
	n := cuts(t)
	arms := []pathArm{
		{name: "by hand, the same Hop ID", version: moq.Lite06, carrier: "moqt", identity: func(id uint64) uint64 { return id }},
		{name: "by hand, fresh Hop IDs", version: moq.Lite06, carrier: "moqt", identity: func(uint64) uint64 { return 0 }, seen: true},
		{name: "by hand, fresh Hop IDs", version: moq.Lite06, carrier: "https", identity: func(uint64) uint64 { return 0 }, seen: true},
	}
	for _, version := range []moq.Version{moq.Lite06, moq.Lite05} {
		for _, carrier := range []string{"https", "moqt"} {
			arms = append(arms, pathArm{name: "`Reconnect`", version: version, carrier: carrier})
		}
	}
	var seen table
	t.Cleanup(func() {
		seen.print(t, "lost paths", "| sessions | carrier | version | cuts | frames | lost | seen by the subscriber | longest hole | hole less cut: median, longest |")
	})
	for _, arm := range arms {
		t.Run(fmt.Sprint(arm.name, " ", arm.version, " ", arm.carrier), func(t *testing.T) {
			t.Parallel()
			p := startPath(t, arm)
			faults := p.run(t, n)
			noticed := p.witness.Noticed()
			seen.add("%s", p.row(noticed))
			t.Log("not as it should be:", faults, noticed)
			if arm.seen {
				require.NotEmpty(t, faults, "checks that never fail prove nothing")
				require.NotEmpty(t, noticed, "a subscriber that never notices anything proves nothing")
				return
			}
			require.Empty(t, faults)
			require.Empty(t, noticed)
			p.finish(t)
		})
	}
}

// Path is a publisher of ours behind a proxy, a relay, and a Python subscriber.
type Path struct {
	arm     pathArm
	relay   *Relay
	proxy   *peers.Proxy
	witness *Witness
	stop    chan struct{} // closed to end the writing, after a whole group
	wrote   chan error

	mu       sync.Mutex
	sent     []sentFrame
	out      *publication // where they go
	sessions uint64       // of the publications before
	whole    int          // so many of sent have arrived
	lost     []spot       // in the last cut
	holes    []time.Duration
	over     []time.Duration // by how much they were longer than their cuts
}

type sentFrame struct {
	at    spot
	frame pubsub.Frame
}

func startPath(t *testing.T, arm pathArm) *Path {
	t.Helper()
	p := &Path{arm: arm, relay: startRelay(t, peers.RelayOptions{}), stop: make(chan struct{}), wrote: make(chan error, 1)}
	var err error
	p.proxy, err = peers.NewProxy(p.relay.Addr)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, p.proxy.Close()) })
	p.out = p.publish(t, 0)
	p.out.connect(t, p)
	p.witness = startWitness(t, p.relay, frames, pathKeep)
	require.NoError(t, demanded(within(t, 15*time.Second), p.out.track))

	ctx, cancel := context.WithCancel(context.Background())
	var pump sync.WaitGroup
	t.Cleanup(func() { cancel(); pump.Wait() })
	pump.Go(func() { p.wrote <- p.write(ctx) })
	require.True(t, p.witness.Holds(t, 15*time.Second, func() bool { return p.witness.Ledger.Len() > frames }), "no frame came")
	return p
}

// write writes a frame each 10 ms, a group each second.
func (p *Path) write(ctx context.Context) error {
	start := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	for i := 0; ; i++ {
		select {
		case <-next.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		at := spot{uint64(i / frames), i % frames}
		if at.frame == 0 {
			select {
			case <-p.stop:
				return nil
			default:
			}
		}
		f := sentFrame{at, pubsub.Frame{Timestamp: time.Since(start), Payload: payload(at.group, at.frame, padding)}}
		p.mu.Lock()
		p.sent = append(p.sent, f)
		err := p.out.write(f)
		p.mu.Unlock()
		if err != nil {
			return err
		}
		next.Reset(time.Until(start.Add(time.Duration(i+1) * 10 * time.Millisecond)))
	}
}

// run cuts the path n times, or until something is wrong, and returns what is, besides
// what the subscriber noticed.
func (p *Path) run(t *testing.T, n int) []string {
	t.Helper()
	pause(t.Context(), rand.N(time.Second))
	for range n {
		if faults := p.cut(t, 200*time.Millisecond+rand.N(5800*time.Millisecond)); len(faults) > 0 || p.disturbed() {
			return faults
		}
	}
	// The relay forgets the last session that was lost only now.
	p.witness.Holds(t, pathForgotten, p.disturbed)
	return nil
}

func (p *Path) disturbed() bool { return len(p.witness.Noticed()) > 0 }

// cut takes the path away for a time, and returns what is not as it should be.
func (p *Path) cut(t *testing.T, down time.Duration) []string {
	t.Helper()
	before, began := p.generation(), time.Now()
	p.proxy.Admit(false)
	require.NotZero(t, p.proxy.BlackHoleAll())
	if p.arm.identity != nil {
		p.succeed(t, p.arm.identity(p.out.origin.Identity()))
	}
	pause(t.Context(), time.Until(began.Add(down)))
	p.proxy.Admit(true)
	down = time.Since(began)
	if p.arm.identity != nil {
		p.out.connect(t, p)
	}
	written := p.written()

	var faults []string
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	p.witness.Holds(t, pathWholeIn, func() bool { return p.arrived(written) || p.witness.Has("track_error") })
	if p.lost = p.missing(written); len(p.lost) > 0 {
		fault("%d of %d frames did not come, the first is %+v", len(p.lost), written, p.lost[0])
	}
	p.witness.Holds(t, pathStable+rand.N(time.Second), p.disturbed) // the phase of the next cut
	hole := p.witness.Ledger.HoleSince(began)
	p.holes, p.over = append(p.holes, hole), append(p.over, hole-down)
	if hole > down+pathBackIn {
		fault("a hole of %v in a cut of %v", hole, down)
	}
	if now := p.generation(); now != before+1 {
		fault("generation %d after %d", now, before)
	}
	return faults
}

// arrived reports whether the first n frames have all come.
func (p *Path) arrived(n int) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.whole < n && p.witness.Ledger.Has(p.sent[p.whole].at) {
		p.whole++
	}
	return p.whole >= n
}

// missing returns which of the first n frames have not come.
func (p *Path) missing(n int) []spot {
	p.mu.Lock()
	defer p.mu.Unlock()
	var missing []spot
	for _, f := range p.sent[:n] {
		if !p.witness.Ledger.Has(f.at) {
			missing = append(missing, f.at)
		}
	}
	return missing
}

func (p *Path) written() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.sent)
}

// generation counts the sessions so far.
func (p *Path) generation() uint64 {
	return p.sessions + p.out.supervisor.State().Generation
}

// finish ends the track and then the broadcast, and checks that the subscriber sees
// both, and has got every frame once.
func (p *Path) finish(t *testing.T) {
	t.Helper()
	close(p.stop)
	require.NoError(t, <-p.wrote)
	// The relay lets go of a track that ends, also of what it still has to deliver.
	require.True(t, p.witness.Holds(t, pathWholeIn, func() bool { return p.arrived(p.written()) }), "the last frames do not come")
	require.Empty(t, p.witness.Noticed())
	require.NoError(t, p.out.track.Close())
	require.True(t, p.witness.Holds(t, 10*time.Second, func() bool { return p.witness.Has("track_end") }), "no end of the track")
	require.NoError(t, p.out.broadcast.Close())
	require.True(t, p.witness.Holds(t, 10*time.Second, func() bool { return p.witness.Has("retraction") }), "no retraction")
	last := p.sent[len(p.sent)-1].at
	require.NoError(t, p.witness.Ledger.Complete(0, last.group, 0, frames))
	require.Equal(t, uint64(1+len(p.holes)), p.generation())
}

// row is what docs/INTEROP.md has of it.
func (p *Path) row(noticed []notice) string {
	kinds := []string{"nothing"}
	if len(noticed) > 0 {
		kinds = nil
		for _, n := range noticed {
			kinds = append(kinds, n.kind)
		}
		kinds = slices.Compact(kinds)
	}
	over := slices.Sorted(slices.Values(p.over))
	return fmt.Sprintf("| %s | %s | %s | %d | %d | %d | %s | %.2f s | %.2f, %.2f s |",
		p.arm.name, p.arm.carrier, p.arm.version, len(p.over), p.written(), len(p.lost), strings.Join(kinds, ", "),
		slices.Max(p.holes).Seconds(), over[len(over)/2].Seconds(), over[len(over)-1].Seconds())
}

// publication is one origin with the broadcast, and the supervisor that takes it to the relay.
type publication struct {
	origin     *pubsub.Origin
	broadcast  *pubsub.BroadcastProducer
	track      *pubsub.TrackProducer
	group      *pubsub.GroupProducer
	supervisor *moq.Reconnect
	cancel     context.CancelFunc
}

// publish makes a publication with this Hop ID; zero is a fresh one.
func (p *Path) publish(t *testing.T, identity uint64) *publication {
	t.Helper()
	out := &publication{origin: pubsub.NewOriginWith(pubsub.OriginOptions{Identity: identity})}
	var err error
	out.broadcast, err = out.origin.CreateBroadcast(broadcast)
	require.NoError(t, err)
	out.track, err = out.broadcast.CreateTrack(track, pubsub.TrackInfo{MaxAge: pathKeep})
	require.NoError(t, err)
	return out
}

// connect announces it and has it supervised.
func (out *publication) connect(t *testing.T, p *Path) {
	t.Helper()
	require.NoError(t, out.broadcast.Announce())
	ctx, cancel := context.WithCancel(context.Background())
	config := moq.Config{Publish: out.origin, Versions: []moq.Version{p.arm.version}, Backoff: moq.Eager()}
	out.supervisor, out.cancel = newClient(t, p.relay, "publisher", config).Reconnect(ctx, p.proxy.URL(p.arm.carrier)), cancel
	t.Cleanup(cancel)
}

// write takes frames in order, the first of a group before the others.
func (out *publication) write(f sentFrame) error {
	if f.at.frame == 0 {
		var err error
		if out.group, err = out.track.CreateGroup(f.at.group); err != nil {
			return err
		}
	}
	err := out.group.WriteFrame(f.frame)
	if f.at.frame == frames-1 {
		return errors.Join(err, out.group.Close())
	}
	return err
}

// succeed puts another publication in the place of the present one: the same groups
// with the same numbers and frames, as far as they would still be cached. It is not yet
// connected.
func (p *Path) succeed(t *testing.T, identity uint64) {
	t.Helper()
	p.out.cancel()
	await(t, p.out.supervisor.Closed(), 5*time.Second, "the supervisor does not end")
	p.sessions += p.out.supervisor.State().Generation
	next := p.publish(t, identity)
	require.NoError(t, p.moveTo(next))
}

func (p *Path) moveTo(next *publication) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out = next
	newest := p.sent[len(p.sent)-1].at.group
	for _, f := range p.sent {
		if time.Duration(newest-f.at.group)*time.Second < pathKeep {
			if err := next.write(f); err != nil {
				return err
			}
		}
	}
	return nil
}
