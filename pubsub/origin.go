package pubsub

import (
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/remoq/moq/moqerr"
)

// DefaultBudget is how many bytes the tracks of an origin keep together, the latest group
// of each aside; and how many one supplier makes it keep, with these.
const DefaultBudget = 64 << 20

// maxIdentity bounds identities: some peers read them as JavaScript numbers
// (moq-lite.md §3.5).
const maxIdentity = 1 << 53

// OriginOptions are the knobs of an Origin. The zero value works.
//
// Identity and FirstSequence hand a publication from one process to the next, so that
// readers take the two for one publisher. The rules, of which a relay checks none:
//
//   - the same Identity, paths, track names and TrackInfo;
//   - FirstSequence is [Origin.NextSequence] of the old origin, read when its last groups
//     were closed: a sequence that was used already is skipped by readers, or worse;
//   - the new session is there before the old one is closed (moq-lite.md §7.3): else
//     the broadcast is retracted in between, and readers wait for it to come back.
//
// Two processes may also publish the same thing at the same time under one Identity, if
// groups of the same sequence have the same frames: a reader may get either's, and half of
// a group from each.
type OriginOptions struct {
	// Identity is the Hop ID, below 2^53. Zero, or a larger one: random.
	Identity uint64
	// FirstSequence is where the numbering of local tracks begins, at most 2^62-2. More
	// is cut to that.
	FirstSequence uint64
	// Budget in bytes, over all tracks. Zero: DefaultBudget. Negative: only the latest
	// group of each track is kept. It is also what one session that feeds the origin may
	// make it hold, the latest groups of its tracks included; if it is negative that is
	// DefaultBudget.
	Budget int64
	// TrackBudget in bytes, for each track, its latest group aside. Zero: half of Budget.
	// Negative: only Budget counts.
	TrackBudget int64
	// Logger for the few things that a program should hear of. Nil: silent.
	Logger *slog.Logger
}

// Origin is a table of broadcasts: those made here, and routes that others attached. It
// outlives every session. All methods may be called concurrently.
type Origin struct {
	identity uint64
	budget   int64
	logger   *slog.Logger

	trackBudget int64
	held        atomic.Int64  // bytes that tracks keep
	high        atomic.Uint64 // above every sequence of every closed local track

	pressed atomic.Int64 // written since the budget was shared out, while it was all but used up

	tracksMu sync.Mutex
	tracks   map[*track]struct{} // that were written to; guarded by tracksMu

	mu sync.Mutex
	// Guarded by mu.
	root        node
	locals      map[string]*broadcast
	order       uint64 // counts routes
	present     int    // routes in the table
	supervisors int
	stopped     error // why the last supervisor ended; nil if one runs, or none ever did
}

// NewOrigin returns an origin with the default options.
func NewOrigin() *Origin { return NewOriginWith(OriginOptions{}) }

// NewOriginWith returns an origin. An Identity of 2^53 or more is replaced by a random
// one.
func NewOriginWith(o OriginOptions) *Origin {
	if o.Identity == 0 || o.Identity >= maxIdentity {
		o.Identity = 1 + rand.Uint64N(maxIdentity-1)
	}
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case o.TrackBudget == 0:
		o.TrackBudget = max(o.Budget, 0) / 2
	case o.TrackBudget < 0:
		o.TrackBudget = math.MaxInt64
	}
	origin := &Origin{
		identity: o.Identity, budget: max(o.Budget, 0), trackBudget: o.TrackBudget, logger: o.Logger,
		locals: make(map[string]*broadcast), tracks: make(map[*track]struct{}),
	}
	origin.high.Store(min(o.FirstSequence, maxSequence))
	return origin
}

// Identity returns the Hop ID: random, not zero, below 2^53, the same for the origin's
// whole life (moq-lite.md §3.5).
func (o *Origin) Identity() uint64 { return o.identity }

// NextSequence returns a sequence above every one that tracks made here have used so far:
// the FirstSequence of an origin that goes on under the same identity.
func (o *Origin) NextSequence() uint64 {
	var next uint64
	for _, t := range o.keepers(nil) {
		if t.madeHere() {
			used, _ := t.numbering()
			next = max(next, used)
		}
	}
	return max(next, o.high.Load()) // with those that have ended meanwhile
}

// Budget returns [OriginOptions] Budget with the default filled in, or 0.
func (o *Origin) Budget() int64 { return o.budget }

