package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func TestCloseCarriesCodeAndReason(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		for _, code := range []moqerr.SessionCode{0, moqerr.SessionUnauthorized, 30, 566} {
			ours, theirs, _ := n.pair(scheme, serverOptions{})
			require.NoError(t, ours.Err())
			require.NoError(t, ours.Close(code, "so long"))
			require.Equal(t, &moqerr.SessionError{Code: code, Reason: "so long"}, ours.Err())
			<-theirs.Done()
			require.Equal(t, &moqerr.SessionError{Code: code, Remote: true, Reason: "so long"}, theirs.Err())
		}
	})
}

func TestPeersCloseIsTheCause(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		for _, code := range []moqerr.SessionCode{0, moqerr.SessionUnauthorized, 30, 566} {
			ours, theirs, _ := n.pair(scheme, serverOptions{})
			_ = theirs.Close(code, "go away")
			<-ours.Done()
			require.Equal(t, &moqerr.SessionError{Code: code, Remote: true, Reason: "go away"}, ours.Err())
			require.NoError(t, ours.Close(7, "too late"))
			require.Equal(t, code, sessionError(t, ours).Code, "the first close wins")
		}
	})
}

func TestLegacyCodeSixIsARefusal(t *testing.T) {
	for protocol, refused := range map[string]bool{"moq-lite-05": true, "moq-lite-06": false} {
		for _, scheme := range []string{"moqt", "https"} {
			bubble(t, func(t *testing.T, n *network) {
				ours, theirs, _ := n.pair(scheme, serverOptions{
					alpn: []string{protocol, "h3"}, protocols: []string{protocol},
				})
				require.Equal(t, protocol, ours.Protocol())
				_ = theirs.Close(moqerr.SessionParameters, "unauthorized")
				<-ours.Done()
				require.Equal(t, refused, errors.Is(ours.Err(), moqerr.ErrRefused))
			})
		}
	}
}

// Everything that waits returns the one cause when the connection ends.
func TestCloseUnblocksEverything(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ctx := testContext(t)
		config := quicConfig()
		config.MaxIncomingStreams, config.MaxIncomingUniStreams = 6, 8
		config.MaxStreamReceiveWindow, config.InitialStreamReceiveWindow = 16<<10, 16<<10
		ours, theirs, _ := n.pair(scheme, serverOptions{quic: config})
		a, err := ours.OpenStream(ctx)
		require.NoError(t, err)

		calls := map[string]func() error{
			"accept":     func() error { _, err := ours.AcceptStream(ctx); return err },
			"acceptUni":  func() error { _, err := ours.AcceptUniStream(ctx); return err },
			"datagram":   func() error { _, err := ours.ReceiveDatagram(ctx); return err },
			"read":       func() error { _, err := a.Read(make([]byte, 1)); return err },
			"write":      func() error { _, err := a.Write(make([]byte, 1<<20)); return err },
			"open":       func() error { return exhaust(func() error { _, err := ours.OpenStream(ctx); return err }) },
			"openUni":    func() error { return exhaust(func() error { _, err := ours.OpenUniStream(ctx); return err }) },
			"background": func() error { _, err := ours.AcceptStream(context.Background()); return err },
		}
		var wg sync.WaitGroup
		var mu sync.Mutex
		got := map[string]error{}
		for name, call := range calls {
			wg.Go(func() {
				err := call()
				mu.Lock()
				got[name] = err
				mu.Unlock()
			})
		}
		_ = theirs.Close(moqerr.SessionGoawayTimeout, "bye")
		wg.Wait()
		<-ours.Done()
		want := &moqerr.SessionError{Code: moqerr.SessionGoawayTimeout, Remote: true, Reason: "bye"}
		require.Equal(t, want, ours.Err())
		for name := range calls {
			// webtransport-go resets its streams before it says why.
			if reset, ok := errors.AsType[*moqerr.StreamError](got[name]); ok && scheme == "https" {
				require.Equal(t, &moqerr.StreamError{Code: moqerr.StreamSessionClosed, Remote: true}, reset, name)
				continue
			}
			require.Equal(t, error(want), got[name], name)
		}
		require.Equal(t, error(want), ours.SendDatagram([]byte("x")))
		_, err = a.Write([]byte("x"))
		require.Error(t, err)
	})
}

