package pubsub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/remoq/moq/moqerr"
)

// TestFollowerModel drives Followers through random faults and compares them with a simple model.
// MOQ_SEED runs one seed, MOQ_SCHEDULES so many.
func TestFollowerModel(t *testing.T) {
	from, n := uint64(0), uint64(1000)
	if v, err := strconv.ParseUint(os.Getenv("MOQ_SCHEDULES"), 10, 64); err == nil {
		n = v
	}
	if v, err := strconv.ParseUint(os.Getenv("MOQ_SEED"), 10, 64); err == nil {
		from, n = v, 1
	}
	for seed := from; seed < from+n; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { newModel(t, seed).run() })
		})
	}
}

const modelFrames = 4

// modelPub is one numbering: group s begins s seconds after born, its frames are 200 ms apart.
type modelPub struct {
	id    uint64
	born  time.Time
	final atomic.Uint64 // 0: it never ends
	never map[uint64]bool
	short map[uint64]int // its publisher resets it behind so many frames
	keep  uint64         // how many groups are kept for fetches
}

// over reports whether seq is at or behind the end.
func (p *modelPub) over(seq uint64) bool {
	final := p.final.Load()
	return final > 0 && seq >= final
}

func (p *modelPub) live() uint64 { return uint64(time.Since(p.born) / time.Second) }

func (p *modelPub) payload(seq uint64, i int) []byte {
	return []byte(fmt.Sprintf("%d:%s", p.id, label(seq, i)))
}

type modelNumbering struct {
	id     string
	first  int64 // -1: none yet
	top    uint64
	groups map[uint64]*modelGroup
	told   map[uint64]int // first frame that a gap names
	broke  *Gap           // where it broke off
	asked  bool           // it was asked to begin before its first group
	floor  uint64         // below this the reader has skipped
}

type modelGroup struct {
	frames int
	whole  bool
	err    *moqerr.GapError
	closed bool
}

type model struct {
	t      *testing.T
	r      *rand.Rand
	opts   FollowOptions
	o      *Origin
	f      *Follower
	log    []string
	begin  time.Time
	mu     sync.Mutex
	all    []*modelNumbering
	gapped uint64 // groups named by gaps, restarts aside
	done   chan struct{}
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{t: t, r: rand.New(rand.NewPCG(seed, 77)), o: NewOrigin(), begin: time.Now(), done: make(chan struct{})}
	m.opts = FollowOptions{Resume: Resume(m.r.IntN(2)), Stall: 4 * time.Second}
	return m
}

func (m *model) note(format string, args ...any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if os.Getenv("MOQ_SEED") != "" {
		fmt.Fprintf(os.Stderr, "%8.3f "+format+"\n", append([]any{time.Since(m.begin).Seconds()}, args...)...)
	}
	m.log = append(m.log, fmt.Sprintf("%8.3f ", time.Since(m.begin).Seconds())+fmt.Sprintf(format, args...))
}

func (m *model) fail(format string, args ...any) {
	m.t.Errorf(format, args...)
	m.note("FAIL "+format, args...)
}

// rnd is random also for those that run beside the schedule; order is fixed by virtual time.
func (m *model) rnd(n int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.r.IntN(n)
}

func (m *model) publisher(id uint64) *modelPub {
	p := &modelPub{id: id, born: time.Now(), never: map[uint64]bool{}, short: map[uint64]int{}, keep: []uint64{1000, 3, 0}[m.rnd(3)]}
	for s := range uint64(200) {
		switch m.rnd(12) {
		case 0:
			p.never[s] = true
		case 1:
			p.short[s] = m.rnd(modelFrames)
		}
	}
	return p
}

// modelLink is a session.
type modelLink struct {
	m    *model
	p    *modelPub
	feed *Feed
	ctx  context.Context
	end  context.CancelFunc
	wg   sync.WaitGroup
	mess bool

	mu   sync.Mutex
	mute context.CancelFunc
}

func (m *model) link(p *modelPub, hop uint64) *modelLink {
	l := &modelLink{m: m, p: p, feed: m.o.Feed(), mess: m.rnd(2) == 0}
	l.ctx, l.end = context.WithCancel(bg)
	l.feed.AnswerFetches()
	m.note("link %d to %d", hop, p.id)
	if _, err := l.feed.Attach(Route{Prefix: "b", Hops: []uint64{p.id, hop}}); err != nil {
		m.fail("%v", err)
	}
	l.wg.Go(func() {
		for {
			q, err := l.feed.Next(l.ctx)
			if err != nil {
				return
			}
			l.wg.Go(func() { l.serve(q) })
		}
	})
	l.wg.Go(func() {
		for {
			q, err := l.feed.NextFetch(l.ctx)
			if err != nil {
				return
			}
			l.wg.Go(func() { l.fetch(q) })
		}
	})
	return l
}

