package transport

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// The capsule of moq-lite.md §9.9, without its DATA frame.
var unauthorized = []byte("\x68\x43\x10\x00\x00\x00\x06unauthorized")

func capsule(kind uint64, body string) []byte {
	b := quicvarint.Append(nil, kind)
	return append(quicvarint.Append(b, uint64(len(body))), body...)
}

func TestAppendClose(t *testing.T) {
	require.Equal(t, unauthorized, appendClose(nil, 6, "unauthorized"))
	require.Equal(t, []byte("\x68\x43\x04\xff\xff\xff\xff"), appendClose(nil, 1<<40, ""), "clamped")
}

func TestReadClose(t *testing.T) {
	long := "\x00\x00\x00\x01" + strings.Repeat("r", 1024)
	huge := quicvarint.Append(quicvarint.Append(nil, 0x99), quicvarint.Max)
	for _, c := range []struct {
		name   string
		in     []byte
		code   moqerr.SessionCode
		reason string
		err    error
	}{
		{"close", unauthorized, 6, "unauthorized", nil},
		{"longest reason", capsule(closeCapsule, long), 1, long[4:], nil},
		{"nothing but FIN", nil, 0, "", nil},
		{"FIN inside a capsule", unauthorized[:9], 0, "", nil},
		{"FIN inside a header", unauthorized[:1], 0, "", nil},
		{"behind unknown ones", append(append(capsule(0x1234, "abc"), capsule(1<<40, "")...), unauthorized...), 6, "unauthorized", nil},
		{"behind the longest unknown one", append(capsule(7, strings.Repeat("x", maxCapsule)), unauthorized...), 6, "unauthorized", nil},
		{"bad UTF-8", capsule(closeCapsule, "\x00\x00\x00\x01a\xffb"), 1, "a\ufffdb", nil},
		{"reason too long", capsule(closeCapsule, long+"r"), 0, "", errCapsule},
		{"no code", capsule(closeCapsule, "\x00\x00\x01"), 0, "", errCapsule},
		{"unknown and too long", capsule(7, strings.Repeat("x", maxCapsule+1)), 0, "", errCapsule},
		{"promises everything", huge, 0, "", errCapsule},
	} {
		code, reason, err := readClose(bytes.NewReader(c.in))
		require.ErrorIs(t, err, c.err, c.name)
		require.Equal(t, c.code, code, c.name)
		require.Equal(t, c.reason, reason, c.name)
	}
}

func FuzzReadClose(f *testing.F) {
	f.Add(unauthorized)
	f.Add(capsule(7, "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		code, reason, err := readClose(bytes.NewReader(b))
		if err != nil {
			require.ErrorIs(t, err, errCapsule)
			return
		}
		require.LessOrEqual(t, uint64(code), uint64(1<<32-1))
		require.LessOrEqual(t, len(reason), 3*maxReason)
	})
}

// connectServer answers CONNECT with 200 and then does as it is told, with the
// CONNECT stream and with the connection.
func (n *network) connectServer(do func(c *quic.Conn, str *http3.Stream)) *server {
	conns := make(chan *quic.Conn, 1)
	s := n.serve(serverOptions{handler: func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		time.Sleep(rtt) // the answer arrives before what follows can overtake it
		do(<-conns, w.(http3.HTTPStreamer).HTTPStream())
	}})
	s.wg.Go(func() { conns <- <-s.quics })
	return s
}

