package web

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/moqerr"
)

// onRelay runs f with a relay on a simulated network, on virtual time.
func onRelay(t *testing.T, f func(t *testing.T, n *testnet.Network, up *relay.Relay, at net.Addr)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		up, err := relay.New(relay.Config{})
		require.NoError(t, err)
		stop := Enable(up)
		n := testnet.New(t, latency)
		socket := n.Socket()
		require.NoError(t, up.Serve(socket))
		t.Cleanup(func() {
			require.NoError(t, up.Close())
			require.NoError(t, stop())
		})
		f(t, n, up, socket.LocalAddr())
	})
}

// goodbye waits for the connection's end and returns the code that the relay gave.
func (c *bare) goodbye() moqerr.SessionCode {
	c.t.Helper()
	<-c.conn.Context().Done()
	cause := context.Cause(c.conn.Context())
	app, ok := errors.AsType[*quic.ApplicationError](cause)
	require.True(c.t, ok, "%v", cause)
	require.True(c.t, app.Remote)
	code, ok := transport.UnmapStreamCode(uint64(app.ErrorCode))
	require.True(c.t, ok, "%#x", app.ErrorCode)
	return moqerr.SessionCode(code)
}

// A connection that asks for no session does not stay.
func TestNoConnect(t *testing.T) {
	onRelay(t, func(t *testing.T, n *testnet.Network, up *relay.Relay, at net.Addr) {
		began := time.Now()
		c := dialBare(t, n, at, pinned(up))
		require.Equal(t, moqerr.SessionControlTimeout, c.goodbye())
		require.GreaterOrEqual(t, time.Since(began), relay.SetupTimeout)
		require.LessOrEqual(t, time.Since(began), relay.SetupTimeout+3*rtt)
	})
}

// Nor does a session that says nothing, and the wait for CONNECT counts.
func TestNoSetup(t *testing.T) {
	onRelay(t, func(t *testing.T, n *testnet.Network, up *relay.Relay, at net.Addr) {
		began := time.Now()
		c := dialBare(t, n, at, pinned(up))
		time.Sleep(7 * time.Second)
		status, stream := c.connect("webtransport", "/")
		require.Equal(t, http.StatusOK, status)
		capsule, err := io.ReadAll(stream)
		require.NoError(t, err)
		require.Equal(t, append([]byte{0x68, 0x43, 4 + 7, 0, 0, 0, byte(moqerr.SessionControlTimeout)}, "timeout"...), capsule)
		require.Equal(t, moqerr.SessionControlTimeout, c.goodbye())
		require.LessOrEqual(t, time.Since(began), relay.SetupTimeout+maxGrace)
	})
}

// The relay's end reaches those that have no session yet.
func TestCloseWithoutSession(t *testing.T) {
	onRelay(t, func(t *testing.T, n *testnet.Network, up *relay.Relay, at net.Addr) {
		c := dialBare(t, n, at, pinned(up))
		time.Sleep(time.Second)
		began := time.Now()
		require.NoError(t, up.Close())
		require.Zero(t, time.Since(began))
		require.Equal(t, moqerr.SessionNoError, c.goodbye())
		require.Equal(t, latency, time.Since(began))
	})
}

// TestHeaderBomb: a request with too large a header is not read to its end, and does no harm
// to others.
func TestHeaderBomb(t *testing.T) {
	onRelay(t, func(t *testing.T, n *testnet.Network, up *relay.Relay, at net.Addr) {
		bomber, other := dialBare(t, n, at, pinned(up)), dialBare(t, n, at, pinned(up))
		stream, err := bomber.h3.OpenRequestStream(t.Context())
		require.NoError(t, err)
		req, err := http.NewRequest(http.MethodConnect, "https://localhost/", nil)
		require.NoError(t, err)
		req.Proto = "webtransport"
		req.Header.Set("bomb", strings.Repeat("~", 1<<20)) // no shorter in Huffman's code
		if err = stream.SendRequestHeader(req); err == nil {
			var res *http.Response
			if res, err = stream.ReadResponse(); err == nil {
				require.NotEqual(t, http.StatusOK, res.StatusCode)
			}
		}
		t.Log(err)
		status, _ := other.connect("webtransport", "/")
		require.Equal(t, http.StatusOK, status)
	})
}

func TestOtherRequests(t *testing.T) {
	onRelay(t, func(t *testing.T, n *testnet.Network, up *relay.Relay, at net.Addr) {
		c := dialBare(t, n, at, pinned(up))
		req, err := http.NewRequest(http.MethodGet, "https://localhost/certificate.sha256", nil)
		require.NoError(t, err)
		res, err := c.h3.RoundTrip(req)
		require.NoError(t, err)
		_ = res.Body.Close()
		require.Equal(t, http.StatusNotFound, res.StatusCode)

		status, _ := c.connect("connect-udp", "/")
		require.Equal(t, http.StatusBadRequest, status)
		status, _ = c.connect("webtransport", "/") // none of that did harm
		require.Equal(t, http.StatusOK, status)

		// One session a connection.
		second, err := c.h3.OpenRequestStream(t.Context())
		require.NoError(t, err)
		req, err = http.NewRequest(http.MethodConnect, "https://localhost/", nil)
		require.NoError(t, err)
		req.Proto = "webtransport"
		require.NoError(t, second.SendRequestHeader(req))
		// webtransport-go has http3 answer 200 before it looks, and then resets the stream: the
		// answer may come or not.
		if _, err = second.ReadResponse(); err == nil {
			_, err = io.ReadAll(second)
		}
		reset, ok := errors.AsType[*quic.StreamError](err)
		require.True(t, ok, "%v", err)
		require.True(t, reset.Remote)
		require.NoError(t, c.conn.Context().Err())
	})
}
