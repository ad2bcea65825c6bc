//go:build interop

package interop

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/pubsub"
)

// Fault is one way to lose a relay.
type Fault struct {
	Name  string
	End   func(*Relay)
	Down  time.Duration // from its end to its new start
	Drain time.Duration // its --drain-timeout
	Back  time.Duration // within which frames flow again, once it is up
	Lossy bool          // longer than anything is kept, so frames are lost for certain
	Code  int           // the session close code that both sides see; silent: none, it is noticed by silence
}

const silent = -1

var faults = []Fault{
	{Name: "SIGKILL, up after 0.2 s", End: (*Relay).Kill, Down: 200 * time.Millisecond, Back: 5 * time.Second, Code: silent},
	{Name: "SIGTERM, up after 0.2 s", End: (*Relay).Terminate, Down: 200 * time.Millisecond, Back: 15 * time.Second},
	{Name: "SIGTERM with a drain of 1 s", End: (*Relay).Terminate, Down: 200 * time.Millisecond, Drain: time.Second, Back: 15 * time.Second, Code: 0x10},
	{Name: "SIGKILL, up after 20 s", End: (*Relay).Kill, Down: 20 * time.Second, Back: 50 * time.Second, Lossy: true, Code: silent},
}

// TestFaults loses the relay under a publisher and a subscriber of ours at 100
// frames a second. Both go on by themselves; what was lost is what the gap names,
// frame by frame, and nothing comes twice.
func TestFaults(t *testing.T) {
	var seen table
	t.Cleanup(func() {
		seen.print(t, "faults", "| relay 0.17.10 | carrier | longest time without a frame | written | lost, as named | gap |")
	})
	for _, f := range faults {
		for _, carrier := range []string{"https", "moqt"} {
			t.Run(f.Name+" "+carrier, func(t *testing.T) {
				t.Parallel()
				p := startPair(t, startRelay(t, peers.RelayOptions{Drain: f.Drain}), carrier, PairOptions{})
				p.awaitFrames(t, 250, 15*time.Second)
				lost := p.sessions(t)
				f.End(p.relay)
				p.relay.Restart(t, f.Down)
				up := p.written(t)
				p.awaitAfter(t, up, f.Back)
				p.awaitFrames(t, p.ledger.Len()+250, 15*time.Second)
				p.finish(t)

				for _, session := range lost {
					f.ended(t, session)
				}
				for name, r := range map[string]*moq.Reconnect{"publisher": p.publisher, "subscriber": p.subscriber} {
					s := r.State()
					require.Equal(t, moq.Connected, s.Phase, name)
					require.EqualValues(t, 2, s.Generation, name)
					require.EqualValues(t, 1, s.Losses, name)
				}
				missing := p.exact(t)
				if f.Lossy {
					require.NotZero(t, missing)
				}
				seen.add("| %s | %s | %.2f s | %d | %d | %v |", f.Name, carrier, p.ledger.Hole().Seconds(), len(p.sent), missing, p.gaps)
			})
		}
	}
}

// ended checks why a session ended.
func (f Fault) ended(t *testing.T, session *moq.Session) {
	t.Helper()
	await(t, session.Closed(), 5*time.Second, "the old session still lives")
	if f.Code == silent {
		require.ErrorIs(t, session.Err(), os.ErrDeadlineExceeded)
		return
	}
	closed := new(moq.SessionError)
	if plain := new(quic.ApplicationError); f.Code == 0 && errors.As(session.Err(), &plain) {
		// The relay says goodbye by a capsule and, as it exits, by closing the connection: either can be first.
		require.True(t, plain.Remote)
		require.Zero(t, plain.ErrorCode)
		return
	}
	require.ErrorAs(t, session.Err(), &closed)
	require.True(t, closed.Remote)
	require.EqualValues(t, f.Code, closed.Code, "%v", closed)
}

// Pair is a publisher and a subscriber of ours, which only meet at a relay.
type Pair struct {
	relay                 *Relay
	publisher, subscriber *moq.Reconnect
	stop                  chan struct{} // closed to end the writing
	wrote, read           chan error    // their ends

	mu      sync.Mutex
	sent    []spot // every frame, in order
	ledger  Ledger
	gaps    []pubsub.Gap // as told by the groups behind them
	arrival chan struct{}
}

// PairOptions say what a pair is asked to do; the zero value is the defaults of all.
type PairOptions struct {
	Info               pubsub.TrackInfo
	Follow             pubsub.FollowOptions
	Publish, Subscribe moq.Config
}

func startPair(t *testing.T, r *Relay, carrier string, o PairOptions) *Pair {
	t.Helper()
	p := &Pair{
		relay: r, stop: make(chan struct{}), wrote: make(chan error, 1), read: make(chan error, 1),
		arrival: make(chan struct{}, 1),
	}
	out, in := pubsub.NewOrigin(), pubsub.NewOrigin()
	b, err := out.CreateBroadcast(broadcast)
	require.NoError(t, err)
	producer, err := b.CreateTrack(track, o.Info)
	require.NoError(t, err)
	require.NoError(t, b.Announce())

	ctx, cancel := context.WithCancel(context.Background())
	o.Publish.Publish, o.Subscribe.Subscribe = out, in
	p.publisher = newClient(t, r, "publisher", o.Publish).Reconnect(ctx, r.URL(carrier))
	p.subscriber = newClient(t, r, "subscriber", o.Subscribe).Reconnect(ctx, r.URL(carrier))
	var pumps sync.WaitGroup
	t.Cleanup(func() { cancel(); pumps.Wait() })
	follower := in.Follow(broadcast, track, o.Follow)
	pumps.Go(func() { p.read <- p.follow(ctx, follower) })
	require.NoError(t, demanded(within(t, 15*time.Second), producer))
	pumps.Go(func() { p.wrote <- p.write(ctx, producer) })
	return p
}

