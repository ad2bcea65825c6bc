package moq

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/pubsub"
)

// Each of these ends in a bubble, which fails if a goroutine is left.

func TestSupervisorCloses(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer func(context.Context, int) (*fakeSession, error)
		phase  Phase
		takes  time.Duration
	}{
		{"dialing", mute, Connecting, 0},
		{"waiting", down, Waiting, 0},
		{"connected", func(context.Context, int) (*fakeSession, error) {
			s := newFake()
			s.drain = time.Second
			return s, nil
		}, Connected, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &peer{answer: test.answer}
				s := start(t, p, Backoff{})
				synctest.Wait()
				before := s.board.read()
				require.Equal(t, test.phase, before.state.Phase)

				began := time.Now()
				var closing sync.WaitGroup
				for range 10 {
					closing.Go(func() {
						s.close()
						require.True(t, isClosed(s.closed))
						require.Equal(t, test.takes, time.Since(began))
					})
				}
				closing.Wait()
				s.close()
				require.Equal(t, test.takes, time.Since(began), "closing again costs nothing")

				after := s.board.read()
				require.NoError(t, after.err)
				require.Equal(t, Stopped, after.state.Phase)
				require.Zero(t, after.state.Losses, "nothing was lost")
				require.False(t, after.live)
				if before.live {
					require.True(t, isClosed(before.session.closed))
				}
				time.Sleep(time.Hour)
				require.Len(t, p.seen(), 1)
			})
		})
	}
}

// Close returns when the session has drained, and not before.
func TestSupervisorCloseWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		session := newFake()
		session.drain = time.Second
		s := start(t, &peer{answer: func(context.Context, int) (*fakeSession, error) { return session, nil }}, Backoff{})
		synctest.Wait()
		s.close()
		drained := isClosed(session.closed)
		time.Sleep(time.Minute) // so that what is left can end
		require.True(t, drained)
	})
}

// The session that is being closed is nobody's any more while it drains.
func TestSupervisorWithdrawsClosingSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := start(t, &peer{answer: func(context.Context, int) (*fakeSession, error) {
			s := newFake()
			s.drain = time.Second
			return s, nil
		}}, Backoff{})
		synctest.Wait()
		go s.close()
		synctest.Wait()
		_, err := s.board.session(t.Context())
		require.Equal(t, ErrClosed, err)
		synctest.Wait() // the state is published before the channel is closed
		require.True(t, isClosed(s.closed))
	})
}

// A dial that succeeds although it was cancelled leaves no session behind.
func TestSupervisorCloseRacesDial(t *testing.T) {
	for _, late := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			session := newFake()
			s := start(t, &peer{answer: func(ctx context.Context, _ int) (*fakeSession, error) {
				<-ctx.Done()
				time.Sleep(late)
				return session, nil
			}}, Backoff{})
			synctest.Wait()
			began := time.Now()
			s.close()
			require.Equal(t, late, time.Since(began), "nobody waits for its last words")
			require.True(t, isClosed(session.closed))
			require.NoError(t, s.board.read().err)
			require.Zero(t, s.board.read().state.Generation)
		})
	}
}

// handler lets a test act at the moment of a log record.
type handler struct {
	slog.Handler
	handle func(slog.Record)
}

func (h handler) Enabled(context.Context, slog.Level) bool { return true }

func (h handler) Handle(_ context.Context, r slog.Record) error {
	h.handle(r)
	return nil
}

// A close between the decision to wait and the wait itself is not slept through.
func TestSupervisorCloseRacesWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		p := &peer{answer: down}
		began := time.Now()
		s := startWith(ctx, t, supervision[*fakeSession]{
			dial: p.dial, backoff: Backoff{Initial: time.Hour},
			logger: slog.New(handler{slog.DiscardHandler, func(slog.Record) {
				cancel()
				time.Sleep(time.Second)
			}}),
		})
		require.Equal(t, context.Canceled, resultOf(t, s))
		require.Equal(t, time.Second, time.Since(began))
	})
}

func TestSupervisorEndsWithItsContext(t *testing.T) {
	gone := errors.New("the program ends")
	for name, answer := range map[string]func(context.Context, int) (*fakeSession, error){
		"dialing": mute, "waiting": down, "connected": servingFor(time.Hour, nil),
		"failing as it ends": func(ctx context.Context, _ int) (*fakeSession, error) {
			<-ctx.Done()
			return nil, &SessionError{Code: SessionUnauthorized, Remote: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				p := &peer{answer: answer}
				s := startWith(ctx, t, supervision[*fakeSession]{dial: p.dial})
				synctest.Wait()
				cancel(gone)
				require.Equal(t, gone, resultOf(t, s))
				require.Equal(t, gone, s.board.read().state.Err)

				s.close()
				require.Equal(t, gone, resultOf(t, s), "the first end counts")
			})
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				p := &peer{answer: answer}
				s := startWith(ctx, t, supervision[*fakeSession]{dial: p.dial})
				require.Equal(t, context.DeadlineExceeded, resultOf(t, s))
			})
		})
	}
}

