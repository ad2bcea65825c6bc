package endurance

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// ledger is a reader's account of a track: each frame is delivered or told as lost, once,
// in the order of the script. It is a position, and what was seen up to it, so that it is
// as small after ten million frames as after one.
type ledger struct {
	*script
	// tolerate is asked about each gap; nil: every gap is fine.
	tolerate func(pubsub.Gap) error
	before   func()             // called before each group; nil: nothing
	came     func(pubsub.Frame) // and with each frame

	group uint64 // everything below it is accounted for
	frame int    // and so are the frames of it below this one
	cut   bool   // the rest of group was said to be lost, and must be named by the next gap

	frames, lost int    // delivered, and told as lost
	groups       uint64 // named by gaps
	gaps         int
}

// follow reads a track to its end.
func (l *ledger) follow(ctx context.Context, f *pubsub.Follower) error {
	for {
		if l.before != nil {
			l.before()
		}
		g, err := f.NextGroup(ctx)
		if err == io.EOF {
			return l.settle(f)
		}
		if err == nil {
			err = l.read(ctx, g)
		}
		if err != nil {
			return fmt.Errorf("%s, at group %d frame %d: %w", l.track, l.group, l.frame, err)
		}
	}
}

// read takes in a group.
func (l *ledger) read(ctx context.Context, g *pubsub.GroupConsumer) error {
	if err := l.miss(g.Gaps()); err != nil {
		return err
	}
	switch {
	case l.cut:
		return fmt.Errorf("no gap tells of the rest of it; group %d follows", g.Sequence())
	case g.Sequence() != l.group || g.Index() != l.frame:
		return fmt.Errorf("group %d frame %d follows", g.Sequence(), g.Index())
	}
	for {
		frame, err := g.NextFrame(ctx)
		if err == nil {
			err = l.take(frame)
		}
		var gap *moqerr.GapError
		switch {
		case err == io.EOF:
			return l.close()
		case errors.As(err, &gap):
			if gap.First != l.group || gap.FirstFrame != l.frame || gap.Last != l.group {
				return fmt.Errorf("cut with %v", gap.Gap)
			}
			l.cut = true
			return nil
		case err != nil:
			return err
		}
	}
}

func (l *ledger) take(frame pubsub.Frame) error {
	if err := l.check(frame.Payload, l.group, l.frame); err != nil {
		return err
	}
	if l.came != nil {
		l.came(frame)
	}
	l.frame++
	l.frames++
	return nil
}

// close takes note that the group is whole.
func (l *ledger) close() error {
	if want := l.script.frames(l.group); l.frame != want {
		return fmt.Errorf("it has %d frames and ends after %d", want, l.frame)
	}
	l.group, l.frame = l.group+1, 0
	return nil
}

// miss takes note of what is lost, which begins where the account ends.
func (l *ledger) miss(gaps []pubsub.Gap) error {
	for _, gap := range gaps {
		switch {
		case gap.Restarted:
			return fmt.Errorf("the publisher was not restarted: %v", gap)
		case gap.First != l.group || gap.FirstFrame != l.frame || gap.Last < gap.First:
			return fmt.Errorf("lost: %v", gaps)
		}
		if l.tolerate != nil {
			if err := l.tolerate(gap); err != nil {
				return err
			}
		}
		l.lost -= l.frame
		for ; l.group <= gap.Last; l.group++ {
			l.lost += l.script.frames(l.group)
		}
		l.frame, l.cut = 0, false
		l.groups += gap.Last - gap.First + 1
		l.gaps++
	}
	return nil
}

// settle compares the account with the whole track.
func (l *ledger) settle(f *pubsub.Follower) error {
	switch told := f.State().LostGroups; {
	case l.group != l.last+1 || l.frame != 0 || l.cut:
		return fmt.Errorf("%s: the end came at group %d frame %d, not after group %d", l.track, l.group, l.frame, l.last)
	case told != l.groups:
		return fmt.Errorf("%s: gaps named %d groups, the follower counts %d", l.track, l.groups, told)
	}
	return nil
}

func (l *ledger) String() string {
	return fmt.Sprintf("of %s %d frames came, %d were told as lost by %d gaps over %d groups", l.track, l.frames, l.lost, l.gaps, l.groups)
}
