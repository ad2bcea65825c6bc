package schedule_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/moqerr"
	"github.com/remoq/moq/pubsub"
)

// stage is what a schedule is played on.
type stage struct {
	t       *testing.T
	s       schedule
	net     *testnet.Network
	server  *server
	books   *books
	author  *author
	readers []*reader
	groups  uint64 // published during the trouble

	mu    sync.Mutex // the lanes of a schedule play side by side
	cast  [2]*program
	gone  []*program // publishers that died
	hosts byte
}

// verdict is what became of a schedule.
type verdict struct {
	wrong     []string
	story     []line
	sessions  uint64
	losses    uint64
	frames    int
	gaps      int
	recovered time.Duration // until the sessions were back
	delivered time.Duration // until every reader had something new
}

// play plays a schedule in a bubble of its own. The readers overlook what skip says, so that
// something is wrong; nil: nothing.
func (s schedule) play(t *testing.T, skip func(position) bool) (v verdict) {
	synctest.Test(t, func(t *testing.T) {
		st := &stage{t: t, s: s, net: testnet.New(t, s.rtt/2), books: newBooks(s.seed)}
		st.net.Reseed(s.seed)
		st.server = newServer(t, st.net, s.keep != forever)
		st.author = newAuthor(t, s, st.books)
		st.cast[publisher] = newProgram(t, st.host(), publisher, s, st.author.origin)
		origin := pubsub.NewOrigin()
		st.cast[subscriber] = newProgram(t, st.host(), subscriber, s, origin)
		for _, how := range s.readers {
			st.readers = append(st.readers, newReader(origin, how, st.books, s.lossless(), skip))
		}
		time.Sleep(time.Second + 8*s.rtt) // most have begun by then
		st.trouble()
		st.judge(&v)
	})
	return v
}

// host makes a machine.
func (st *stage) host() *host {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.hosts++
	return &host{net: st.net, ip: netip.AddrFrom4([4]byte{10, 0, 2, st.hosts})}
}

// trouble lets all faults happen, and returns when all is well again.
func (st *stage) trouble() {
	begin := time.Now()
	first := st.books.newest()
	var work sync.WaitGroup
	for _, lane := range st.s.lanes {
		work.Go(func() {
			for _, f := range lane {
				time.Sleep(time.Until(begin.Add(f.at)))
				till := begin.Add(f.till)
				heal := st.inject(f, till)
				time.Sleep(time.Until(till))
				heal()
			}
		})
	}
	work.Wait()
	last := st.books.newest()
	st.groups = last.group + 1
	if last.life == first.life {
		st.groups -= first.group
	}
}

func nothing() {}

// inject begins a fault. The returned function ends it.
func (st *stage) inject(f fault, till time.Time) (heal func()) {
	n := st.net
	switch f.kind {
	case loss:
		n.Lose(f.share)
		return func() { n.Lose(0) }
	case burst:
		n.LoseRuns(f.share, f.n)
		return func() { n.Lose(0) }
	case reorder:
		n.Reorder(f.share, time.Duration(f.n)*time.Millisecond)
		return func() { n.Reorder(0, 0) }
	case duplicate:
		n.Duplicate(f.share)
		return func() { n.Duplicate(0) }
	case corrupt:
		n.Corrupt(f.share)
		return func() { n.Corrupt(0) }
	case shrink:
		n.MTU(f.n)
		return func() { n.MTU(0) }
	case blackHole, oneWay:
		return st.darken(f)
	case delay:
		n.Delay(time.Duration(f.n) * time.Millisecond)
		return func() { n.Delay(0) }
	case rebind:
		for _, p := range st.of(f.side) {
			p.host.rebind()
		}
		return nothing
	case stall, cancel, reopen, recall, redial, successor:
		return st.act(f)
	}
	return st.shake(f, till)
}

// of returns the programs of a side.
func (st *stage) of(s side) []*program {
	st.mu.Lock()
	defer st.mu.Unlock()
	var all []*program
	for i, p := range st.cast {
		if s.has(side(i)) {
			all = append(all, p)
		}
	}
	return all
}

// darken loses what goes to or comes from the machines of a side.
func (st *stage) darken(f fault) (heal func()) {
	set := func(ip netip.Addr, on bool) {
		if f.kind == blackHole || f.n == 0 {
			st.net.Mute(ip, on)
		}
		if f.kind == blackHole || f.n == 1 {
			st.net.Deafen(ip, on)
		}
	}
	programs := st.of(f.side)
	for _, p := range programs {
		set(p.host.ip, true)
	}
	return func() {
		for _, p := range programs {
			set(p.host.ip, false)
		}
	}
}

// shake is a fault of the relay.
func (st *stage) shake(f fault, till time.Time) (heal func()) {
	up := st.server
	switch f.kind {
	case sessionClosed:
		up.evict(f.side, moqerr.SessionNoError)
	case sessionReset:
		up.evict(f.side, moqerr.SessionInternal)
	case crash:
		up.stop((*relay.Relay).Kill)
		return up.start
	case restart:
		up.stop((*relay.Relay).Close)
		return up.start
	case flap:
		up.flap(time.Duration(f.n) * time.Millisecond)
		up.evict(everybody, moqerr.SessionInternal)
		return func() { up.flap(-1) }
	case goaway:
		up.stop(func(r *relay.Relay) error {
			ctx, cancel := context.WithDeadline(st.t.Context(), till)
			defer cancel()
			return r.Drain(ctx)
		})
		return up.start
	case streamReset:
		up.resetStreams(f.n)
	}
	return nothing
}

