package session

import (
	"context"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/pubsub"
)

// announcer tells one peer what the Publish origin has below a prefix.
type announcer struct {
	version wire.Version
	root    string
	prefix  string            // as the peer named it
	ids     map[string]uint64 // announce ids of what is active, by path in the origin
	next    uint64
	buf     []byte
	budget  *pubsub.Budget
	paths   int // how many are counted against it
}

// announceCost is what each active path takes in a cursor and here, for each announce
// stream.
const announceCost = 192

// count makes the budget count n paths, or reports that there is no room for them.
func (a *announcer) count(n int) bool {
	if n > a.paths && !a.budget.Take(int64(n-a.paths)*announceCost) {
		return false
	}
	if n < a.paths {
		a.budget.Give(int64(a.paths-n) * announceCost)
	}
	a.paths = n
	return true
}

// serveAnnounce answers ANNOUNCE_REQUEST: OK with what is there now, then changes,
// until the peer or the session ends (§4.3). Routes through the peer itself are left
// out. The stream is always finished, never reset: upstream's subscriber takes a
// reset announce stream for the end of the session.
func (s *Session) serveAnnounce(stream transport.Stream, r *wire.Reader) error {
	body, err := s.request(r)
	if err != nil {
		return err
	}
	m, err := wire.ParseAnnounceRequest(body, s.cfg.Version)
	if err != nil {
		return s.check(err)
	}
	if !s.beginAnnouncing() {
		s.log.Debug("too many announce streams")
		return nil
	}
	defer s.endAnnouncing()
	exclude := m.Exclude
	if exclude == 0 {
		exclude = s.peer.Hop
	}
	a := &announcer{version: s.cfg.Version, root: s.root, prefix: m.Prefix, ids: make(map[string]uint64), budget: s.budget}
	defer a.count(0)
	if s.cfg.Publish == nil {
		err = s.announceNothing(stream)
	} else {
		ctx, cancel := context.WithCancel(s.serving)
		defer cancel()
		s.work.Go(func() { // the peer's FIN or reset ends the stream
			awaitEnd(stream)
			cancel()
		})
		err = s.announceFrom(ctx, stream, exclude, a)
	}
	if s.serving.Err() != nil {
		return errClosing
	}
	if err != nil {
		s.log.Debug("announce stream ended", "err", err)
	}
	return nil
}

// announceFrom makes room for a cursor, at first as if everything lay below the prefix.
func (s *Session) announceFrom(ctx context.Context, stream transport.Stream, exclude uint64, a *announcer) error {
	if !a.count(s.cfg.Publish.Routes()) {
		return wire.ErrNoMemory
	}
	feed := s.cfg.Publish.Announcements(wire.JoinPath(s.root, a.prefix), exclude)
	defer feed.Close()
	if !a.count(feed.Len()) {
		return wire.ErrNoMemory
	}
	return s.announce(ctx, stream, feed, a)
}

// maxAnnouncing is how many announce streams a peer may have: each costs as much as the
// whole table. Peers have one, or one for each prefix that they may see.
const maxAnnouncing = 64

func (s *Session) beginAnnouncing() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.announcing >= maxAnnouncing {
		return false
	}
	s.announcing++
	return true
}

func (s *Session) endAnnouncing() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.announcing--
}

// announceNothing answers that there is nothing, and nothing will follow. It needs no
// second goroutine to notice that the peer ends the stream.
func (s *Session) announceNothing(stream transport.Stream) error {
	if _, err := stream.Write(wire.AnnounceOK{Hop: s.hop}.Append(nil, s.cfg.Version)); err != nil {
		return err
	}
	awaitEnd(stream)
	return nil
}

// announce writes the present set with the OK in front, then whatever has changed, in
// batches.
func (s *Session) announce(ctx context.Context, stream transport.Stream, feed *pubsub.Announcements, a *announcer) error {
	var present []pubsub.Announcement
	for {
		item, err := feed.Next(ctx)
		if err != nil {
			return err
		}
		if item.Synced {
			break
		}
		present = append(present, item)
	}
	a.buf = wire.AnnounceOK{Hop: s.hop, Active: uint64(len(present))}.Append(a.buf, a.version)
	for _, item := range present {
		if len(a.buf) >= batchBytes { // all of it would be a copy of every path
			if _, err := stream.Write(a.buf); err != nil {
				return err
			}
			a.buf = a.buf[:0]
		}
		a.append(item)
	}
	if _, err := stream.Write(a.buf); err != nil {
		return err
	}
	for {
		a.buf = a.buf[:0]
		if !a.count(max(len(a.ids), feed.Len())) {
			return wire.ErrNoMemory
		}
		for len(a.buf) == 0 || feed.Ready() && len(a.buf) < batchBytes {
			item, err := feed.Next(ctx)
			if err != nil {
				return err
			}
			a.append(item)
		}
		if _, err := stream.Write(a.buf); err != nil {
			return err
		}
	}
}

// append encodes one change. A path that cannot be said relative to what the peer
// asked for is left out.
func (a *announcer) append(item pubsub.Announcement) {
	suffix, ok := wire.CutPrefix(item.Path, wire.JoinPath(a.root, a.prefix))
	if !ok || len(item.Route.Hops) > wire.MaxHops {
		return
	}
	id, known := a.ids[item.Path]
	m := wire.Announce{ID: id, Suffix: suffix, Hops: item.Route.Hops, Warm: item.Route.Warm, Cold: item.Route.Cold}
	switch {
	case item.Active && known:
		m.Kind = wire.AnnounceUpdate
	case item.Active:
		m.Kind = wire.AnnounceStart
		a.ids[item.Path] = a.next
		a.next++
	case known:
		m.Kind = wire.AnnounceEnd
		delete(a.ids, item.Path)
	default:
		return
	}
	a.buf = m.Append(a.buf, a.version)
}
