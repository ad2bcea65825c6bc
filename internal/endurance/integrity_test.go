package endurance

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// What the tracks of TestIntegrity are kept for. No outage of the test is as long as the
// first: what is kept that long is never lost.
const (
	ample  = 40 * time.Second
	scanty = time.Second
)

// framesWanted is how many frames are published, in all.
func framesWanted(t *testing.T) int {
	said := os.Getenv("MOQ_FRAMES")
	if said == "" && raced {
		return 6_000
	}
	if said == "" {
		return 20_000
	}
	n, err := strconv.Atoi(said)
	require.NoError(t, err, "MOQ_FRAMES")
	require.GreaterOrEqual(t, n, 6_000, "MOQ_FRAMES")
	return n
}

// stage is a publisher and a reader with a relay between them, and what happens to them.
type stage struct {
	*bed
	random           *rand.Rand
	publisher, sub   *client
	ample, scanty    *writer
	begun            time.Time
	count            map[string]int // of what happened
	written          chan error     // how the writing ended
	wait, goOn, last chan struct{}  // orders to the writing
}

// TestIntegrity publishes numbered and hashed frames through a lossy network whose sessions
// end by and by for every reason, and accounts for each frame. What is kept for long enough
// is never lost; what is not is named exactly, and was too old indeed; whoever wants the live
// edge is told what was skipped. All along heap and goroutines stay as they are.
func TestIntegrity(t *testing.T) {
	frames := framesWanted(t)
	faults := min(max(frames/5000, kinds), 1000)
	onBed(t, pubsub.NewOrigin, func(t *testing.T, b *bed) {
		s := newStage(b, frames)
		sink := pubsub.NewOrigin()
		s.sub = b.connect("moqt", moq.Config{Subscribe: sink})
		readers, read := s.readers(t, sink), make(chan error, 3)
		for _, r := range readers {
			f := sink.Follow("a", r.track, r.options)
			defer f.Close()
			go func() { read <- r.follow(t.Context(), f) }()
		}
		for _, w := range []*writer{s.ample, s.scanty} {
			for d := w.track.Demand(); d.Readers == 0; d = w.track.Demand() {
				<-d.Changed
			}
		}
		b.net.Lose(0.01)
		watch := s.perform(t, frames, faults)
		for range readers {
			require.NoError(t, <-read)
		}

		for _, r := range readers {
			t.Log(r.name, r.ledger)
			require.EqualValues(t, r.writer.wrote.Load(), r.frames+r.lost, "each frame came, or was told as lost")
		}
		reconnects := s.publisher.State().Losses + s.sub.State().Losses
		t.Logf("%d reconnects in %v; %v", reconnects, time.Since(s.begun), s.count)
		require.GreaterOrEqual(t, reconnects, uint64(faults))
		require.Zero(t, readers[0].lost, "of what is kept nothing is lost")
		require.NotZero(t, readers[1].lost+readers[2].lost, "a short cache and the live edge lose something")
		if faults >= 10*kinds { // in a short run one of them may be lucky
			require.NotZero(t, readers[1].lost)
			require.NotZero(t, readers[2].lost)
		}
		watch.flat(t)
	})
}

func newStage(b *bed, frames int) *stage {
	s := &stage{
		bed: b, random: rand.New(rand.NewPCG(uint64(frames), 11)), begun: time.Now(), count: make(map[string]int),
		written: make(chan error, 1), wait: make(chan struct{}), goOn: make(chan struct{}), last: make(chan struct{}),
	}
	source := pubsub.NewOrigin()
	broadcast, err := source.CreateBroadcast("a")
	require.NoError(b.t, err)
	made := func(name string, frames int, keep time.Duration, salt uint64) *writer {
		track, err := broadcast.CreateTrack(name, pubsub.TrackInfo{MaxAge: keep})
		require.NoError(b.t, err)
		return &writer{script: newScript(name, frames, salt), track: track, begun: s.begun}
	}
	s.ample = made("ample", frames/2, ample, 100)
	s.scanty = made("scanty", frames-frames/2, scanty, 200)
	require.NoError(b.t, broadcast.Announce())
	s.publisher = b.connect("https", moq.Config{Publish: source})
	return s
}

// reader is one of the three ways to read.
type reader struct {
	*ledger
	name    string
	writer  *writer
	options pubsub.FollowOptions
}

