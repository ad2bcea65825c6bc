package pubsub

import (
	"context"
	"errors"
	"iter"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/remoq/moq/moqerr"
)

// A failed subscription is tried again after this time, doubled up to the longest one, or
// as soon as the announcement changes.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 5 * time.Second
)

// DefaultStall is how long a subscription may be silent before it is renewed.
const DefaultStall = 30 * time.Second

// maxStallDoublings is how often the time may double while renewing does not help.
const maxStallDoublings = 5

// errSilent is why a subscription was renewed that a healthy session had lost.
var errSilent = errors.New("moq: the subscription fell silent")

// Resume says where a Follower goes on after a loss.
type Resume int

const (
	// ResumeLive goes on at the live edge: with the group that the publisher is at. What
	// was missed is told as lost, but for a loss that takes no time, since another way to
	// the same publisher is there already: that one goes on where the old one ended.
	ResumeLive Resume = iota
	// ResumeLast goes on with the frame behind the last one that came. What the new
	// subscription does not bring is fetched, as long as somebody keeps it; and so are groups
	// that a running one leaves out before another, unless the reader's MaxAge is shorter than
	// the track's.
	ResumeLast
)

// FollowOptions is how to follow a track. The zero value begins at the latest group and
// resumes at the live edge.
type FollowOptions struct {
	SubscribeOptions
	Resume Resume

	// Within bounds how far back ResumeLast goes: a group counts as lost if it begins more
	// than that before the newest frame that is here, by presentation time. While a publisher is silent
	// its track does not grow old. Zero: as far as anything is kept.
	Within time.Duration

	// Stall is how long a subscription to a broadcast from elsewhere may bring nothing, no
	// group and no frame, until it is renewed, exactly where it was. The time doubles while
	// that does not help, up to 32 times. Zero: DefaultStall. Negative: never.
	Stall time.Duration
}

// FollowState is a snapshot of a Follower.
type FollowState struct {
	Live      bool   // there is a subscription; else it waits for one
	Announced bool   // the broadcast can be asked for at present
	Losses    uint64 // subscriptions lost so far, also those that were renewed
	// LostGroups counts the groups named by gaps so far, and those that were lost before
	// the end or before End, from when io.EOF is returned. A restart counts none.
	LostGroups uint64
	Err        error // the last failure; nil if none
}

// Follower is a durable subscription: it waits for the broadcast, subscribes, and after
// every loss does so again. One goroutine calls NextGroup at a time, and one at a time reads
// each group; the other methods may be called from anywhere. It has no goroutine of its own:
// whoever waits does what is to be done.
//
// Groups come in the order of their sequences, each of them once. One that was cut stays
// open: its NextFrame waits and goes on behind the last frame that had come, or ends with a
// *[moqerr.GapError] if the rest cannot be had. Nothing is delivered twice.
//
// What a loss cost is told by the Gap of the next group, exactly: from the first frame that
// had not come yet. Where groups that came whole lie within the loss it is several gaps
// ([GroupConsumer.Gaps]). If no group follows, since the track ended meanwhile, FollowState
// counts what was lost. The Gap's Cause is what ended the subscription. Whether a group of
// which all frames had come, but not its end, lost anything cannot be known unless it can
// be asked for again; a gap then counts it from its end on.
//
// The end of the track is io.EOF. A broadcast that is retracted is no end: what runs goes
// on, and if nothing does, the Follower waits for the next announcement. A publisher with
// a new identity starts a new numbering: groups that were cut end, and the first group of
// it has a Gap with Restarted set. One that is taken over by another process under the
// same identity goes on ([OriginOptions]). If the identity is unknown, a live group that
// lies before the last one delivered is taken for a restart.
type Follower struct {
	origin *Origin
	path   string
	track  string
	resume Resume
	within time.Duration
	stall  time.Duration      // 0: no watchdog
	bad    error              // why the path or the track cannot be followed
	life   context.Context    // until Close
	die    context.CancelFunc // ends it
	cursor *Announcements

	patience atomic.Int64  // how long a reader waits for a frame before it looks for a stall
	turn     chan struct{} // full while somebody has the turn
	nudged   atomic.Bool   // somebody asks for the turn of one who waits for a group

	// Owned by whoever has the turn.
	active    bool               // the path is announced
	failures  int                // in a row; a group that came ends it
	broadcast *BroadcastConsumer // of the running subscription
	source    uint64             // its publisher's identity
	age       time.Duration      // the track's MaxAge, when it was known last
	retryAt   time.Time          // when to try again after the last failure; zero: now
	position  position
	queue     []*openGroup // groups that came and were not delivered, by sequence
	atEnd     bool         // the running subscription has come to its end
	fresh     bool         // no group of the running subscription was looked at yet
	reached   uint64       // above the last group that it brought
	foreign   bool         // it is of another publisher
	seamless  bool         // the last loss has taken no time so far
	filling   bool         // what the running subscription does not bring is fetched
	cause     error        // of the loss that was not told wholly yet
	begun     time.Time    // when the running subscription was
	pending   *pending
	found     *GroupConsumer // the lowest group above absent that was found so far
	absent    uint64         // what is missing below it, from told on, nobody has
	stride    uint64         // how far above it is looked next
	unopened  *GroupConsumer // found, and its first frame is waited for
	arriving  *GroupConsumer // came with the running subscription, likewise
	awaited   *group         // of which of the two
	awaitEnd  time.Time      // for how long
	datagrams spans          // sequences that came as datagrams with earlier subscriptions
	vague     int            // fetches in a row that failed without a reason
	edge      uint64         // what lies above it is no matter of that loss
	horizon   uint64         // what lies below it is further back than within
	gaps      []Gap          // not told yet
	told      uint64         // what is missing below it was told
	end       uint64         // what the running subscription ends with; if atEnd
	brokenOff *Gap           // where the old numbering broke off
	forsaken  []Gap          // what was given up since another publisher has begun
	severing  *TrackConsumer // found without anybody to ask
	severedAt time.Time      // when
	watch     watchdog

	mu sync.Mutex
	// Guarded by mu.
	opts   SubscribeOptions
	rev    uint64         // counts changes of opts
	asked  *attempt       // not answered yet, or not looked at
	sub    *TrackConsumer // nil while waiting
	made   *attempt       // what sub came of
	closed bool
	state  FollowState
}

