package moq

import (
	"context"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// observed starts a supervisor in a bubble whose observer is f, and returns it with the
// caller that counts what hooks do.
func observed(t *testing.T, p *peer, b Backoff, f func(Event)) *supervisor[*fakeSession] {
	t.Helper()
	return startWith(t.Context(), t, supervision[*fakeSession]{dial: p.dial, backoff: b, observe: f})
}

// The whole story, in order, with all that is known at the time.
func TestEventsInOrder(t *testing.T) {
	onStage(t, supervision[*fakeSession]{endpoint: "https://relay:443"}, func(t *testing.T, g *stage) {
		began := time.Now()
		g.fail(errDown)
		time.Sleep(time.Until(g.now().RetryAt))
		outage := time.Since(began)
		g.give(newFake())
		time.Sleep(time.Minute)
		g.setPause(true)
		g.setPause(false)
		s := g.give(newFake())
		time.Sleep(time.Minute)
		s.end(io.EOF)
		require.Equal(t, Waiting, g.now().Phase)
		g.kick()
		synctest.Wait()
		g.fail(&StatusError{Status: 410})
		stop := stopped(t, g.supervisor)

		type line struct {
			kind  EventKind
			phase Phase
			class Action
			err   error
			down  time.Duration
		}
		var got []line
		last := began
		for _, e := range g.told() {
			require.False(t, e.Time.Before(last))
			require.Zero(t, e.Dropped)
			require.Equal(t, "https://relay:443", e.State.Endpoint)
			last = e.Time
			got = append(got, line{e.Kind, e.State.Phase, e.Class, e.Err, e.Down})
		}
		require.Equal(t, []line{
			{EventAttempt, Connecting, Retry, nil, 0},
			{EventFailed, Connecting, Retry, errDown, 0},
			{EventAttempt, Connecting, Retry, errDown, 0},
			{EventConnected, Connected, Retry, errDown, outage},
			{EventPaused, Paused, Retry, errDown, 0},
			{EventResumed, Paused, Retry, errDown, 0},
			{EventAttempt, Connecting, Retry, nil, 0},
			{EventConnected, Connected, Retry, nil, 0},
			{EventLost, Connected, Retry, io.EOF, 0},
			{EventAttempt, Connecting, Retry, io.EOF, 0},
			{EventFailed, Connecting, Stop, &StatusError{Status: 410}, 0},
			{EventStopped, Connecting, Retry, stop, 0},
		}, got)
	})
}

// One that is too slow misses events, is told how many, and hears the rest in order.
func TestObserverMissesEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var got []Event
		p := &peer{answer: down}
		s := observed(t, p, Backoff{Initial: time.Second, Multiplier: 1}, func(e Event) {
			<-release
			got = append(got, e)
		})
		time.Sleep(time.Hour)
		made := 2 * len(p.seen()) // an attempt and its failure
		require.Greater(t, made, 2*maxNews)
		close(release)
		synctest.Wait()
		require.Len(t, got, 1+maxNews, "the one under way, and those that were kept")
		s.kick()
		synctest.Wait()
		require.Len(t, got, 1+maxNews+2)
		require.Equal(t, uint64(made-1-maxNews), got[1+maxNews].Dropped)
		require.Zero(t, got[2+maxNews].Dropped, "counted once")
		for i := range got[1:] {
			require.False(t, got[i+1].Time.Before(got[i].Time))
		}
	})
}

// Whatever the observer does, the loop goes on as if there were none.
func TestObserverHoldsUpNobody(t *testing.T) {
	for name, misbehave := range map[string]func(){
		"slow":     func() { time.Sleep(time.Minute) },
		"panics":   func() { panic("no") },
		"gives up": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{answer: down}
				heard := 0
				s := observed(t, p, Backoff{Initial: time.Second, Multiplier: 1}, func(Event) {
					heard++
					misbehave()
				})
				time.Sleep(10*time.Minute + 1)
				synctest.Wait()
				require.Greater(t, len(p.seen()), 500)
				require.GreaterOrEqual(t, heard, 10, "each event is told, whatever came of the one before")
				s.close()
				before := heard
				time.Sleep(time.Hour)
				require.Equal(t, before, heard, "after the end there is silence")
			})
		})
	}
}

