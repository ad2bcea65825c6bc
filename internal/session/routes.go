package session

import (
	"io"

	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// routes is what one announce stream of the peer's has attached to the Subscribe
// origin.
type routes struct {
	s      *Session
	hop    uint64 // the peer's, appended to every chain
	cost   uint64 // of the link to the peer
	byID   map[uint64]string
	byPath map[string]route
	next   uint64
	held   int64               // counted against the session's budget
	long   map[uint64]struct{} // announce ids of what was too long to be kept
}

type route struct {
	requests *pubsub.Requests // nil: announced, but not for us
	source   uint64
	cost     int64 // counted against the session's budget
}

// What remembering an announcement takes beside its path and hops, here and in the origin,
// and what one takes that is only counted.
const (
	routeCost = 640
	longCost  = 64
)

var errTooMany = &wire.Error{Message: "ANNOUNCE", Field: "active announcements", Err: wire.ErrTooLarge}

// readAnnouncements asks the peer for everything that it has and keeps the Subscribe
// origin's routes equal to that. A malformed announcement ends the session, the end
// of the stream retracts what it announced.
func (s *Session) readAnnouncements() {
	err := s.followAnnouncements()
	if err != nil && s.ctx.Err() == nil {
		s.log.Debug("announcements ended", "err", err)
		// A peer that closes may cut this stream before it says why.
		s.fail(s.awaitReason(err))
	}
}

func (s *Session) followAnnouncements() error {
	stream, err := s.ask(s.ctx, wire.StreamAnnounce, wire.AnnounceRequest{Exclude: s.hop}.Append)
	if err != nil {
		return err
	}
	defer finish(stream)
	r := wire.NewReader(stream)
	body, err := r.Message()
	if err != nil {
		return s.check(truncated(err))
	}
	ok, err := wire.ParseAnnounceOK(body, s.cfg.Version)
	if err != nil || !s.awaitAdmission() {
		return s.check(err)
	}
	t := &routes{s: s, hop: ok.Hop, cost: linkCost(s.peer), byID: make(map[uint64]string), byPath: make(map[string]route), long: make(map[uint64]struct{})}
	defer func() { s.budget.Give(t.held) }()
	for {
		m, err := wire.ReadAnnounce(r, s.cfg.Version)
		if err == io.EOF {
			t.close()
			return nil
		}
		if err == nil {
			err = t.apply(m)
		}
		if err != nil {
			return s.check(err)
		}
	}
}

// apply attaches, updates or detaches one route.
func (t *routes) apply(m wire.Announce) error {
	switch m.Kind {
	case wire.AnnounceStart:
		return t.start(m)
	case wire.AnnounceLong:
		if !t.take(longCost) {
			return errTooMany
		}
		t.long[t.next] = struct{}{}
		t.next++
	case wire.AnnounceUpdate, wire.AnnounceEnd:
		if _, long := t.long[m.ID]; long && t.s.cfg.Version.AnnounceIDs() {
			if m.Kind == wire.AnnounceEnd {
				delete(t.long, m.ID)
				t.give(longCost)
			}
			return nil
		}
		path, known := t.path(m)
		if !known {
			if t.s.cfg.Version.AnnounceIDs() {
				return &wire.Error{Message: "ANNOUNCE", Field: "announce id", Err: wire.ErrRange}
			}
			return nil
		}
		if m.Kind == wire.AnnounceUpdate {
			return t.attach(path, m)
		}
		t.detach(path)
		delete(t.byID, m.ID)
		delete(t.byPath, path)
	}
	return nil
}

// path finds what an update or an end is about: by id, or before there were ids by
// suffix.
func (t *routes) path(m wire.Announce) (string, bool) {
	if t.s.cfg.Version.AnnounceIDs() {
		path, ok := t.byID[m.ID]
		return path, ok
	}
	_, ok := t.byPath[m.Suffix]
	return m.Suffix, ok
}

func (t *routes) start(m wire.Announce) error {
	if t.s.cfg.Version.AnnounceIDs() {
		if _, active := t.byPath[m.Suffix]; active {
			return &wire.Error{Message: "ANNOUNCE", Field: "suffix", Err: wire.ErrDuplicate}
		}
		t.byID[t.next] = m.Suffix
		t.next++
	}
	return t.attach(m.Suffix, m)
}

// attach makes path's route what m says. The same source over another way is an
// update; another source is the end of one broadcast and the start of another.
func (t *routes) attach(path string, m wire.Announce) error {
	chain := append(append(make([]uint64, 0, len(m.Hops)+1), m.Hops...), t.hop)
	r := pubsub.Route{
		Prefix: wire.JoinPath(t.s.root, path),
		Hops:   chain,
		Warm:   addCost(m.Warm, t.cost),
		Cold:   addCost(m.Cold, t.cost),
	}
	old := t.byPath[path]
	cost := int64(routeCost + len(path) + len(r.Prefix) + 16*len(chain))
	if !t.take(cost) {
		return errTooMany
	}
	usable := len(chain) <= wire.MaxHops && !contains(chain, t.s.hop) && !contains(m.Hops, t.hop)
	if old.requests != nil && usable && old.source == r.Source() && old.source != 0 {
		if err := old.requests.Update(r); err == nil {
			t.give(old.cost)
			old.cost = cost
			t.byPath[path] = old
			return nil
		}
	}
	t.detach(path)
	now := route{source: r.Source(), cost: cost}
	if usable {
		requests, err := t.s.feed.Attach(r)
		if err != nil {
			t.s.log.Debug("announcement left out", "err", err)
		}
		now.requests = requests
	}
	t.byPath[path] = now
	return nil
}

func (t *routes) detach(path string) {
	old := t.byPath[path]
	if old.requests != nil {
		old.requests.Close(nil)
	}
	t.give(old.cost)
}

func (t *routes) take(n int64) bool {
	ok := t.s.budget.Take(n)
	if ok {
		t.held += n
	}
	return ok
}

func (t *routes) give(n int64) {
	t.held -= n
	t.s.budget.Give(n)
}

// close retracts everything. Any other end of the stream is the session's, and conclude
// closes the feed with its cause.
func (t *routes) close() {
	for path := range t.byPath {
		t.detach(path)
	}
}

// linkCost is what a route costs more for coming over this link (§4.2).
func linkCost(peer wire.Setup) uint64 {
	if peer.HasCost {
		return peer.Cost
	}
	return 1
}

func addCost(a, b uint64) uint64 {
	if a > wire.MaxVarint-min(b, wire.MaxVarint) {
		return wire.MaxVarint
	}
	return a + b
}

func contains(chain []uint64, hop uint64) bool {
	for _, id := range chain {
		if id != 0 && id == hop {
			return true
		}
	}
	return false
}
