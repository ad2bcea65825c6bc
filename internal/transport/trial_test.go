package transport

import (
	"context"
	"net"
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/stretchr/testify/require"
)

// hurry dials a server that says a word to every connection after a pause, in a hurry, and
// waits for that word. It returns from how many sockets it took.
func (n *network) hurry(t *testing.T, scheme string, heard func(), pause time.Duration) (sockets int) {
	s := n.serve(serverOptions{})
	go func() {
		for {
			select {
			case c := <-s.conns:
				select {
				case <-time.After(pause):
				case <-t.Context().Done():
					return
				}
				if str, err := c.OpenUniStream(t.Context()); err == nil {
					_, _ = str.Write([]byte("x"))
				}
			case <-t.Context().Done():
				return
			}
		}
	}()
	d := n.dialer(s.cert)
	d.ListenPacket = func(context.Context, string) (net.PacketConn, error) {
		sockets++
		return n.socket(), nil
	}
	trial := Trial{
		Heard: heard, Patience: 800 * time.Millisecond, HurryUntil: time.Now().Add(10 * time.Second),
		Begin: func(ctx context.Context, c Conn) error {
			_, err := c.AcceptUniStream(ctx)
			if err != nil {
				_ = c.Close(0, "")
			}
			return err
		},
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	conn, err := d.Dial(ctx, s.target(scheme), trial)
	require.NoError(t, err)
	require.NoError(t, conn.Close(0, ""))
	return sockets
}

// A dial that was answered once, on a path that has fallen silent again since, is replaced
// like one that nobody has answered: QUIC asks too seldom, and the server may have let go.
func TestHurryAfterAFirstAnswer(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		t.Run(scheme, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				const dark = 6 * time.Second
				began, fell := time.Now(), false
				sockets := n.hurry(t, scheme, func() {
					if !fell {
						fell = true
						n.router.dark.Store(true)
						time.AfterFunc(dark, func() { n.router.dark.Store(false) })
					}
				}, 0)
				took := time.Since(began)
				t.Log(took, sockets)
				require.Greater(t, sockets, 2)
				require.LessOrEqual(t, took, rtt+dark+800*time.Millisecond+maxGrace+4*rtt)
			})
		})
	}
}

// A dial whose peer knows of all that was said, and takes its time, is left alone.
func TestNoHurryWhileThePeerIsBusy(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		t.Run(scheme, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				require.Equal(t, 1, n.hurry(t, scheme, nil, 5*time.Second))
			})
		})
	}
}

// Whoever was told of the first packet is forgotten: a connection that was dialed beside another
// one would keep that for as long as it lives, which keeps the one before.
func TestHeardIsForgotten(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		s := n.serve(serverOptions{})
		told := make(chan struct{}, 1)
		dial := func() (Conn, weak.Pointer[[1024]byte]) {
			listener := new([1024]byte)
			conn, err := n.dialer(s.cert).Dial(testContext(t), s.target(scheme), Trial{Heard: func() {
				listener[0]++
				told <- struct{}{}
			}})
			require.NoError(t, err)
			return conn, weak.Make(listener)
		}
		conn, listener := dial()
		<-told
		runtime.GC()
		require.True(t, listener.Value() == nil)
		require.NoError(t, conn.Close(0, ""))
	})
}
