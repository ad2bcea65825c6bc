package moq

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestCallOfAHook(t *testing.T) {
	const wait = 3 * time.Second
	late := func(d time.Duration) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			<-ctx.Done()
			time.Sleep(d)
			return 7, nil
		}
	}
	for _, test := range []struct {
		name      string
		hook      func(context.Context) (int, error)
		value     int
		err       error // nil: none
		takes     time.Duration
		abandoned uint64
	}{
		{"answers", func(context.Context) (int, error) { return 7, nil }, 7, nil, 0, 0},
		{"fails", func(context.Context) (int, error) { return 0, io.EOF }, 0, io.EOF, 0, 0},
		{"answers just in time", late(0), 7, nil, wait, 0},
		{"answers in its grace", late(hookGrace - 1), 7, nil, wait + hookGrace - 1, 0},
		{"answers too late", late(hookGrace + 1), 0, errAbandoned, wait + hookGrace, 1},
		{"ends its goroutine", func(context.Context) (int, error) { runtime.Goexit(); return 7, nil }, 0, errGoexit, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), wait)
				defer cancel()
				c, began := new(caller), time.Now()
				value, err := call(ctx, c, "Credentials", test.hook)
				require.Equal(t, test.value, value)
				require.ErrorIs(t, err, test.err)
				require.Equal(t, test.takes, time.Since(began))
				require.Equal(t, test.abandoned, c.abandoned.Load())
				if test.err == errAbandoned {
					require.ErrorIs(t, err, context.DeadlineExceeded)
					time.Sleep(time.Second) // its goroutine is the hook's affair
				}
				if test.err == errAbandoned || test.err == errGoexit {
					require.ErrorContains(t, err, "Credentials")
				}
			})
		})
	}
}

// What a hook panicked with is not kept: it may hold anything.
func TestPanicOfAHook(t *testing.T) {
	c := new(caller)
	_, err := call(t.Context(), c, "Credentials", func(context.Context) (int, error) { panic(canary) })
	panicked, ok := errors.AsType[*PanicError](err)
	require.True(t, ok)
	require.Equal(t, "Credentials", panicked.Hook)
	require.Contains(t, string(panicked.Stack), "TestPanicOfAHook")
	require.NotContains(t, err.Error()+fmt.Sprintf("%+v %s", err, panicked.Stack), canary)
	require.Equal(t, uint64(1), c.panicked.Load())

	_, err = call(t.Context(), c, "Credentials", func(context.Context) (int, error) { panic(nil) })
	require.ErrorAs(t, err, &panicked)
}

// Hooks.Classify has the last word.
func TestClassifyOverrules(t *testing.T) {
	busy, gone := &StatusError{Status: 503}, &StatusError{Status: 410}
	for _, test := range []struct {
		name    string
		verdict Action
		err     error
		dials   int   // at the end
		reason  error // nil: it goes on
	}{
		{"a failure stops", Stop, errDown, 1, ErrStopped},
		{"a busy relay stops", Stop, busy, 1, ErrStopped},
		{"a failure is suspect", Suspect, errDown, 3, ErrStopped},
		{"a failure is refused", Refresh, errDown, 2, ErrRefused},
		{"a final status is retried", Retry, gone, 10, nil},
		{"a refusal is retried", Retry, errRefusal, 10, nil},
		{"a refusal is suspect", Suspect, errRefusal, 3, ErrStopped},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				hooks := new(caller)
				p := &peer{answer: func(_ context.Context, n int) (*fakeSession, error) {
					if n == 10 {
						return newFake(), nil
					}
					return nil, test.err
				}}
				var asked []error
				s := startWith(t.Context(), t, supervision[*fakeSession]{
					dial: p.dial, renewable: true,
					classify: classifier(hooks, func(err error) Action {
						asked = append(asked, err)
						return test.verdict
					}),
				})
				time.Sleep(time.Hour)
				synctest.Wait()
				require.Len(t, p.seen(), test.dials)
				require.Equal(t, test.err, asked[0])
				if test.reason == nil {
					require.Equal(t, Connected, s.board.read().state.Phase)
					return
				}
				require.Equal(t, test.reason, stopped(t, s).Reason)
			})
		})
	}
}

