package moq

import (
	"context"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
)

// flaps are how long the sessions live of a peer that accepts and cuts, as shares of what
// makes a session stable, and besides.
var flaps = []struct {
	name  string
	share float64
	more  time.Duration
}{
	{"at once", 0, 0},
	{"after 1 ms", 0, time.Millisecond},
	{"just unstable", 0.9, 0},
	{"just stable", 1.1, 0},
}

// R7: a peer that accepts and drops must not make a busy loop, whatever else it does.
func TestFlappingIsPaced(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	eager := Eager()
	eager.StableAfter = 10 * time.Second
	tolerance := 0.03
	if raced {
		tolerance = 0.06
	}
	for _, policy := range []struct {
		name    string
		backoff Backoff
	}{
		{"zero", Backoff{}},
		{"zero, late to be stable", Backoff{StableAfter: 10 * time.Second}},
		{"eager, late to be stable", eager},
		{"gentle", Gentle()},
	} {
		b := policy.backoff.withDefaults()
		for _, flap := range flaps {
			t.Run(policy.name+"/"+flap.name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					lived := time.Duration(flap.share*float64(b.StableAfter)) + flap.more
					delay := b.Max
					if lived >= b.StableAfter {
						delay = b.Initial
					}
					// Waits are uniform between a tenth of the delay and all of it: of 5,000, 3 %
					// are more than four deviations of the mean, and of 1,200, 6 %.
					cycle := lived + delay*55/100
					span := min(day, unlessRaced[time.Duration](8000, 2000)*cycle)
					p := &peer{answer: servingFor(lived, io.EOF)}
					s := start(t, p, policy.backoff)
					time.Sleep(span)
					s.close()
					dials := p.seen()
					require.InEpsilon(t, float64(span)/float64(cycle), len(dials), tolerance)
					for i := range dials[1:] {
						pause := dials[i+1].Sub(dials[i]) - lived
						require.GreaterOrEqual(t, pause, b.Initial/10)
						require.LessOrEqual(t, pause, b.Max)
					}
				})
			})
		}
	}
}

// Sessions that are not stable buy no time, but one that is live is not cut. Those that
// are stable begin the time anew.
func TestFlappingGivesUpExactly(t *testing.T) {
	t.Parallel()
	const budget = 100 * time.Second
	policy := Backoff{Max: 4 * time.Second, Timeout: budget}
	stable := policy.withDefaults().StableAfter
	for _, flap := range flaps {
		t.Run(flap.name, func(t *testing.T) {
			lived := time.Duration(flap.share*float64(stable)) + flap.more
			for range 10 {
				synctest.Test(t, func(t *testing.T) {
					began := time.Now()
					flapping := began.Add(time.Hour)
					p := &peer{answer: func(context.Context, int) (*fakeSession, error) {
						if time.Now().After(flapping) {
							return nil, errDown
						}
						return lasting(lived, io.EOF), nil
					}}
					stop := stopped(t, start(t, p, policy))
					require.ErrorIs(t, stop, ErrGaveUp)
					end := began.Add(budget)
					dials := p.seen()
					last := dials[len(dials)-1].Add(lived)
					if lived >= stable {
						for _, dial := range dials {
							if !dial.After(flapping) {
								end = dial.Add(lived + budget)
							}
						}
					} else if last.After(end) {
						end = last
					}
					require.Equal(t, end, time.Now())
					require.Equal(t, time.Since(end.Add(-stop.Down)), stop.Down)
				})
			}
		})
	}
}

// flapper lets something befall each session as soon as it is established.
type flapper struct {
	sockets
	strike func(n *stampedSocket)
	one    sync.Mutex // at a time
	work   sync.WaitGroup
}

func (f *flapper) hear(e Event) {
	if e.Kind == EventConnected {
		all := f.seen()
		f.work.Go(func() {
			f.one.Lock()
			defer f.one.Unlock()
			f.strike(all[len(all)-1])
		})
	}
}

// gaps returns the time from each dial to the next.
func (f *flapper) gaps() (gaps []time.Duration) {
	all := f.seen()
	for i := range all[1:] {
		gaps = append(gaps, all[i+1].made.Sub(all[i].made))
	}
	return gaps
}

// The same with the whole stack: a relay that is closed as soon as it has accepted.
func TestFlappingRelay(t *testing.T) {
	t.Parallel()
	stable := Backoff{}.withDefaults().StableAfter
	for _, flap := range flaps {
		t.Run(flap.name, func(t *testing.T) {
			lived := time.Duration(flap.share*float64(stable)) + flap.more
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				f := new(flapper)
				f.strike = func(*stampedSocket) {
					time.Sleep(lived)
					_ = b.up.Close()
					b.start()
				}
				r := b.client(Config{ListenPacket: f.listenOn(b.net), Hooks: Hooks{Observe: f.hear}}).Reconnect(t.Context(), b.url())
				time.Sleep(unlessRaced(10*time.Minute, 3*time.Minute))
				require.NoError(t, r.Close())
				f.work.Wait()
				delay := defaultInitial
				for i, gap := range f.gaps() {
					require.GreaterOrEqual(t, gap, lived+delay/10, "wait %d", i)
					require.LessOrEqual(t, gap, lived+delay+5*rtt, "wait %d", i)
					if lived < stable {
						delay = min(2*delay, defaultMax)
					}
				}
			})
		})
	}
}

// A peer that accepts and then says nothing more is not dialed faster than one that
// refuses: that it had to be noticed takes nothing off the waits.
func TestSilentAfterSetup(t *testing.T) {
	t.Parallel()
	for _, load := range []traffic{loads[0], loads[1], loads[3]} {
		t.Run(load.name, func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				f := new(flapper)
				f.strike = func(s *stampedSocket) { b.net.Silence(testnet.AddrOf(s).Addr(), true) }
				config := Config{ListenPacket: f.listenOn(b.net), Hooks: Hooks{Observe: f.hear}}
				cargo := b.carry(t, load, &config)
				r := b.client(config).Reconnect(t.Context(), b.url())
				time.Sleep(unlessRaced(time.Hour, 10*time.Minute))
				require.NoError(t, r.Close())
				cargo.stop()
				f.work.Wait()
				delay := defaultInitial
				for i, gap := range f.gaps() {
					require.GreaterOrEqual(t, gap, delay/10, "wait %d", i)
					require.LessOrEqual(t, gap, defaultKeepAlive+delay+5*rtt, "wait %d", i)
					delay = min(2*delay, defaultMax)
				}
			})
		})
	}
}
