package transport

import (
	"io"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// A stream that stays silent, one of another session, and one that ends inside its
// header do not keep ours from arriving.
func TestStrangeStreamsAreSortedOut(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		stopped := make(chan error, 4)
		s := n.connectServer(func(c *quic.Conn, str *http3.Stream) {
			open := func(b string, fin bool) *quic.SendStream {
				out, err := c.OpenUniStream()
				require.NoError(t, err)
				_, err = out.Write([]byte(b))
				require.NoError(t, err)
				if fin {
					require.NoError(t, out.Close())
				}
				return out
			}
			open("\x40", false) // half a stream type, and then silence
			alien := open("\x40\x54\x04hello", false)
			open("\x40\x54", true)
			open("", true)
			grease := open("\x21grease", false)
			long := open("\xc0\x00\x00\x00\x00\x00\x00\x54\x40\x00ours", true) // longer varints than needed
			require.NotNil(t, long)
			for _, out := range []*quic.SendStream{alien, grease} {
				<-out.Context().Done()
				_, err := out.Write([]byte("x"))
				stopped <- err
			}
			bidi, err := c.OpenStream()
			require.NoError(t, err)
			_, err = bidi.Write([]byte("\x40\x41\x08hello"))
			require.NoError(t, err)
			_, err = bidi.Read(make([]byte, 1))
			stopped <- err
			_, _ = io.ReadAll(str)
		})
		conn, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
		require.NoError(t, err)
		in, err := conn.AcceptUniStream(t.Context())
		require.NoError(t, err)
		require.Equal(t, "ours", readAll(t, in))
		for range 3 {
			var reset *quic.StreamError
			require.ErrorAs(t, <-stopped, &reset)
			require.True(t, reset.Remote)
		}
		require.NoError(t, conn.Err())
		require.NoError(t, conn.Close(0, ""))
	})
}

// A bidirectional stream that is not WebTransport's breaks HTTP/3.
func TestForeignBidirectionalStream(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s := n.connectServer(func(c *quic.Conn, str *http3.Stream) {
			bidi, err := c.OpenStream()
			require.NoError(t, err)
			_, err = bidi.Write(quicvarint.Append(nil, 0x01))
			require.NoError(t, err)
			_, _ = io.ReadAll(str)
		})
		conn, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
		require.NoError(t, err)
		<-conn.Done()
		var app *quic.ApplicationError
		require.ErrorAs(t, conn.Err(), &app)
		require.EqualValues(t, http3.ErrCodeStreamCreationError, app.ErrorCode)
		require.NoError(t, conn.Close(0, ""))
	})
}

// Streams that nobody accepts wait, bounded by QUIC's limit, and go with the
// connection.
func TestStreamsThatNobodyAccepts(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		ours, theirs, _ := n.pair("https", serverOptions{})
		opened := 0
		for {
			s, err := theirs.(*wtPeer).Session.OpenUniStream()
			if err != nil {
				break
			}
			_, err = s.Write([]byte("x"))
			require.NoError(t, err)
			opened++
		}
		require.Less(t, opened, 101)
		require.Greater(t, opened, 90)
		time.Sleep(time.Second)
		require.NoError(t, ours.Close(0, ""))
	})
}

// Plain codes are taken too, on both carriers: upstream's own libraries send 0 for
// streams that were dropped.
func TestPlainStreamCodes(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		ours, theirs, _ := n.pair("moqt", serverOptions{})
		out, err := theirs.OpenStream(t.Context())
		require.NoError(t, err)
		_, err = out.Write([]byte("x"))
		require.NoError(t, err)
		out.(*stream).sendStream.quic.CancelWrite(0x34)
		expectOld(t, ours)
	})
	bubble(t, func(t *testing.T, n *network) {
		s := n.connectServer(func(c *quic.Conn, str *http3.Stream) {
			out, err := c.OpenStream()
			require.NoError(t, err)
			_, err = out.Write([]byte("\x40\x41\x00x"))
			require.NoError(t, err)
			out.SetReliableBoundary()
			out.CancelWrite(0x34)
			_, _ = io.ReadAll(str)
		})
		conn, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
		require.NoError(t, err)
		expectOld(t, conn)
		require.NoError(t, conn.Close(0, ""))
	})
}

func expectOld(t *testing.T, conn Conn) {
	t.Helper()
	in, err := conn.AcceptStream(t.Context())
	require.NoError(t, err)
	_, err = io.ReadAll(in)
	require.Equal(t, &moqerr.StreamError{Code: moqerr.StreamOld, Remote: true}, err)
}