func (s *stage) readers(t *testing.T, sink *pubsub.Origin) []*reader {
	first := uint64(0)
	from := pubsub.SubscribeOptions{Start: &first}
	const patience = 2 * time.Minute // a look's rest is no stall: Followers who renew at different times share nothing meanwhile
	last := pubsub.FollowOptions{Resume: pubsub.ResumeLast, SubscribeOptions: from, Stall: patience}
	return []*reader{
		{&ledger{script: s.ample.script, tolerate: func(gap pubsub.Gap) error {
			return fmt.Errorf("lost, though it is kept (%d frames): %v, %w", s.ample.frames(gap.First), gap, gap.Cause)
		}}, "kept", s.ample, last},
		{&ledger{script: s.scanty.script, tolerate: func(gap pubsub.Gap) error {
			if age := s.scanty.age(gap.Last, s.scanty.latest()); age <= scanty {
				return fmt.Errorf("lost, though only %v old: %v, %w", age, gap, gap.Cause)
			}
			return nil
		}}, "kept for a second", s.scanty, last},
		{&ledger{script: s.ample.script}, "live", s.ample, pubsub.FollowOptions{SubscribeOptions: from, Stall: patience}},
	}
}

// publish writes both tracks, some 600 frames a second together, and rests when it is told to.
// The last group of each finds everything healed.
func (s *stage) publish() error {
	random := rand.New(rand.NewPCG(1, 1))
	always := make(chan struct{})
	close(always)
	for more := true; more; {
		if err := s.obey(always); err != nil {
			return err
		}
		more = false
		n := random.IntN(4)
		for _, w := range []*writer{s.ample, s.scanty} {
			for i := 0; i < n && !w.ended(); i++ {
				if w.group == nil && w.next == w.last {
					if err := s.obey(s.last); err != nil {
						return err
					}
				}
				if err := w.write(); err != nil {
					return err
				}
			}
			more = more || !w.ended()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return errors.Join(s.ample.track.Close(), s.scanty.track.Close())
}

// obey rests as often as it is told to, until there is leave to go on.
func (s *stage) obey(leave <-chan struct{}) error {
	for {
		select {
		case <-leave:
			return nil
		case <-s.wait:
			if err := s.rest(); err != nil {
				return err
			}
		case <-s.t.Context().Done():
			return s.t.Context().Err()
		}
	}
}

// rest writes the groups at hand to their end, and waits. No presentation time passes.
func (s *stage) rest() error {
	both := []*writer{s.ample, s.scanty}
	for _, w := range both {
		if err := w.finish(); err != nil {
			return err
		}
	}
	begin := time.Now()
	<-s.goOn
	for _, w := range both {
		w.begun = w.begun.Add(time.Since(begin))
	}
	return nil
}

// perform lets so many faults happen while the tracks are written, evenly spread over the
// frames.
func (s *stage) perform(t *testing.T, frames, faults int) *watch {
	w := &watch{stage: s}
	go func() { s.written <- s.publish() }()
	for i := range faults {
		goal := int64(frames) / int64(faults+1) * int64(i+1)
		until(func() bool { return s.ample.wrote.Load()+s.scanty.wrote.Load() >= goal })
		if i%max(faults/looks, 1) == 0 {
			w.look()
		}
		s.trouble(t, i%kinds)
	}
	w.look()
	close(s.last)
	require.NoError(t, <-s.written)
	return w
}

// kinds is how many kinds of faults there are; each is met in turn.
const kinds = 6

// trouble is one fault, and what may go with it. It returns when there are sessions again.
func (s *stage) trouble(t *testing.T, kind int) {
	for _, c := range []*client{s.publisher, s.sub} {
		if at := c.sockets.at(); s.random.IntN(2) == 0 {
			s.net.Rebind(at[s.random.IntN(len(at))])
			s.count["rebound"]++
		}
	}
	if s.random.IntN(3) == 0 { // those that are sent behind it overtake others
		s.net.Delay(s.upTo(300 * time.Millisecond))
		time.Sleep(s.upTo(time.Second))
		s.net.Delay(0)
		s.count["delayed"]++
	}
	victim := s.publisher
	if s.random.IntN(2) == 0 {
		victim = s.sub
	}
	renewed := func() {}
	switch kind {
	case 0, 1:
		renewed = renewal(t, s.publisher, s.sub)
		s.restart([]func(*relay.Relay) error{(*relay.Relay).Kill, (*relay.Relay).Close}[kind])
		s.count[[]string{"relay killed", "relay closed"}[kind]]++
	case 2, 3:
		session, err := victim.Session(t.Context())
		require.NoError(t, err)
		renewed = renewal(t, victim)
		session.Abort(moq.SessionInternal, "on purpose")
		s.count["session aborted"]++
	case 4: // what it has open now is lost for good, in both directions or in one
		renewed = renewal(t, victim)
		how := []func(netip.Addr, bool){s.net.Silence, s.net.Mute, s.net.Deafen}[s.random.IntN(3)]
		for _, socket := range victim.sockets.at() {
			how(socket.Addr(), true)
			defer how(socket.Addr(), false)
		}
		s.count["black hole"]++
	case 5: // which may be over before anybody gives up
		s.net.Dark(true)
		time.Sleep(s.upTo(8 * time.Second))
		s.net.Dark(false)
		s.count["blackout"]++
	}
	renewed()
	for _, c := range []*client{s.publisher, s.sub} {
		c.established(t.Context(), 1)
	}
	if s.random.IntN(4) == 0 { // what was cut is cut again before it came
		time.Sleep(s.upTo(100 * time.Millisecond))
		s.count["again"]++
		s.trouble(t, s.random.IntN(kinds))
		return
	}
	time.Sleep(s.upTo(2 * time.Second))
}

// renewal returns what waits for a newer session of each.
func renewal(t *testing.T, victims ...*client) (wait func()) {
	newer := make([]uint64, len(victims))
	for i, c := range victims {
		newer[i] = c.State().Generation + 1
	}
	return func() {
		for i, c := range victims {
			c.established(t.Context(), newer[i])
		}
	}
}

// restart ends the relay, and a while later another one takes its place.
func (s *stage) restart(end func(*relay.Relay) error) {
	s.end(end)
	time.Sleep(s.upTo(3 * time.Second))
	s.start()
}

func (s *stage) upTo(d time.Duration) time.Duration {
	return 1 + time.Duration(s.random.Int64N(int64(d)))
}

// looks is how often a long run is looked at.
const looks = 40

// watch looks after what must not grow.
type watch struct {
	*stage
	heaps      []int64
	goroutines []int
	played     []time.Duration // presentation time
}

// look lets everything come to rest, and then looks. Another relay, and sessions that were begun
// meanwhile, hold nothing of the tracks, where older ones hold more or less.
func (w *watch) look() {
	w.wait <- struct{}{}
	renewed := renewal(w.t, w.publisher, w.sub)
	w.restart((*relay.Relay).Kill)
	renewed()
	time.Sleep(time.Minute) // all that is dead is forgotten
	w.heaps = append(w.heaps, heap())
	w.goroutines = append(w.goroutines, runtime.NumGoroutine())
	w.played = append(w.played, w.ample.latest())
	w.goOn <- struct{}{}
}

// flat fails if goroutines are left over, or if the heap has grown. A short run ends before
// the long cache is full, and says nothing of the heap.
func (w *watch) flat(t *testing.T) {
	t.Logf("live heap in KiB: %v", kib(w.heaps))
	t.Logf("goroutines: %v", w.goroutines)
	for _, n := range w.goroutines {
		require.InDelta(t, w.goroutines[0], n, 2, "no goroutine is left over")
	}
	full := slices.IndexFunc(w.played, func(d time.Duration) bool { return d > 2*ample })
	if full < 0 || len(w.heaps)-full < 2*looks/3 {
		t.Log("too short a run for the heap")
		return
	}
	heaps := w.heaps[full:]
	// The least, since caches hold more or less: what leaks is there always.
	early, late := slices.Min(heaps[:len(heaps)/3]), slices.Min(heaps[len(heaps)*2/3:])
	t.Logf("least heap: %d KiB in the first third, %d KiB in the last one", early>>10, late>>10)
	require.LessOrEqual(t, late, early*11/10)
}

func kib(all []int64) (out []int64) {
	for _, n := range all {
		out = append(out, n>>10)
	}
	return out
}