// write writes a frame each 10 ms, a group each second.
func (p *Pair) write(ctx context.Context, producer *pubsub.TrackProducer) error {
	start := time.Now()
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		group, err := producer.AppendGroup()
		if err != nil {
			return err
		}
		for f := range 100 {
			at := spot{group.Sequence(), f}
			content := payload(at.group, at.frame, padding)
			if err := group.WriteFrame(pubsub.Frame{Timestamp: time.Since(start), Payload: content}); err != nil {
				return err
			}
			p.mu.Lock()
			p.sent = append(p.sent, at)
			due := start.Add(time.Duration(len(p.sent)) * 10 * time.Millisecond) // a late one is made up for
			p.mu.Unlock()
			next.Reset(time.Until(due))
			select {
			case <-next.C:
			case <-p.stop:
				return errors.Join(group.Close(), producer.Close())
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := group.Close(); err != nil {
			return err
		}
	}
}

func (p *Pair) follow(ctx context.Context, follower *pubsub.Follower) error {
	for group, err := range follower.Groups(ctx) {
		if err != nil {
			return err
		}
		if last, begun := p.ledger.Last(); begun && group.Sequence() <= last {
			return fmt.Errorf("group %d was delivered after group %d", group.Sequence(), last)
		}
		p.mu.Lock()
		p.gaps = append(p.gaps, group.Gaps()...)
		p.mu.Unlock()
		if err := p.frames(ctx, group); err != nil {
			return err
		}
	}
	return io.EOF
}

func (p *Pair) frames(ctx context.Context, group *pubsub.GroupConsumer) error {
	for frame, err := range group.Frames(ctx) {
		if err != nil { // the group was cut; the next one's Gap tells what is lost of it
			return ctx.Err()
		}
		if err := p.ledger.Add(group.Sequence(), -1, frame.Payload); err != nil {
			return err
		}
		select {
		case p.arrival <- struct{}{}:
		default:
		}
	}
	return nil
}

// sessions returns the live sessions of both.
func (p *Pair) sessions(t *testing.T) []*moq.Session {
	t.Helper()
	var all []*moq.Session
	for _, r := range []*moq.Reconnect{p.publisher, p.subscriber} {
		session, err := r.Session(within(t, 10*time.Second))
		require.NoError(t, err)
		all = append(all, session)
	}
	return all
}

// written returns the newest frame.
func (p *Pair) written(t *testing.T) spot {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	require.NotEmpty(t, p.sent)
	return p.sent[len(p.sent)-1]
}

// awaitFrames waits until n frames were delivered.
func (p *Pair) awaitFrames(t *testing.T, n int, limit time.Duration) {
	t.Helper()
	p.awaitThat(t, limit, func() bool { return p.ledger.Len() >= n })
}

// awaitAfter waits for a frame that was written after at.
func (p *Pair) awaitAfter(t *testing.T, at spot, limit time.Duration) {
	t.Helper()
	p.awaitThat(t, limit, func() bool {
		newest := p.ledger.Newest()
		return newest.group > at.group || newest.group == at.group && newest.frame > at.frame
	})
}

func (p *Pair) awaitThat(t *testing.T, limit time.Duration, holds func() bool) {
	t.Helper()
	ctx := within(t, limit)
	for !holds() {
		select {
		case <-p.arrival:
		case err := <-p.read:
			require.FailNow(t, "the subscriber ended", "%v", err)
		case err := <-p.wrote:
			require.FailNow(t, "the publisher ended", "%v", err)
		case <-ctx.Done():
			require.FailNow(t, "frames do not come", "%d delivered, newest %+v; written %+v; publisher %+v; subscriber %+v",
				p.ledger.Len(), p.ledger.Newest(), p.written(t), p.publisher.State(), p.subscriber.State())
		}
	}
}

// finish ends the track and waits until the subscriber has its end.
func (p *Pair) finish(t *testing.T) {
	t.Helper()
	close(p.stop)
	require.NoError(t, <-p.wrote)
	p.awaitThat(t, 10*time.Second, func() bool { return p.ledger.Newest() == p.written(t) })
}

// exact checks that what was not delivered is what the gaps name, and returns how much.
func (p *Pair) exact(t *testing.T) int {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	var missing, named []spot
	for _, at := range p.sent {
		if !p.ledger.Has(at) {
			missing = append(missing, at)
		}
		if covers(p.gaps, at) {
			named = append(named, at)
		}
	}
	require.Equal(t, missing, named, "lost, and named by %v", p.gaps)
	return len(missing)
}

func covers(gaps []pubsub.Gap, at spot) bool {
	for _, gap := range gaps {
		after := at.group > gap.First || at.group == gap.First && at.frame >= gap.FirstFrame
		if after && at.group <= gap.Last {
			return true
		}
	}
	return false
}

// The negative control of the check above.
func TestCoversNamesFrames(t *testing.T) {
	gaps := []pubsub.Gap{{First: 3, FirstFrame: 40, Last: 5}, {First: 9, Last: 9}}
	for at, want := range map[spot]bool{
		{3, 39}: false, {3, 40}: true, {4, 0}: true, {5, 99}: true, {6, 0}: false, {8, 99}: false, {9, 0}: true, {10, 0}: false,
	} {
		require.Equal(t, want, covers(gaps, at), "%+v", at)
	}
}
