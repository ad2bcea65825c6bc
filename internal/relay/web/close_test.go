package web

import (
	"errors"
	"io"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/moqerr"
)

func TestCloseCodes(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		for code, want := range map[moqerr.SessionCode]moqerr.SessionCode{
			0: 0, moqerr.SessionUnauthorized: moqerr.SessionUnauthorized, 30: 30, 566: 566,
			math.MaxUint32: math.MaxUint32, 1<<40 + 2: math.MaxUint32, // WebTransport has 32 bits
		} {
			for _, oursFirst := range []bool{true, false} {
				ours, theirs := b.pair()
				first, second := transport.Conn(theirs), ours
				if oursFirst {
					first, second = ours, theirs
				}
				began := time.Now()
				require.NoError(t, first.Close(code, "so long"))
				require.LessOrEqual(t, time.Since(began), rtt, "the other side hangs up")
				require.Equal(t, &moqerr.SessionError{Code: code, Reason: "so long"}, first.Err())
				<-second.Done()
				require.Equal(t, &moqerr.SessionError{Code: want, Remote: true, Reason: "so long"}, second.Err())

				require.NoError(t, first.Close(7, "again"))
				require.NoError(t, second.Close(7, "too late"))
				require.Equal(t, code, sessionError(t, first.Err()).Code)
				require.Equal(t, want, sessionError(t, second.Err()).Code)
			}
		}
	})
}

func TestLongReason(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		ours, theirs := b.pair()
		require.NoError(t, theirs.Close(7, "\xff"+strings.Repeat("€", 1000)))
		<-ours.Done()
		want := strings.Repeat("€", 341) // 1,024 bytes, less what is not text
		require.Equal(t, want, sessionError(t, ours.Err()).Reason)
		require.Equal(t, want, sessionError(t, theirs.Err()).Reason)
	})
}

// Close waits for the other side, but not for long.
func TestCloseIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		ours, theirs := b.pair()
		b.net.Dark(true)
		began := time.Now()
		var closing sync.WaitGroup
		for i := range 5 {
			closing.Go(func() { _ = theirs.Close(moqerr.SessionCode(i), "") })
		}
		closing.Wait()
		require.GreaterOrEqual(t, time.Since(began), minGrace)
		require.LessOrEqual(t, time.Since(began), maxGrace)
		<-theirs.Done()
		require.Error(t, theirs.conn.Context().Err(), "the connection is the session's own")
		b.net.Dark(false)
		<-ours.Done()
	})
}

// Done says that the connection is dead, not only that somebody has asked for it.
func TestDoneIsTheEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		_, theirs := b.pair()
		b.net.Dark(true)
		go func() { _ = theirs.Close(0, "") }()
		<-theirs.session.Context().Done()
		require.NoError(t, theirs.Err())
		require.NoError(t, theirs.conn.Context().Err())
		<-theirs.Done()
		require.Error(t, theirs.conn.Context().Err())
		require.Error(t, theirs.Err())
	})
}

func TestSilence(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		_, theirs := b.pair()
		stream, err := theirs.OpenStream(t.Context())
		require.NoError(t, err)
		began := time.Now()
		b.net.Dark(true)
		_, err = stream.Read(make([]byte, 1))
		require.Error(t, err)
		<-theirs.Done()
		require.GreaterOrEqual(t, time.Since(began), 10*time.Second-rtt)
		for _, err := range []error{theirs.Err(), err} {
			_, idle := errors.AsType[*quic.IdleTimeoutError](err)
			require.True(t, idle, "%v", err)
		}
		require.NoError(t, theirs.Close(0, ""))
	})
}