// Lookup returns the broadcast that serves path at present: the one announced here at
// this very path, or what is behind the best route at the longest prefix that covers it.
// What came from, or went through, the hop exclude is invisible; zero excludes nothing. If
// nothing serves the path the error is a *moqerr.StreamError (StreamUnroutable).
func (o *Origin) Lookup(path string, exclude uint64) (*BroadcastConsumer, error) {
	path, err := parsePath("path", path)
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.root.covering(path, exclude)
	if r == nil {
		return nil, streamError(moqerr.StreamUnroutable)
	}
	return &BroadcastConsumer{route: r, path: path}, nil
}

// Routes returns how many routes are in the table at present, those of local broadcasts
// included: a bound on how much a reading of all announcements holds.
func (o *Origin) Routes() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.present
}

// Broadcast waits until path is announced and returns it. It ends with ctx.Err(), or with
// the error of the last supervisor (see Supervise).
func (o *Origin) Broadcast(ctx context.Context, path string) (*BroadcastConsumer, error) {
	path, err := parsePath("path", path)
	if err != nil {
		return nil, err
	}
	a := o.announcements(path, 0, true)
	defer a.Close()
	for {
		if _, err := a.Next(ctx); err != nil {
			return nil, err
		}
		if b, err := o.Lookup(path, 0); err == nil {
			return b, nil
		}
	}
}

// Supervise marks the origin as fed by somebody, until done is called. When the last one
// is done, whatever waits on the origin and has nothing to deliver returns that last error
// (ErrClosed if it is nil) instead of waiting for ever, until somebody calls Supervise
// again. done may be repeated; only its first call counts.
func (o *Origin) Supervise() (done func(error)) {
	o.mu.Lock()
	o.supervisors++
	o.stopped = nil
	o.mu.Unlock()
	var once sync.Once
	return func(err error) { once.Do(func() { o.unsupervise(err) }) }
}

func (o *Origin) unsupervise(err error) {
	if err == nil {
		err = moqerr.ErrClosed
	}
	var wake []*sleeper
	o.mu.Lock()
	if o.supervisors--; o.supervisors == 0 {
		o.stopped = err
		o.root.walk(func(n *node) {
			for _, a := range n.cursors {
				if a.waiting {
					a.waiting = false
					wake = append(wake, &a.sleeper)
				}
			}
		})
	}
	o.mu.Unlock()
	ringAll(wake)
}

func ringAll(wake []*sleeper) {
	for _, s := range wake {
		s.ring()
	}
}

// insert puts a route into the table, unless it is dead already.
func (o *Origin) insert(r *route) {
	o.mu.Lock()
	if r.dead.Load() {
		o.mu.Unlock()
		return
	}
	o.order++
	r.order = o.order
	r.at = o.root.grow(r.value.Prefix)
	r.at.routes = append(r.at.routes, r)
	o.present++
	wake := o.touch(r)
	o.mu.Unlock()
	ringAll(wake)
}

// remove takes a route out of the table for good.
func (o *Origin) remove(r *route) {
	o.mu.Lock()
	if r.dead.Swap(true) {
		o.mu.Unlock()
		return
	}
	gone := r.gone
	var wake []*sleeper
	if r.at != nil {
		r.at.routes = slices.DeleteFunc(r.at.routes, func(x *route) bool { return x == r })
		o.present--
		wake = o.touch(r)
		r.at.prune()
	}
	o.mu.Unlock()
	fire(gone)
	ringAll(wake)
}

// touch tells cursors that something changed at r's prefix and returns whom to ring. The
// caller holds mu.
func (o *Origin) touch(r *route) (wake []*sleeper) {
	for n := r.at; n != nil; n = n.parent {
		for _, a := range n.cursors {
			wake = a.mark(r.value.Prefix, wake)
		}
	}
	if r.local != nil {
		return wake
	}
	r.at.below(func(n *node) {
		for _, a := range n.cursors {
			wake = a.mark(a.prefix, wake)
		}
	})
	return wake
}

// raise lifts the high-water mark of sequences.
func (o *Origin) raise(next uint64) {
	for {
		high := o.high.Load()
		if next <= high || o.high.CompareAndSwap(high, next) {
			return
		}
	}
}

// update replaces what a route says of itself.
func (o *Origin) update(r *route, value Route) error {
	o.mu.Lock()
	if value.Prefix != r.value.Prefix {
		o.mu.Unlock()
		return &moqerr.ConfigError{Field: "Route.Prefix", Err: errPrefixMoved}
	}
	if r.dead.Load() {
		o.mu.Unlock()
		return moqerr.ErrClosed
	}
	r.value = value
	r.rev++
	wake := o.touch(r)
	o.mu.Unlock()
	ringAll(wake)
	return nil
}