// One that never returns is left to itself when the end has come, and counted.
func TestObserverThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		defer close(block)
		p := &peer{answer: down}
		s := observed(t, p, Backoff{Initial: time.Second, Multiplier: 1}, func(e Event) {
			if e.Kind == EventFailed {
				<-block
			}
		})
		time.Sleep(time.Minute)
		require.Greater(t, len(p.seen()), 50, "the loop does not wait for it")
		began := time.Now()
		s.close()
		require.Equal(t, hookGrace, time.Since(began))
		require.Equal(t, uint64(1), s.hooks.abandoned.Load())
	})
}

// It hears all that is left, the end included, before Closed.
func TestObserverHearsTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []EventKind
		s := observed(t, &peer{answer: down}, Backoff{}, func(e Event) {
			time.Sleep(100 * time.Millisecond)
			got = append(got, e.Kind)
		})
		s.close()
		require.Equal(t, EventStopped, got[len(got)-1])
		require.Zero(t, s.hooks.abandoned.Load())
	})
	synctest.Test(t, func(t *testing.T) {
		var got []Event
		s := stillborn(supervision[*fakeSession]{
			done: func(error) {}, hooks: new(caller), observe: func(e Event) { got = append(got, e) },
		}, io.EOF)
		<-s.closed
		require.Len(t, got, 1)
		require.Equal(t, EventStopped, got[0].Kind)
		require.ErrorIs(t, got[0].Err, io.EOF)
	})
}

// A panic is counted, and is that event's affair.
func TestObserverPanicsAreCounted(t *testing.T) {
	onStage(t, supervision[*fakeSession]{}, func(t *testing.T, g *stage) {
		n := newNews(func(e Event) {
			if e.Kind == EventFailed {
				panic("a secret")
			}
			g.observe(e)
		}, g.hooks)
		for _, kind := range []EventKind{EventAttempt, EventFailed, EventConnected, EventFailed, EventLost} {
			n.add(Event{Kind: kind})
		}
		n.close()
		require.Equal(t, []EventKind{EventAttempt, EventAttempt, EventConnected, EventLost}, g.heard())
		require.Equal(t, uint64(2), g.hooks.panicked.Load())
	})
}

// A hook may call everything that handles can.
func TestOrdersFromTheObserver(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]func(*supervisor[*fakeSession]){
		"kick":   func(s *supervisor[*fakeSession]) { s.kick() },
		"check":  func(s *supervisor[*fakeSession]) { s.check() },
		"pause":  func(s *supervisor[*fakeSession]) { s.setPaused(true) },
		"resume": func(s *supervisor[*fakeSession]) { s.setPaused(false) },
		"redial": func(s *supervisor[*fakeSession]) { _ = s.redial(s.ctx) },
		"close":  func(s *supervisor[*fakeSession]) { s.close() },
	} {
		for _, answer := range []string{"down", "up"} {
			t.Run(name+" "+answer, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p := &peer{answer: func(ctx context.Context, n int) (*fakeSession, error) {
						time.Sleep(100 * time.Millisecond) // what is asked for is not paced
						if answer == "up" {
							return lasting(time.Minute, io.EOF), nil
						}
						return down(ctx, n)
					}}
					ready := make(chan *supervisor[*fakeSession], 1)
					s := observed(t, p, Backoff{}, func(Event) {
						s := <-ready
						ready <- s
						order(s)
					})
					ready <- s
					time.Sleep(10 * time.Minute)
					began := time.Now()
					s.close()
					require.LessOrEqual(t, time.Since(began), hookGrace)
					synctest.Wait()
					require.True(t, isClosed(s.closed))
				})
			})
		}
	}
}

// Nobody observes: nothing is kept, and nothing started.
func TestNobodyObserves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &peer{answer: down}, Backoff{})
		time.Sleep(time.Minute)
		require.Nil(t, s.news)
	})
}

func TestEventKindString(t *testing.T) {
	for kind, want := range map[EventKind]string{
		EventAttempt: "attempt", EventSilent: "silent", EventStopped: "stopped", EventStopped + 1: "unknown",
	} {
		require.Equal(t, want, kind.String())
	}
}
