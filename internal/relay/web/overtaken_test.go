package web

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/internal/transport"
)

// overtaken returns a stream at its reader whose reset has overtaken data that the peer still has
// to deliver, and how a read of it ends.
func (b *bed) overtaken(ours transport.Conn, theirs *carrier) (transport.ReceiveStream, <-chan error) {
	b.t.Helper()
	out, err := ours.OpenUniStream(b.t.Context())
	require.NoError(b.t, err)
	at := testnet.AddrOf(b.socket).Addr()
	b.net.LimitDown(at, 10_000_000, 500*time.Microsecond) // room for one packet
	sent, err := out.TryWrite(make([]byte, 2000))
	require.NoError(b.t, err)
	require.True(b.t, sent)
	time.Sleep(5 * time.Millisecond)
	b.net.LimitDown(at, 0, 0)
	out.Reset(5)
	in, err := theirs.AcceptUniStream(b.t.Context())
	require.NoError(b.t, err)
	read := make(chan error, 1)
	go func() {
		for buf := make([]byte, 4000); ; {
			n, err := in.Read(buf)
			if err != nil {
				read <- err
				return
			}
			require.Less(b.t, n, 2000, "the rest is lost")
		}
	}()
	time.Sleep(10 * time.Millisecond) // the reset is here, and the rest is not yet sent again
	require.Empty(b.t, read)
	return in, read
}

// requireOver fails unless a read has ended, or does so soon.
func requireOver(t *testing.T, read <-chan error) {
	t.Helper()
	select {
	case err := <-read:
		require.Error(t, err)
	case <-time.After(time.Minute):
		require.Fail(t, "it reads for ever")
	}
}

// TestCloseEndsAReadThatWaitsBehindAReset: the end of a session ends each read.
func TestCloseEndsAReadThatWaitsBehindAReset(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		ours, theirs := b.pair()
		_, read := b.overtaken(ours, theirs)
		require.NoError(t, theirs.Close(0, "enough"))
		requireOver(t, read)
	})
}

// TestStopEndsAReadThatWaitsBehindAReset: so does Stop.
func TestStopEndsAReadThatWaitsBehindAReset(t *testing.T) {
	inBubble(t, func(t *testing.T, b *bed) {
		in, read := b.overtaken(b.pair())
		in.Stop(1)
		requireOver(t, read)
	})
}