func TestSupervisorTellsItsEndOnce(t *testing.T) {
	refused := &StatusError{Status: 401}
	for _, test := range []struct {
		name string
		run  func(supervision[*fakeSession]) *supervisor[*fakeSession]
		want error
	}{
		{"closed", func(with supervision[*fakeSession]) *supervisor[*fakeSession] {
			s := supervise(context.Background(), with)
			s.close()
			return s
		}, nil},
		{"stopped", func(with supervision[*fakeSession]) *supervisor[*fakeSession] {
			with.dial = func(context.Context, trial) (*fakeSession, error) { return nil, refused }
			return supervise(context.Background(), with)
		}, refused},
		{"never started", func(with supervision[*fakeSession]) *supervisor[*fakeSession] {
			return stillborn(with, refused)
		}, refused},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var told []error
				p := &peer{answer: mute}
				s := test.run(supervision[*fakeSession]{
					dial: p.dial, logger: slog.New(slog.DiscardHandler), classify: ruleFor, hooks: new(caller),
					done: func(err error) {
						time.Sleep(time.Second) // closed has to wait for it
						told = append(told, err)
					},
				})
				err := resultOf(t, s)
				require.Equal(t, []error{err}, told)
				require.ErrorIs(t, err, test.want)
				s.close()
				require.Len(t, told, 1)
			})
		})
	}
}

func TestSupervisorStillborn(t *testing.T) {
	bad := &ConfigError{Field: "URL", Err: errors.New("malformed")}
	s := stillborn(supervision[*fakeSession]{done: func(error) {}}, bad)
	require.True(t, isClosed(s.closed))
	stop := stopped(t, s)
	require.Equal(t, &StopError{Reason: ErrStopped, First: bad, Last: bad}, stop)
	require.Equal(t, Stopped, s.board.read().state.Phase)
	_, err := s.board.session(t.Context())
	require.Equal(t, error(stop), err)
	s.close()
}

// Ten thousand clients that wait for the same relay have to be cheap.
func TestSupervisorWaitsCheaply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 1000
		with := supervision[*fakeSession]{
			dial:    func(context.Context, trial) (*fakeSession, error) { return nil, errDown },
			timeout: time.Second, backoff: Backoff{Initial: time.Hour}, classify: ruleFor,
			logger: slog.New(slog.DiscardHandler), hooks: new(caller), done: func(error) {},
		}
		all := make([]*supervisor[*fakeSession], n)
		goroutines, bytes := runtime.NumGoroutine(), memory()
		for i := range all {
			all[i] = supervise(t.Context(), with)
		}
		synctest.Wait()
		require.Less(t, runtime.NumGoroutine(), goroutines+n/10, "none for each; the runtime has some of its own")
		require.Less(t, memory()-bytes, int64(n*4096))
		for _, s := range all {
			require.Equal(t, Waiting, s.board.read().state.Phase)
			s.close()
		}
	})
}

// memory returns what heap and stacks take, without garbage.
func memory() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

func BenchmarkSupervisorWaiting(b *testing.B) {
	const n = 10_000
	p := &peer{answer: down}
	with := supervision[*fakeSession]{
		dial: p.dial, timeout: time.Second, backoff: Backoff{Initial: time.Hour},
		logger: slog.New(slog.DiscardHandler), classify: ruleFor, hooks: new(caller), done: func(error) {},
	}
	for b.Loop() {
		all := make([]*supervisor[*fakeSession], n)
		before := memory()
		for i := range all {
			all[i] = supervise(b.Context(), with)
		}
		for _, s := range all {
			for state := range s.board.states(b.Context()) {
				if state.Phase == Waiting {
					break
				}
			}
		}
		b.ReportMetric(float64(memory()-before)/n, "B/supervisor")
		for _, s := range all {
			s.close()
		}
	}
}

// TestCloseWithoutCreditForSetup: Close ends a dial whose SETUP nobody takes.
func TestCloseWithoutCreditForSetup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := testnet.New(t, 20*time.Millisecond)
		socket := n.Socket()
		tr := &quic.Transport{Conn: socket}
		listener, err := tr.Listen(
			&tls.Config{Certificates: []tls.Certificate{testnet.Certificate(t)}, NextProtos: []string{string(Lite06)}},
			&quic.Config{InitialStreamReceiveWindow: 500, MaxStreamReceiveWindow: 500, EnableDatagrams: true},
		)
		require.NoError(t, err)
		client, err := NewClient(Config{
			Subscribe:      pubsub.NewOrigin(),
			TLS:            &tls.Config{RootCAs: testnet.Roots(t), ServerName: "localhost"},
			ConnectTimeout: 3 * time.Second,
			ListenPacket:   n.ListenPacket,
		})
		require.NoError(t, err)
		r := client.Reconnect(context.Background(), "moqt://"+testnet.AddrOf(socket).String()+"/a?jwt="+strings.Repeat("x", 4000))
		time.Sleep(20 * time.Second)
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_ = r.Close()
		}()
		select {
		case <-closed:
		case <-time.After(5 * time.Minute):
			t.Error("Close hangs")
		}
		_ = listener.Close()
		_ = tr.Close()
		_ = socket.Close()
		<-closed
	})
}
