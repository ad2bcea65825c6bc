package transport

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

// The session stands two round trips after the dial began: the request does not wait
// for SETTINGS. A stream's first bytes need half of one more.
func TestRoundTrips(t *testing.T) {
	for scheme, want := range map[string]time.Duration{"moqt": rtt, "https": 2 * rtt} {
		bubble(t, func(t *testing.T, n *network) {
			s := n.serve(serverOptions{})
			start := time.Now()
			ours, err := n.dialer(s.cert).Dial(t.Context(), s.target(scheme), Trial{})
			require.NoError(t, err)
			require.Equal(t, want, time.Since(start))
			out, err := ours.OpenUniStream(t.Context())
			require.NoError(t, err)
			_, err = out.Write([]byte("x"))
			require.NoError(t, err)
			_, err = (<-s.conns).AcceptUniStream(t.Context())
			require.NoError(t, err)
			require.Equal(t, want+latency, time.Since(start))
			require.NoError(t, ours.Close(0, ""))
		})
	}
}

func TestRequest(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		requests := make(chan *http.Request, 1)
		s := n.serve(serverOptions{handler: func(w http.ResponseWriter, r *http.Request) {
			requests <- r
			w.WriteHeader(http.StatusTeapot)
		}})
		_, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
		require.ErrorContains(t, err, "418")
		r := <-requests
		require.Equal(t, http.MethodConnect, r.Method)
		require.Equal(t, "webtransport", r.Proto)
		require.Equal(t, s.addr.String(), r.Host)
		require.Equal(t, "/path?jwt=secret", r.RequestURI)
		require.Equal(t, `"moq-lite-06", "moq-lite-05"`, r.Header.Get("WT-Available-Protocols"))
	})
}

func TestStatusError(t *testing.T) {
	for _, c := range []struct {
		status     int
		retryAfter string
		want       time.Duration
		refused    bool
	}{
		{http.StatusUnauthorized, "", 0, true},
		{http.StatusForbidden, "", 0, true},
		{http.StatusNotFound, "nonsense", 0, false},
		{http.StatusServiceUnavailable, "17", 17 * time.Second, false},
		{http.StatusTooManyRequests, "Sat, 01 Jan 2000 00:01:00 GMT", time.Minute - 3*latency, false},
		{http.StatusFound, "", 0, false},
	} {
		bubble(t, func(t *testing.T, n *network) {
			s := n.serve(serverOptions{handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", c.retryAfter)
				w.WriteHeader(c.status)
			}})
			_, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
			var status *moqerr.StatusError
			require.ErrorAs(t, err, &status)
			require.Equal(t, c.status, status.Status)
			require.InDelta(t, c.want, status.RetryAfter, float64(rtt))
			require.Equal(t, c.refused, errors.Is(err, moqerr.ErrRefused))
			require.NotContains(t, err.Error(), "secret")
		})
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "-5": 0, "1.5": 0, "0": 0, "120": 2 * time.Minute, "99999999999999999999": (1<<32 - 1) * time.Second,
		"Fri, 02 Jan 2026 03:04:15 GMT": 10 * time.Second, "Fri, 02 Jan 2026 03:04:00 GMT": 0,
	} {
		require.Equal(t, want, retryAfter(value, now), value)
	}
}

func TestChosenProtocol(t *testing.T) {
	for value, want := range map[string]string{
		`"moq-lite-06"`: "moq-lite-06", `"moq-lite-06";q=1`: "moq-lite-06",
		`moq-lite-06`: "", `17`: "", `"unfinished`: "", ``: "",
	} {
		require.Equal(t, want, chosenProtocol(http.Header{"Wt-Protocol": {value}}), value)
	}
	require.Empty(t, chosenProtocol(http.Header{}))
}

func TestProtocolThatWasNotOffered(t *testing.T) {
	for chosen, want := range map[string]bool{`"moq-lite-99"`: false, `"moq-lite-05"`: true, ``: true} {
		bubble(t, func(t *testing.T, n *network) {
			s := n.serve(serverOptions{handler: func(w http.ResponseWriter, r *http.Request) {
				if chosen != "" {
					w.Header().Set("Wt-Protocol", chosen)
				}
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}})
			conn, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
			if want {
				require.NoError(t, err)
				require.NoError(t, conn.Close(0, ""))
				return
			}
			var session *moqerr.SessionError
			require.ErrorAs(t, err, &session)
			require.Equal(t, moqerr.SessionVersion, session.Code)
			require.False(t, session.Remote)
		})
	}
}

func TestInformationalResponses(t *testing.T) {
	for count, ok := range map[int]bool{2: true, 30: false} {
		bubble(t, func(t *testing.T, n *network) {
			s := n.serve(serverOptions{handler: func(w http.ResponseWriter, r *http.Request) {
				for range count {
					w.WriteHeader(http.StatusEarlyHints)
				}
				w.WriteHeader(http.StatusOK)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			}})
			conn, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
			require.Equal(t, ok, err == nil, "%v", err)
			if ok {
				require.NoError(t, conn.Close(0, ""))
			}
		})
	}
}

// A server that hangs up instead of answering: its code decides, mapped or not.
func TestClosedInsteadOfAnAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, n *network) {
		var s *server
		s = n.serve(serverOptions{handler: func(w http.ResponseWriter, _ *http.Request) {
			c := <-s.quics
			_ = c.CloseWithError(mapSessionCode(moqerr.SessionUnauthorized), "unauthorized")
		}})
		_, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
		require.ErrorIs(t, err, moqerr.ErrRefused)
		var session *moqerr.SessionError
		require.ErrorAs(t, err, &session)
		require.Equal(t, "unauthorized", session.Reason)
	})
}

func TestCONNECTReset(t *testing.T) {
	aborted := serverOptions{handler: func(http.ResponseWriter, *http.Request) {
		panic(http.ErrAbortHandler) // taking the stream over would answer 200 first
	}}
	rejected := serverOptions{bare: func(c *quic.Conn) { // webtransport-go has no way to do it
		control, err := c.OpenUniStream()
		require.NoError(t, err)
		settings := []byte{0x08, 1, 0x33, 1, 0xab, 0x60, 0x37, 0x42, 1} // extended CONNECT, datagrams, WebTransport
		_, err = control.Write(append([]byte{0, 4, byte(len(settings))}, settings...))
		require.NoError(t, err)
		str, err := c.AcceptStream(c.Context())
		require.NoError(t, err)
		str.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestRejected))
		str.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestRejected))
		<-c.Context().Done()
	}}
	for code, o := range map[http3.ErrCode]serverOptions{
		http3.ErrCodeInternalError: aborted, http3.ErrCodeRequestRejected: rejected,
	} {
		bubble(t, func(t *testing.T, n *network) {
			s := n.serve(o)
			_, err := n.dialer(s.cert).Dial(t.Context(), s.target("https"), Trial{})
			var h3 *http3.Error
			require.ErrorAs(t, err, &h3)
			require.Equal(t, code, h3.ErrorCode)
		})
	}
}

func TestProtocolsMustBeASCII(t *testing.T) {
	n := loopback(t)
	s := n.serve(serverOptions{})
	d := n.dialer(s.cert)
	d.Protocols = []string{"moq-é"}
	_, err := d.Dial(testContext(t), s.target("https"), Trial{})
	var config *moqerr.ConfigError
	require.ErrorAs(t, err, &config)
	require.Equal(t, "Protocols", config.Field)
}