// One that cannot decide leaves it to the default, within 1 s.
func TestClassifyMisbehaves(t *testing.T) {
	for _, test := range []struct {
		name                string
		hook                func(block <-chan struct{}) Action
		takes               time.Duration
		abandoned, panicked uint64
	}{
		{"hangs", func(block <-chan struct{}) Action { <-block; return Retry }, hookGrace, 1, 0},
		{"is slow", func(<-chan struct{}) Action { time.Sleep(2 * hookGrace); return Retry }, hookGrace, 1, 0},
		{"panics", func(<-chan struct{}) Action { panic("no") }, 0, 0, 1},
		{"ends its goroutine", func(<-chan struct{}) Action { runtime.Goexit(); return Retry }, 0, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				block := make(chan struct{})
				defer close(block)
				hooks := new(caller)
				p := &peer{answer: playing(outcome{-1, &StatusError{Status: 410}})}
				began := time.Now()
				s := startWith(t.Context(), t, supervision[*fakeSession]{
					dial: p.dial, classify: classifier(hooks, func(error) Action { return test.hook(block) }),
				})
				require.Equal(t, ErrStopped, stopped(t, s).Reason)
				require.Equal(t, test.takes, time.Since(began))
				require.Equal(t, test.abandoned, hooks.abandoned.Load())
				require.Equal(t, test.panicked, hooks.panicked.Load())
				time.Sleep(2 * hookGrace)
			})
		})
	}
}

func TestClassifyByDefault(t *testing.T) {
	none := classifier(new(caller), nil)
	agrees := classifier(new(caller), DefaultClassify)
	for _, err := range []error{errDown, errRefusal, &StatusError{Status: 404}} {
		require.Equal(t, ruleFor(err).name, none(err).name)
		require.Equal(t, ruleFor(err).name, agrees(err).name)
		require.Equal(t, ruleFor(err).action, agrees(err).action)
	}
}

// Every hook may call the handle, Close included, and none of the calls waits for ever.
func TestOrdersFromClassify(t *testing.T) {
	for name, order := range map[string]func(*supervisor[*fakeSession]){
		"kick":   func(s *supervisor[*fakeSession]) { s.kick() },
		"pause":  func(s *supervisor[*fakeSession]) { s.setPaused(true) },
		"redial": func(s *supervisor[*fakeSession]) { _ = s.redial(s.ctx) },
		"close":  func(s *supervisor[*fakeSession]) { s.close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ready := make(chan *supervisor[*fakeSession], 1)
				p := &peer{answer: down}
				s := startWith(t.Context(), t, supervision[*fakeSession]{
					dial: p.dial,
					classify: classifier(new(caller), func(error) Action {
						s := <-ready
						ready <- s
						order(s)
						return Retry
					}),
				})
				ready <- s
				time.Sleep(time.Minute)
				state := s.board.read().state
				switch name {
				case "pause":
					require.Equal(t, Paused, state.Phase)
				case "close":
					require.Equal(t, Stopped, state.Phase)
				default:
					require.NotEmpty(t, p.seen()[1:])
				}
				s.close()
				time.Sleep(2 * hookGrace)
			})
		})
	}
}

// TestDifferentSuspects: a hook that suspects statuses does not make them one answer.
func TestDifferentSuspects(t *testing.T) {
	with := supervision[*fakeSession]{classify: classifier(new(caller), func(err error) Action {
		var s *StatusError
		if errors.As(err, &s) {
			return Suspect
		}
		return DefaultClassify(err)
	})}
	onStage(t, with, func(t *testing.T, g *stage) {
		for _, status := range []int{500, 410, 501} {
			g.fail(&StatusError{Status: status})
			g.kickOn()
		}
		require.Equal(t, Connecting, g.now().Phase, "%v", g.now().Err)
	})
}

// TestSuspectTimeouts: timeouts are one answer, however long each took.
func TestSuspectTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		p := &peer{answer: func(ctx context.Context, _ int) (*fakeSession, error) {
			n++
			<-ctx.Done()
			time.Sleep(time.Duration(n) * time.Millisecond)
			return nil, ctx.Err()
		}}
		s := startWith(t.Context(), t, supervision[*fakeSession]{
			dial: p.dial, timeout: time.Second,
			classify: classifier(new(caller), func(error) Action { return Suspect }),
		})
		time.Sleep(time.Hour)
		require.Equal(t, Stopped, s.board.read().state.Phase)
	})
}