// act is a fault of one of the two programs.
func (st *stage) act(f fault) (heal func()) {
	switch f.kind {
	case stall:
		for _, r := range st.readers {
			r.stall()
		}
		return func() {
			for _, r := range st.readers {
				r.resume()
			}
		}
	case cancel:
		for _, r := range st.readers {
			r.cancel(20 * time.Millisecond)
		}
		return func() {
			for _, r := range st.readers {
				r.cancel(0)
			}
		}
	case reopen:
		var again []func()
		for _, r := range st.readers {
			again = append(again, r.close())
		}
		return func() {
			for _, open := range again {
				open()
			}
		}
	case recall:
		for _, p := range st.of(f.side) {
			p.disconnect()
		}
		return func() {
			for _, p := range st.of(f.side) {
				p.connect()
			}
		}
	case successor:
		old := st.of(publisher)[0]
		st.net.Silence(old.host.ip, true) // it dies without a word
		st.author.end()
		old.close()
		st.gone = append(st.gone, old)
		return func() {
			st.author.begin()
			heir := newProgram(st.t, st.host(), publisher, st.s, st.author.origin)
			st.mu.Lock()
			defer st.mu.Unlock()
			st.cast[publisher] = heir
		}
	}
	for _, p := range st.of(f.side) { // redial; it has to wait for nothing
		ctx, cancel := context.WithCancel(st.t.Context())
		cancel()
		_ = p.r.Redial(ctx)
	}
	return nothing
}

// deliverable is how much later than the sessions something new may come: the relay may have
// to notice that the publisher it reads from is gone (its idle timeout), and a Follower waits
// before it asks again.
const deliverable = 10*time.Second + 5*time.Second

// judge checks the invariants, and ends everything.
func (st *stage) judge(v *verdict) {
	healed := time.Now()
	st.books.heal()
	blame := func(format string, args ...any) { v.wrong = append(v.wrong, fmt.Sprintf(format, args...)) }

	limit := healed.Add(st.s.within())
	sessions := time.NewTimer(time.Until(limit))
	all := time.NewTimer(st.s.within() + deliverable + st.s.mending(st.groups))
	for i, r := range st.readers {
		for waiting := true; waiting; {
			select {
			case <-r.caught:
				waiting = false
			case <-r.done:
				blame("reader %d has ended", i)
				waiting = false
			case <-sessions.C:
				st.connected(limit, blame)
			case <-all.C:
				blame("reader %d has got nothing new: %v", i, r)
				waiting = false
				all.Reset(0)
			}
		}
	}
	v.delivered = time.Since(healed)
	time.Sleep(time.Second) // what was on its way has come
	st.connected(limit, blame)
	for _, p := range st.cast {
		since, _ := p.watch.back()
		v.recovered = max(v.recovered, since.Sub(healed))
	}
	if v.recovered > st.s.within() {
		blame("the sessions were back after %v", v.recovered)
	}
	st.finish(v, blame)
}

// connected blames programs that have no session, and get none until the limit.
func (st *stage) connected(limit time.Time, blame func(string, ...any)) {
	ctx, cancel := context.WithDeadline(st.t.Context(), limit)
	defer cancel()
	for i, p := range st.cast {
		if _, err := p.r.Session(ctx); err != nil {
			state := p.r.State()
			blame("the %v has no session, but is %v: %v", side(i), state.Phase, state.Err)
		}
	}
}

// finish ends the track, waits until the readers have seen that, and looks into the books.
func (st *stage) finish(v *verdict, blame func(string, ...any)) {
	st.author.end()
	require.NoError(st.t, st.author.track.Close())
	patience := time.NewTimer(30*time.Second + st.s.mending(st.groups))
	for i, r := range st.readers {
		select {
		case <-r.done:
		case <-patience.C:
			blame("reader %d does not see the end: %v", i, r)
			_ = r.follower.Close()
			patience.Reset(0)
			<-r.done
		}
	}
	for _, p := range st.cast {
		p.close()
	}
	st.server.stop((*relay.Relay).Close)
	for _, r := range st.readers {
		for i, a := range r.accounts {
			for _, wrong := range a.audit(r.ended && i == len(r.accounts)-1) {
				blame("reader {%v %v}: %s", r.how.resume, r.how.parallel, wrong)
			}
			v.frames, v.gaps = v.frames+a.frames, v.gaps+a.gaps
		}
	}
	for _, p := range append(st.gone, st.cast[:]...) {
		for _, w := range p.past {
			wrong, story := w.verdict()
			v.wrong, v.story = append(v.wrong, wrong...), append(v.story, story...)
			v.sessions, v.losses = v.sessions+w.generation, v.losses+w.losses
		}
	}
	slices.SortStableFunc(v.story, func(a, b line) int { return a.at.Compare(b.at) })
}