// What the server does to the CONNECT stream decides what ended the session.
func TestEndOfTheCONNECTStream(t *testing.T) {
	remote := func(code moqerr.SessionCode, reason string) *moqerr.SessionError {
		return &moqerr.SessionError{Code: code, Remote: true, Reason: reason, Legacy: true}
	}
	for name, c := range map[string]struct {
		do   func(c *quic.Conn, str *http3.Stream)
		want *moqerr.SessionError
	}{
		"FIN":     {func(_ *quic.Conn, str *http3.Stream) { _ = str.Close() }, remote(0, "")},
		"capsule": {func(_ *quic.Conn, str *http3.Stream) { _, _ = str.Write(unauthorized) }, remote(6, "unauthorized")},
		"capsule in pieces": {func(_ *quic.Conn, str *http3.Stream) {
			for _, b := range unauthorized {
				_, _ = str.Write([]byte{b})
			}
		}, remote(6, "unauthorized")},
		"capsule after unknown": {func(_ *quic.Conn, str *http3.Stream) {
			_, _ = str.Write(append(capsule(0x3c, "GREASE"), unauthorized...))
		}, remote(6, "unauthorized")},
		"reset": {func(_ *quic.Conn, str *http3.Stream) { str.CancelWrite(0x102) }, remote(1, "CONNECT stream was reset")},
		"malformed": {
			func(_ *quic.Conn, str *http3.Stream) { _, _ = str.Write(capsule(closeCapsule, "x")) },
			&moqerr.SessionError{Code: moqerr.SessionProtocol, Reason: "malformed capsule", Legacy: true},
		},
		"mapped connection close": {func(c *quic.Conn, _ *http3.Stream) {
			_ = c.CloseWithError(0x52e4a40fa8dd, "unauthorized")
		}, remote(2, "unauthorized")},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, n *network) {
				s := n.connectServer(c.do)
				d := n.dialer(s.cert)
				conn, err := d.Dial(t.Context(), s.target("https"), Trial{})
				require.NoError(t, err)
				heard := make(chan error, 1)
				go func() {
					_, err := conn.ReceiveDatagram(t.Context())
					heard <- err
				}()
				select {
				case <-conn.Done():
				case <-time.After(time.Second):
					t.Fatal("the session did not end")
				}
				require.Equal(t, error(c.want), conn.Err())
				select {
				case err := <-heard:
					require.Equal(t, error(c.want), err)
				case <-time.After(time.Second):
					t.Fatal("whoever waits for a datagram does not hear of it")
				}
				require.NoError(t, conn.Close(9, ""))
			})
		})
	}
}

// A plain code on WebTransport is HTTP/3's and says nothing about the session.
// TestPlainCloseBelowHTTP3: a relay that shuts down may close the connection before
// its capsule gets through, with 0, which is no code of HTTP/3.
func TestPlainCloseBelowHTTP3(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s := n.connectServer(func(c *quic.Conn, _ *http3.Stream) { _ = c.CloseWithError(0, "server shutdown") })
		c, err := n.dialer(s.cert).Dial(testContext(t), s.target("https"), Trial{})
		require.NoError(t, err)
		<-c.Done()
		require.Equal(t, &moqerr.SessionError{Remote: true, Reason: "server shutdown", Legacy: legacy(c.Protocol())}, c.Err())
		require.NoError(t, c.Close(0, ""))
	})
}

// A plain code on WebTransport is HTTP/3's and says nothing about the session.
func TestHTTP3CloseIsNotASessionError(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		s := n.connectServer(func(c *quic.Conn, _ *http3.Stream) { _ = c.CloseWithError(0x100, "shutdown") })
		conn, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
		require.NoError(t, err)
		<-conn.Done()
		var session *moqerr.SessionError
		require.NotErrorAs(t, conn.Err(), &session)
		var app *quic.ApplicationError
		require.ErrorAs(t, conn.Err(), &app)
		require.EqualValues(t, 0x100, app.ErrorCode)
		require.True(t, app.Remote)
	})
}

// After our capsule the connection closes with the mapped code, at once if the peer
// hangs up, else after three round trips.
func TestConnectionCloseAfterTheCapsule(t *testing.T) {
	for hangsUp, want := range map[bool]time.Duration{true: rtt, false: 3 * rtt} {
		bubble(t, func(t *testing.T, n *network) {
			cause := make(chan error, 1)
			s := n.connectServer(func(c *quic.Conn, str *http3.Stream) {
				code, reason, err := readClose(str)
				require.NoError(t, err)
				require.Equal(t, moqerr.SessionGoawayTimeout, code)
				require.Equal(t, "so long", reason)
				if hangsUp {
					_ = str.Close()
				}
				<-c.Context().Done()
				cause <- context.Cause(c.Context())
			})
			conn, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
			require.NoError(t, err)
			start := time.Now()
			require.NoError(t, conn.Close(moqerr.SessionGoawayTimeout, "so long"))
			require.InDelta(t, want, time.Since(start), float64(10*time.Millisecond))
			var app *quic.ApplicationError
			require.ErrorAs(t, <-cause, &app)
			require.Equal(t, mapSessionCode(moqerr.SessionGoawayTimeout), app.ErrorCode)
		})
	}
}