// Follow returns a durable subscription to a track. It does nothing until it is read, but
// for keeping an eye on the announcements of the path; Close releases that.
func (o *Origin) Follow(path, track string, opts FollowOptions) *Follower {
	path, err := parsePath("path", path)
	if err == nil {
		err = checkTrack(track)
	}
	f := &Follower{
		origin: o, path: path, track: track, bad: err, turn: make(chan struct{}, 1),
		cursor: o.announcements(path, 0, true), opts: opts.copied(),
		resume: opts.Resume, edge: math.MaxUint64, within: max(opts.Within, 0), stall: max(opts.Stall, 0),
	}
	if opts.Stall == 0 {
		f.stall = DefaultStall
	}
	f.life, f.die = context.WithCancel(context.Background())
	return f
}

// NextGroup returns the next group; order, waiting and skipping are those of
// [TrackConsumer.NextGroup]. It ends with
//
//   - ctx.Err(), or [moqerr.ErrClosed] after Close;
//   - io.EOF when the track ended properly, or behind End;
//   - a *moqerr.StreamError (StreamNotFound) if the broadcast is announced and has no such
//     track; another call asks again;
//   - the error of the origin's last supervisor, if it would have to wait (see
//     [Origin.Supervise]);
//   - a *moqerr.ConfigError if no broadcast can have that path, or no track that name.
//
// Every other failure is waited out. What was asked for stays asked for when ctx ends, so
// that calls with short contexts get there too. NextFrame of a group that was cut ends in
// the same ways, and may be called again.
func (f *Follower) NextGroup(ctx context.Context) (*GroupConsumer, error) {
	if err := f.enter(ctx, nil); err != nil {
		return nil, err
	}
	for {
		c, err := f.deliver()
		if c == nil && err == nil {
			err = f.step(ctx)
		}
		if c != nil || err != nil {
			f.leave()
			return c, err
		}
		if f.nudged.Swap(false) {
			if err := f.yield(ctx, nil); err != nil {
				return nil, err
			}
		}
	}
}

// Groups iterates over the groups as NextGroup returns them. Leaving the loop early closes
// the group at hand; the Follower stays open until Close.
func (f *Follower) Groups(ctx context.Context) iter.Seq2[*GroupConsumer, error] {
	return groups(ctx, f.NextGroup)
}

// Update replaces what the reader wants, as [TrackConsumer.Update] does; also of a
// subscription that is still being asked for. It fails with [moqerr.ErrClosed] after Close.
func (f *Follower) Update(o SubscribeOptions) error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return moqerr.ErrClosed
	}
	f.opts = o.copied()
	f.rev++
	sub, asked, made := f.sub, f.asked, f.made
	f.mu.Unlock()
	switch {
	case sub != nil:
		if made.start != nil {
			o = made.options(o)
		}
		_ = sub.Update(o) // one that was lost just now does not matter
	case asked != nil:
		asked.update(o)
	}
	return nil
}

// State returns how the Follower is doing.
func (f *Follower) State() FollowState {
	_, err := f.origin.Lookup(f.path, 0)
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state
	s.Announced = err == nil && f.bad == nil
	return s
}

// Close ends the Follower and unblocks NextGroup. Groups that were delivered can still be
// read, as far as they come. It may be repeated and returns nil.
func (f *Follower) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return nil
	}
	f.closed = true
	f.state.Live = false
	sub, asked := f.sub, f.asked
	f.asked = nil
	f.mu.Unlock()
	f.die()
	f.cursor.Close()
	if asked != nil {
		asked.request.leave(asked.waiter)
	}
	if sub != nil {
		_ = sub.Close()
	}
	f.turn <- struct{}{} // whoever had it has seen the end
	f.dropFetch()
	f.dropFound()
	f.dropUnopened()
	for _, o := range f.queue {
		o.leave()
	}
	f.queue = nil
	f.leave()
	return nil
}

func (f *Follower) isClosed() bool {
	select {
	case <-f.life.Done():
		return true
	default:
		return false
	}
}
