package transport

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestDatagrams(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ctx := testContext(t)
		ours, theirs, _ := n.pair(scheme, serverOptions{})
		b := []byte("ping")
		require.NoError(t, ours.SendDatagram(b))
		copy(b, "XXXX")
		got, err := theirs.ReceiveDatagram(ctx)
		require.NoError(t, err)
		require.Equal(t, "ping", string(got), "what was sent is not kept by reference")
		require.NoError(t, theirs.SendDatagram([]byte("pong")))
		got, err = ours.ReceiveDatagram(ctx)
		require.NoError(t, err)
		require.Equal(t, "pong", string(got))

		short, cancel := context.WithTimeout(ctx, 10*time.Millisecond)
		defer cancel()
		_, err = ours.ReceiveDatagram(short)
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

// A dead network fills both queues; nobody waits, and what is over is dropped.
func TestDatagramsNeverBlock(t *testing.T) {
	for _, scheme := range []string{"moqt", "https"} {
		bubble(t, func(t *testing.T, n *network) {
			ours, theirs, _ := n.pair(scheme, serverOptions{})
			n.router.dark.Store(true)
			start := time.Now()
			for range 2000 {
				require.NoError(t, ours.SendDatagram(make([]byte, 1000)))
			}
			synctest.Wait()
			require.Zero(t, time.Since(start))
			n.router.dark.Store(false)
			time.Sleep(5 * time.Second)
			require.NoError(t, ours.SendDatagram([]byte("alive")))
			received := -1
			for last := ""; last != "alive"; received++ {
				got, err := theirs.ReceiveDatagram(t.Context())
				require.NoError(t, err)
				last = string(got)
			}
			require.LessOrEqual(t, received, 2*datagramQueue+1, "the rest was dropped")
		})
	}
}

// A connection that sends one now and then, as its probes are, holds no goroutine for it.
func TestDatagramsHoldNothing(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		ours, theirs, _ := n.pair("moqt", serverOptions{})
		require.NoError(t, ours.SendDatagram([]byte("once")))
		_, err := theirs.ReceiveDatagram(t.Context())
		require.NoError(t, err)
		synctest.Wait()
		l := ours.(rawQUIC).link
		l.mu.Lock()
		defer l.mu.Unlock()
		require.False(t, l.sending)
		require.Empty(t, l.datagrams)
	})
}

func TestDatagramTooLargeIsDropped(t *testing.T) {
	onAll(t, func(t *testing.T, n *network, scheme string) {
		ours, theirs, _ := n.pair(scheme, serverOptions{})
		require.NoError(t, ours.SendDatagram(make([]byte, 10_000)))
		require.NoError(t, ours.SendDatagram([]byte("small")))
		got, err := theirs.ReceiveDatagram(testContext(t))
		require.NoError(t, err)
		require.Equal(t, "small", string(got))
	})
}

func TestPeerWithoutDatagrams(t *testing.T) {
	config := quicConfig()
	config.EnableDatagrams = false
	ours, _, _ := loopback(t).pair("moqt", serverOptions{quic: config})
	require.ErrorIs(t, ours.SendDatagram([]byte("x")), ErrNoDatagrams)
}
