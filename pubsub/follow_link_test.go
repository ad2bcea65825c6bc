package pubsub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/remoq/moq/moqerr"
	"github.com/stretchr/testify/require"
)

// link is a session made by hand: a feed with a route to "b" that accepts what is asked
// and lets serve fill it.
type link struct {
	feed   *Feed
	route  *Requests
	wg     sync.WaitGroup
	served chan *TrackProducer
}

// connect attaches a link; hops say who publishes behind it.
func connect(t testing.TB, o *Origin, hops []uint64, serve func(*TrackProducer)) *link {
	t.Helper()
	l := &link{feed: o.Feed(), served: make(chan *TrackProducer, 16)}
	var err error
	l.route, err = l.feed.Attach(Route{Prefix: "b", Hops: hops})
	require.NoError(t, err)
	l.wg.Go(func() {
		for {
			q, err := l.feed.Next(bg)
			if err != nil {
				return
			}
			tp, err := q.Accept(TrackInfo{Timescale: 1000})
			if err != nil {
				continue
			}
			serve(tp)
			l.served <- tp
		}
	})
	t.Cleanup(func() { l.cut(errLost) })
	return l
}

// cut ends the link as a lost session does.
func (l *link) cut(err error) {
	l.feed.Close(err)
	l.wg.Wait()
}

// part is what a link serves of a group: its frames from 0 on, and how it ends: "." whole,
// "" open, "x" reset by its publisher, "l" reset because the connection died.
type part struct {
	seq    uint64
	frames int
	end    string
}

func (p part) write(t testing.TB, tp *TrackProducer) {
	// A link may be cut before it has served all.
	g, err := tp.CreateGroup(p.seq)
	if err != nil {
		require.ErrorIs(t, err, moqerr.ErrClosed)
		return
	}
	for i := range p.frames {
		_ = g.WriteFrame(Frame{Payload: []byte(label(p.seq, i))})
	}
	switch p.end {
	case ".":
		_ = g.Close()
	case "x":
		g.Abort(moqerr.StreamCancelled)
	case "l":
		g.Fail(fmt.Errorf("reading: %w", errLost))
	}
}

func serving(t testing.TB, parts []part) func(*TrackProducer) {
	return func(tp *TrackProducer) {
		for _, p := range parts {
			p.write(t, tp)
		}
	}
}

// describe reads a group to its end: "sequence@index frames", the gap before it, and the
// error that it ended with. Frames must be those of the group, without a hole.
func describe(t testing.TB, g *GroupConsumer) string {
	t.Helper()
	var s strings.Builder
	from := g.Index()
	fmt.Fprintf(&s, "%d@%d", g.Sequence(), from)
	gap := g.Gap()
	got, err := readAll(t, g)
	for i, payload := range got {
		require.Equal(t, label(g.Sequence(), from+i), payload)
	}
	fmt.Fprintf(&s, "+%d", len(got))
	if gap != nil {
		fmt.Fprintf(&s, " gap %d/%d-%d", gap.First, gap.FirstFrame, gap.Last)
		if gap.Restarted {
			s.WriteString(" restarted")
		}
		if errors.Is(gap.Cause, errLost) {
			s.WriteString(" lost")
		}
	}
	if err != nil {
		s.WriteString(" cut")
	}
	return s.String()
}

// handOut reads n groups without reading their frames.
func handOut(t testing.TB, f *Follower, n int) (groups []*GroupConsumer) {
	t.Helper()
	for range n {
		g, err := f.NextGroup(testCtx(t))
		require.NoError(t, err)
		groups = append(groups, g)
	}
	return groups
}

func describeAll(t testing.TB, groups []*GroupConsumer) (out []string) {
	t.Helper()
	for _, g := range groups {
		out = append(out, describe(t, g))
	}
	return out
}

// finish reads a Follower up to io.EOF.
func finish(t testing.TB, f *Follower) (groups []*GroupConsumer) {
	t.Helper()
	ctx := testCtx(t)
	for {
		g, err := f.NextGroup(ctx)
		if err == io.EOF {
			return groups
		}
		require.NoError(t, err)
		groups = append(groups, g)
	}
}

func follow(t testing.TB, o *Origin, opts FollowOptions) *Follower {
	t.Helper()
	f := o.Follow("b", "t", opts)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// background runs a NextGroup.
func background(ctx context.Context, f *Follower) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := f.NextGroup(ctx)
		done <- err
	}()
	return done
}

// visit reads until the link has served its track.
func visit(t testing.TB, f *Follower, l *link) (groups []*GroupConsumer) {
	t.Helper()
	for begun := time.Now(); len(l.served) == 0; {
		require.Less(t, time.Since(begun), 20*time.Second)
		ctx, cancel := context.WithTimeout(bg, 5*time.Millisecond)
		g, err := f.NextGroup(ctx)
		cancel()
		if err == nil {
			groups = append(groups, g)
		} else {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
	}
	return groups
}
