package pubsub

import (
	"errors"

	"github.com/remoq/moq/moqerr"
)

var errFirstFrame = errors.New("not from 0 to 8,192")

// CreateTail is CreateGroup for a group of which only the frames from index first on will
// be written, since whoever asked for it has the others (moq-lite.md §4.14). Readers of
// the track get it only if that is true of them: others are told that it is lost.
func (p *TrackProducer) CreateTail(sequence uint64, first int) (*GroupProducer, error) {
	if first < 0 || first > maxGroupFrames {
		return nil, &moqerr.ConfigError{Field: "first", Err: errFirstFrame}
	}
	g := newGroup(p.t)
	g.cutHead(first)
	if err := p.t.add(g, &sequence); err != nil {
		return nil, err
	}
	return &GroupProducer{g}, nil
}

// cutHead makes a new group begin at frame first.
func (g *group) cutHead(first int) {
	g.base = first
	g.count.Store(int64(first))
}

// from returns the first frame of g that the reader wants. The caller holds the track's
// lock.
func (c *TrackConsumer) from(g *group) int {
	if c.opts.Start != nil && *c.opts.Start == g.sequence {
		return c.opts.FirstFrame
	}
	return 0
}

// fits reports whether g has the first frame that the reader wants of it. The caller holds
// the track's lock.
func (c *TrackConsumer) fits(g *group) bool { return g.base <= c.from(g) }