func sessionError(t *testing.T, c Conn) *moqerr.SessionError {
	t.Helper()
	e, ok := errors.AsType[*moqerr.SessionError](c.Err())
	require.True(t, ok, "%v", c.Err())
	return e
}

func exhaust(open func() error) error {
	for {
		if err := open(); err != nil {
			return err
		}
	}
}

func TestConcurrentCloses(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ours, theirs, _ := n.pair(scheme, serverOptions{})
		var wg sync.WaitGroup
		for code := range 5 {
			wg.Go(func() { _ = ours.Close(moqerr.SessionCode(code+100), "") })
		}
		wg.Wait()
		<-theirs.Done()
		require.Equal(t, sessionError(t, ours).Code, sessionError(t, theirs).Code)
	})
}

func TestReasonIsCut(t *testing.T) {
	require.Equal(t, strings.Repeat("a", 1024), cutReason(strings.Repeat("a", 2000)))
	require.Equal(t, strings.Repeat("a", 1023), cutReason(strings.Repeat("a", 1023)+"é"), "at a rune's boundary")
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ours, theirs, _ := n.pair(scheme, serverOptions{})
		require.NoError(t, ours.Close(9, strings.Repeat("r", 5000)))
		<-theirs.Done()
		got := sessionError(t, theirs)
		require.EqualValues(t, 9, got.Code)
		require.Equal(t, strings.Repeat("r", 1024), got.Reason)
	})
}

// A peer that vanished is noticed by silence alone, and Close is not held up by it.
func TestSilentPeer(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		bubble(t, func(t *testing.T, n *network) {
			s := n.serve(serverOptions{})
			d := n.dialer(s.cert)
			d.QUIC = &quic.Config{MaxIdleTimeout: 10 * time.Second}
			ours, err := d.Dial(t.Context(), s.target(scheme), Trial{})
			require.NoError(t, err)
			<-s.conns
			time.Sleep(time.Second)
			n.router.dark.Store(true)
			a, err := ours.OpenStream(t.Context())
			require.NoError(t, err)
			_, err = a.Write([]byte("hello?"))
			require.NoError(t, err)
			start := time.Now()
			_, err = a.Read(make([]byte, 1))
			require.Equal(t, 10*time.Second, time.Since(start))
			var idle *quic.IdleTimeoutError
			require.ErrorAs(t, err, &idle)
			require.Equal(t, err, ours.Err())
			require.NoError(t, ours.Close(0, ""))
			require.Equal(t, 10*time.Second, time.Since(start))
		})
	}
}

func TestCloseToASilentPeerIsBounded(t *testing.T) {
	for scheme, want := range map[string]time.Duration{"moqt": 0, "https": 3 * rtt} {
		bubble(t, func(t *testing.T, n *network) {
			ours, _, _ := n.pair(scheme, serverOptions{})
			time.Sleep(time.Second)
			n.router.dark.Store(true)
			start := time.Now()
			require.NoError(t, ours.Close(0, ""))
			require.InDelta(t, want, time.Since(start), float64(20*time.Millisecond))
		})
	}
}

// failing is a socket whose network goes away.
type failing struct {
	net.PacketConn
	broken chan struct{}
}

func (f *failing) WriteTo(b []byte, addr net.Addr) (int, error) {
	select {
	case <-f.broken:
		return 0, &net.OpError{Op: "write", Net: "udp", Err: errors.New("network is unreachable")}
	default:
		return f.PacketConn.WriteTo(b, addr)
	}
}

func TestUnreachableNetworkKeepsItsType(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		bubble(t, func(t *testing.T, n *network) {
			s := n.serve(serverOptions{})
			d := n.dialer(s.cert)
			broken := make(chan struct{})
			d.ListenPacket = func(context.Context, string) (net.PacketConn, error) {
				return &failing{n.socket(), broken}, nil
			}
			ours, err := d.Dial(t.Context(), s.target(scheme), Trial{})
			require.NoError(t, err)
			a, err := ours.OpenStream(t.Context())
			require.NoError(t, err)
			close(broken)
			_, _ = a.Write([]byte("x"))
			<-ours.Done()
			var op *net.OpError
			require.ErrorAs(t, ours.Err(), &op)
			_, err = io.ReadAll(a)
			require.Equal(t, ours.Err(), err)
			require.NoError(t, ours.Close(0, ""))
		})
	}
}