func (l *modelLink) cut(err error) {
	l.end()
	l.feed.Close(err)
	l.wg.Wait()
}

func pauseIn(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *modelLink) serve(q *Request) {
	m, p := l.m, l.p
	if !pauseIn(l.ctx, time.Duration(m.rnd(200))*time.Millisecond) {
		return
	}
	d := q.Demand()
	tp, err := q.Accept(TrackInfo{Timescale: 1000, MaxAge: time.Hour})
	if err != nil {
		return
	}
	start, frame := p.live(), 0
	for p.never[start] && start > 0 {
		start--
	}
	if d.Start != nil {
		start, frame = *d.Start, d.FirstFrame
	}
	m.note("serve %d from %d/%d", p.id, start, frame)
	ctx, mute := context.WithCancel(l.ctx)
	l.mu.Lock()
	l.mute = mute
	l.mu.Unlock()
	tp.StartAt(start)
	l.wg.Go(func() {
		for {
			d := tp.Demand()
			if d.Readers == 0 && tp.Release() {
				mute()
				return
			}
			select {
			case <-d.Changed:
			case <-l.ctx.Done():
				return
			}
		}
	})
	var groups sync.WaitGroup
	for seq := start; !p.over(seq); seq++ {
		if !pauseIn(ctx, time.Until(p.born.Add(time.Duration(seq)*time.Second))) {
			break
		}
		if p.over(seq) {
			break
		}
		if p.never[seq] {
			if m.rnd(2) == 0 {
				tp.Drop(seq, seq)
			}
			continue
		}
		first := 0
		if seq == start {
			first = frame
		}
		lag := time.Duration(0)
		if l.mess {
			lag = time.Duration(m.rnd(3)*m.rnd(1200)) * time.Millisecond
			if m.rnd(15) == 0 {
				continue // lost on the way
			}
		}
		groups.Go(func() {
			if pauseIn(ctx, lag) {
				if g, err := tp.CreateTail(seq, first); err == nil {
					l.fill(ctx, g, first)
				}
			}
		})
	}
	if ctx.Err() == nil {
		_ = tp.EndAt(p.final.Load())
	}
	groups.Wait()
	if ctx.Err() == nil {
		_ = tp.Close()
	}
}

func (l *modelLink) fill(ctx context.Context, g *GroupProducer, first int) {
	m, p, seq := l.m, l.p, g.Sequence()
	limit, reset := p.short[seq]
	if !reset {
		limit = modelFrames
	}
	if l.mess && m.rnd(12) == 0 {
		limit, reset = min(limit, m.rnd(modelFrames)), true
	}
	for i := first; i < limit; i++ {
		at := time.Duration(seq)*time.Second + time.Duration(i)*200*time.Millisecond
		if !pauseIn(ctx, time.Until(p.born.Add(at))) {
			return
		}
		if g.WriteFrame(Frame{Timestamp: at, Payload: p.payload(seq, i)}) != nil {
			return
		}
	}
	if !pauseIn(ctx, time.Until(p.born.Add(time.Duration(seq)*time.Second+900*time.Millisecond))) {
		return
	}
	if reset {
		g.Abort(moqerr.StreamCancelled)
	} else {
		_ = g.Close()
	}
}

func (l *modelLink) fetch(q *FetchRequest) {
	m, p, seq := l.m, l.p, q.Group()
	if !pauseIn(l.ctx, time.Duration(m.rnd(400))*time.Millisecond) {
		return
	}
	_, short := p.short[seq]
	switch {
	case p.never[seq] || short || seq+p.keep < p.live() || seq > p.live() || p.over(seq):
		q.Reject(nil)
	case l.mess && m.rnd(6) == 0:
		q.Reject(&moqerr.StreamError{Code: moqerr.StreamInternal, Remote: true})
	default:
		first := q.Options().FirstFrame
		if m.rnd(3) == 0 {
			first = 0
		}
		if g, err := q.Accept(TrackInfo{Timescale: 1000, MaxAge: time.Hour}, first); err == nil {
			l.fill(l.ctx, g, first)
		}
	}
}