// How clients leave that say nothing of the session: as a close of the connection, as
// a bare FIN, or by breaking the stream that stands for the session.
func TestOtherEnds(t *testing.T) {
	for name, test := range map[string]struct {
		leave func(c *bare, connect io.WriteCloser, reset func())
		check func(t *testing.T, err error)
	}{
		"mapped close": {
			leave: func(c *bare, _ io.WriteCloser, _ func()) {
				_ = c.conn.CloseWithError(connectionCode(moqerr.SessionGoawayTimeout), "tired")
			},
			check: func(t *testing.T, err error) {
				require.Equal(t, &moqerr.SessionError{Code: moqerr.SessionGoawayTimeout, Remote: true, Reason: "tired"}, err)
			},
		},
		"close of HTTP/3": {
			leave: func(c *bare, _ io.WriteCloser, _ func()) { _ = c.conn.CloseWithError(0x100, "") },
			check: func(t *testing.T, err error) {
				app, ok := errors.AsType[*quic.ApplicationError](err)
				require.True(t, ok, "%v", err)
				require.True(t, app.Remote)
				require.Equal(t, quic.ApplicationErrorCode(0x100), app.ErrorCode)
			},
		},
		"FIN": {
			leave: func(_ *bare, connect io.WriteCloser, _ func()) { _ = connect.Close() },
			check: func(t *testing.T, err error) {
				require.Equal(t, &moqerr.SessionError{Code: moqerr.SessionNoError, Remote: true}, err)
			},
		},
		"FIN and close": {
			leave: func(c *bare, connect io.WriteCloser, _ func()) {
				_ = connect.Close()
				time.Sleep(time.Millisecond)
				_ = c.conn.CloseWithError(0x100, "")
			},
			check: func(t *testing.T, err error) {
				require.Equal(t, &moqerr.SessionError{Code: moqerr.SessionNoError, Remote: true}, err)
			},
		},
		"reset": {
			leave: func(_ *bare, _ io.WriteCloser, reset func()) { reset() },
			check: broken,
		},
		"half a capsule": {
			leave: func(_ *bare, connect io.WriteCloser, _ func()) {
				_, _ = connect.Write([]byte{0x68, 0x43, 8, 0, 0, 0})
				_ = connect.Close()
			},
			check: broken,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bed) {
				client, connect, theirs := b.bare()
				began := time.Now()
				test.leave(client, connect, func() { connect.CancelWrite(0x10c) })
				<-theirs.Done()
				require.LessOrEqual(t, time.Since(began), 2*rtt)
				test.check(t, theirs.Err())
				_, err := theirs.AcceptStream(t.Context())
				require.Equal(t, theirs.Err(), err)
				require.NoError(t, theirs.Close(0, ""))
				<-client.conn.Context().Done()
			})
		})
	}
}

func broken(t *testing.T, err error) {
	said := sessionError(t, err)
	require.Equal(t, moqerr.SessionProtocol, said.Code)
	require.False(t, said.Remote)
}

// Everything that waits returns the one cause when the session ends, also where a
// stream waits to be accepted.
func TestCloseUnblocksEverything(t *testing.T) {
	for name, end := range map[string]func(*testnet.Network, transport.Conn, *carrier){
		"theirs":  func(_ *testnet.Network, ours transport.Conn, _ *carrier) { _ = ours.Close(7, "bye") },
		"ours":    func(_ *testnet.Network, _ transport.Conn, c *carrier) { _ = c.Close(7, "bye") },
		"silence": func(n *testnet.Network, _ transport.Conn, _ *carrier) { n.Dark(true) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, b *bed) {
				ours, theirs := b.pair()
				unread, err := ours.OpenUniStream(t.Context())
				require.NoError(t, err)
				_, err = unread.Write([]byte("x"))
				require.NoError(t, err)
				a, err := theirs.OpenStream(t.Context())
				require.NoError(t, err)
				w, err := theirs.OpenUniStream(t.Context())
				require.NoError(t, err)
				calls := []func() error{
					func() error { _, err := theirs.AcceptStream(t.Context()); return err },
					func() error { _, err := theirs.ReceiveDatagram(t.Context()); return err },
					func() error { _, err := a.Read(make([]byte, 1)); return err },
					func() error { _, err := w.Write(make([]byte, 8<<20)); return err },
					func() error {
						for {
							if _, err := theirs.OpenUniStream(t.Context()); err != nil {
								return err
							}
						}
					},
				}
				failures := make(chan error, len(calls))
				for _, call := range calls {
					go func() { failures <- call() }()
				}
				time.Sleep(time.Second)
				require.Empty(t, failures)
				end(b.net, ours, theirs)
				<-theirs.Done()
				for range calls {
					err := <-failures
					// What quic-go itself breaks off comes with quic-go's words.
					if _, idle := errors.AsType[*quic.IdleTimeoutError](theirs.Err()); idle {
						require.ErrorIs(t, err, errors.Unwrap(theirs.Err()))
						continue
					}
					require.Equal(t, theirs.Err(), err)
				}
				for range 10 {
					_, err := theirs.AcceptUniStream(t.Context())
					require.Equal(t, theirs.Err(), err)
				}
			})
		})
	}
}

// Both sides close at once, and everybody asks why.
func TestCloseRace(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		for range 20 {
			ours, theirs := b.pair()
			var all sync.WaitGroup
			all.Go(func() { _ = ours.Close(1, "ours") })
			all.Go(func() { _ = theirs.Close(2, "theirs") })
			for range 3 {
				all.Go(func() {
					for theirs.Err() == nil {
						time.Sleep(time.Millisecond)
					}
					<-theirs.Done()
				})
			}
			all.Wait()
			require.Equal(t, &moqerr.SessionError{Code: 2, Reason: "theirs"}, theirs.Err())
		}
	})
}
