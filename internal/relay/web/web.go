// Package web is the WebTransport end of the embedded relay, for browsers and for our
// own client. It registers "h3" with the relay, so that both carriers share one UDP
// port, and serves /certificate.sha256 over plain HTTP for clients that pin.
package web

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/moqerr"
)

// maxHeader is the largest CONNECT that is read, which is what the released relay takes.
const maxHeader = 16 << 10

// Enable lets r serve WebTransport. It must be called before the relay serves. The
// returned function frees what Enable made; call it after the relay was closed.
func Enable(r *relay.Relay) (stop func() error) {
	server := &webtransport.Server{
		H3: &http3.Server{
			MaxHeaderBytes: maxHeader,
			ConnContext: func(ctx context.Context, conn *quic.Conn) context.Context {
				return context.WithValue(ctx, visitorKey{}, newVisitor(r, conn))
			},
		},
		ApplicationProtocols: r.Versions(),
		CheckOrigin:          func(*http.Request) bool { return true }, // a development relay has no origin of its own
	}
	server.H3.Handler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { serve(r, server, w, req) })
	r.Handle(http3.NextProtoH3, func(conn *quic.Conn) {
		if err := server.ServeQUICConn(conn); err != nil {
			_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeInternalError), "")
		}
		<-conn.Context().Done()
	})
	return server.Close
}

// serve answers one request; the only one with a use is CONNECT for WebTransport.
func serve(r *relay.Relay, server *webtransport.Server, w http.ResponseWriter, req *http.Request) {
	v, ok := req.Context().Value(visitorKey{}).(*visitor)
	if !ok || req.Method != http.MethodConnect {
		http.Error(w, "WebTransport only", http.StatusNotFound)
		return
	}
	if refused := r.Answer(req.URL.RequestURI()); refused != nil {
		if refused.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(refused.RetryAfter/time.Second)))
		}
		w.WriteHeader(refused.Status)
		return
	}
	session, err := server.Upgrade(w, req)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	v.arrived()
	r.ServeConn(v.setup, newCarrier(session, v.conn), req.URL.RequestURI())
}

type visitorKey struct{}

// visitor is an HTTP/3 connection.
type visitor struct {
	conn    *quic.Conn
	setup   context.Context // bounds the wait for CONNECT and SETUP
	arrived func() bool     // ends the wait for CONNECT
}

// newVisitor sees to it that a connection that never asks for a session does not
// stay, and none when the relay is closed.
func newVisitor(r *relay.Relay, conn *quic.Conn) *visitor {
	setup, cancel := context.WithTimeout(r.Context(), relay.SetupTimeout)
	context.AfterFunc(conn.Context(), cancel)
	arrived := context.AfterFunc(setup, func() {
		code := moqerr.SessionControlTimeout
		if r.Context().Err() != nil {
			code = moqerr.SessionNoError
		}
		_ = conn.CloseWithError(connectionCode(code), "")
	})
	return &visitor{conn: conn, setup: setup, arrived: arrived}
}

// CertificateHandler answers GET /certificate.sha256 with the fingerprint that
// clients pin, as the released relay does.
func CertificateHandler(r *relay.Relay) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /certificate.sha256", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write([]byte(r.Fingerprint())) // a client that hung up needs no answer
	})
	return mux
}