func (m *model) run() {
	t := m.t
	m.all = []*modelNumbering{newNumbering()}
	m.f = m.o.Follow("b", "t", m.opts)
	p := m.publisher(100)
	l := m.link(p, 1)
	go m.read(m.rnd(3))
	retracted := false
	for i, hop := 0, uint64(2); i < 12; i, hop = i+1, hop+1 {
		time.Sleep(time.Duration(m.rnd(3000)) * time.Millisecond)
		switch k := m.rnd(8); k {
		case 0: // replaced in time
			n := m.link(p, hop)
			time.Sleep(time.Duration(m.rnd(300)) * time.Millisecond)
			m.note("replaced")
			l.cut(moqerr.ErrClosed)
			l, retracted = n, false
		case 1:
			m.note("mute")
			l.mu.Lock()
			mute := l.mute
			l.mu.Unlock()
			if mute != nil {
				mute()
			}
		case 2:
			if !retracted {
				m.note("retracted")
				l.feed.Close(nil)
				retracted = true
			}
		case 3: // another publisher, at once or after an outage
			m.note("cut for another")
			l.cut(errLost)
			if m.rnd(2) == 0 {
				time.Sleep(time.Duration(m.rnd(3000)) * time.Millisecond)
			}
			p = m.publisher(p.id + 1)
			l, retracted = m.link(p, hop), false
		case 4:
			m.mu.Lock()
			n := m.all[len(m.all)-1]
			s := n.top + uint64(m.r.IntN(4))
			n.floor, n.asked = max(n.floor, s), n.asked || n.first < 0
			m.mu.Unlock()
			m.note("update %d", s)
			o := m.opts.SubscribeOptions
			o.Start = &s
			_ = m.f.Update(o)
		default:
			m.note("cut")
			l.cut(errLost)
			time.Sleep(time.Duration(m.rnd(4000)) * time.Millisecond)
			l, retracted = m.link(p, hop), false
		}
	}
	if retracted {
		m.note("cut")
		l.cut(errLost)
		l = m.link(p, 99)
	}
	time.Sleep(2 * time.Second)
	m.note("final")
	p.final.Store(p.live() + 2) // who serves looks after each group
	select {
	case <-m.done:
	case <-time.After(20 * time.Minute):
		m.fail("it stands still: %+v", m.f.State())
	}
	_ = m.f.Close()
	l.cut(nil)
	<-m.done
	m.check(p.final.Load())
	if t.Failed() {
		for _, line := range m.log {
			t.Log(line)
		}
	}
}

func newNumbering() *modelNumbering {
	return &modelNumbering{first: -1, groups: map[uint64]*modelGroup{}, told: map[uint64]int{}}
}

func (m *model) read(speed int) {
	defer close(m.done)
	var groups sync.WaitGroup
	defer groups.Wait()
	for {
		ctx, cancel := context.WithTimeout(bg, time.Duration(1200+m.rnd(3000))*time.Millisecond)
		g, err := m.f.NextGroup(ctx)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			continue
		}
		if err != nil {
			m.note("end %v", err)
			if err != io.EOF {
				m.fail("NextGroup: %v", err)
			}
			return
		}
		n, mg := m.arrived(g)
		parallel := m.rnd(2) == 0
		if speed == 0 {
			parallel = true
		}
		if parallel {
			groups.Go(func() { m.frames(n, mg, g, speed) })
		} else {
			m.frames(n, mg, g, speed)
		}
	}
}

func (m *model) arrived(g *GroupConsumer) (*modelNumbering, *modelGroup) {
	seq := g.Sequence()
	m.note("group %d %v", seq, g.Gaps())
	m.mu.Lock()
	defer m.mu.Unlock()
	n := m.all[len(m.all)-1]
	for _, gap := range g.Gaps() {
		if gap.Restarted {
			n.broke = &gap
			next := newNumbering()
			if n.floor > n.top {
				next.floor = n.floor
			}
			n = next
			m.all = append(m.all, n)
			continue
		}
		m.gapped += gap.Last - gap.First + 1
		for s := gap.First; s <= gap.Last; s++ {
			at := 0
			if s == gap.First {
				at = gap.FirstFrame
			}
			if was, ok := n.told[s]; ok {
				m.t.Errorf("group %d told twice: from %d and %d", s, was, at)
			}
			n.told[s] = at
		}
	}
	if n.first >= 0 && seq < n.top {
		m.t.Errorf("group %d out of order", seq)
	}
	if n.first < 0 {
		n.first = int64(seq)
	}
	mg := &modelGroup{}
	n.groups[seq], n.top = mg, seq+1
	return n, mg
}

func (m *model) frames(n *modelNumbering, mg *modelGroup, g *GroupConsumer, speed int) {
	for {
		if m.rnd(60) == 0 {
			m.mu.Lock()
			mg.closed = true
			m.mu.Unlock()
			_ = g.Close()
			return
		}
		if speed == 2 {
			time.Sleep(time.Duration(m.rnd(500)) * time.Millisecond)
		}
		ctx, cancel := context.WithTimeout(bg, time.Duration(1200+m.rnd(3000))*time.Millisecond)
		f, err := g.NextFrame(ctx)
		cancel()
		m.mu.Lock()
		var gap *moqerr.GapError
		switch {
		case err == nil:
			id, rest, _ := cutAt(string(f.Payload))
			if rest != label(g.Sequence(), mg.frames) {
				m.t.Errorf("frame %s, not %s", rest, label(g.Sequence(), mg.frames))
			}
			if n.id == "" {
				n.id = id
			} else if n.id != id {
				m.t.Errorf("frame %s of %s among those of %s", rest, id, n.id)
			}
			mg.frames++
		case errors.Is(err, context.DeadlineExceeded):
		case err == io.EOF:
			mg.whole = true
			if mg.frames != modelFrames {
				m.t.Errorf("group %d ends with %d frames", g.Sequence(), mg.frames)
			}
		case errors.As(err, &gap):
			mg.err = gap
			if gap.First != g.Sequence() || gap.FirstFrame != mg.frames {
				m.t.Errorf("group %d behind %d: %v", g.Sequence(), mg.frames, gap)
			}
		case errors.Is(err, io.EOF), errors.Is(err, moqerr.ErrClosed):
			mg.closed = true // the Follower has ended
			err = io.EOF
		default:
			m.t.Errorf("NextFrame %d: %v", g.Sequence(), err)
		}
		m.mu.Unlock()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			m.note("group %d ended behind %d: %v", g.Sequence(), mg.frames, err)
			return
		}
	}
}

func cutAt(s string) (id, rest string, ok bool) {
	for i := range s {
		if s[i] == ':' {
			return s[:i], s[i+1:], true
		}
	}
	return "", s, false
}

func (m *model) check(final uint64) {
	var skipped uint64
	var untold uint64 // also what a group's own error has told, and no gap
	for i, n := range m.all {
		limit := max(final, n.top) // the end may be another publisher's
		if n.broke != nil {
			limit = n.broke.First
		} else if i < len(m.all)-1 {
			m.fail("numbering %d has no end", i)
		}
		for seq, at := range n.told {
			g := n.groups[seq]
			switch {
			case !n.asked && (n.first < 0 || int64(seq) < n.first):
				m.fail("numbering %d: group %d told before the first", i, seq)
			case g == nil:
			case g.whole && at < modelFrames:
				m.fail("numbering %d: group %d came whole and is told from %d", i, seq, at)
			case g.err != nil && g.err.FirstFrame != at:
				m.fail("numbering %d: group %d cut at %d and told from %d", i, seq, g.err.FirstFrame, at)
			}
			if n.broke != nil && seq >= n.broke.First {
				m.fail("numbering %d: group %d told, and by %v", i, seq, n.broke)
			}
		}
		for seq := uint64(max(n.first, 0)); n.first >= 0 && seq < limit; seq++ {
			_, told := n.told[seq]
			if g := n.groups[seq]; !told && g != nil && g.err != nil {
				untold++
				continue
			}
			if n.groups[seq] == nil && !told && seq < n.floor {
				skipped++ // or told: a restart forgets where it was to skip to
			}
			if g := n.groups[seq]; told || g != nil && (g.whole || g.closed || g.err != nil) || g == nil && seq < n.floor {
				continue
			}
			if i == len(m.all)-1 && seq >= n.top {
				untold++
				continue
			}
			m.fail("numbering %d: group %d is neither here nor told", i, seq)
		}
	}
	lost := m.f.State().LostGroups
	if lost < m.gapped || lost > m.gapped+untold+skipped {
		m.fail("LostGroups is %d, gaps have told %d, %d are missing before the end", lost, m.gapped, untold)
	}
}
