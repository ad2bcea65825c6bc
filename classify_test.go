package moq

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func remoteClose(code SessionCode) error { return &SessionError{Code: code, Remote: true} }

func TestClassify(t *testing.T) {
	for _, test := range []struct {
		name string
		err  error
		want class
	}{
		{"unauthorized", remoteClose(SessionUnauthorized), classRefuse},
		{"unauthorized, wrapped", fmt.Errorf("dial: %w", remoteClose(SessionUnauthorized)), classRefuse},
		{"code 6 on an old version", &SessionError{Code: SessionParameters, Remote: true, Legacy: true}, classRefuse},
		{"code 6 on a new version", remoteClose(SessionParameters), classRetry},
		{"unauthorized, by us", &SessionError{Code: SessionUnauthorized}, classRetry},
		{"401", &StatusError{Status: 401}, classRefuse},
		{"403", &StatusError{Status: 403}, classRefuse},
		{"401 as a close", remoteClose(64 + 401), classRefuse},

		{"setting", &ConfigError{Field: "URL", Err: errors.New("malformed")}, classStop},
		{"setting, joined", errors.Join(io.EOF, &ConfigError{Field: "URL", Err: io.EOF}), classStop},

		{"clean close", remoteClose(SessionNoError), classRetry},
		{"internal", remoteClose(SessionInternal), classRetry},
		{"protocol violation", remoteClose(SessionProtocol), classRetry},
		{"goaway timeout", remoteClose(SessionGoawayTimeout), classRetry},
		{"control timeout", remoteClose(SessionControlTimeout), classRetry},
		{"no common version", remoteClose(SessionVersion), classRetry},
		{"application code that is no status", remoteClose(64), classRetry},
		{"application code beyond statuses", remoteClose(64 + 600), classRetry},
		{"status close, by us", &SessionError{Code: 64 + 400}, classRetry},
		{"idle timeout", fmt.Errorf("dial: %w", &quic.IdleTimeoutError{}), classRetry},
		{"handshake timeout", &quic.HandshakeTimeoutError{}, classRetry},
		{"stateless reset", &quic.StatelessResetError{}, classRetry},
		{"no common ALPN", &quic.TransportError{Remote: true, ErrorCode: 0x178}, classRetry},
		{"bad certificate", x509.UnknownAuthorityError{}, classRetry},
		{"unknown host", &net.DNSError{Err: "no such host", IsNotFound: true}, classRetry},
		{"network unreachable", &net.OpError{Op: "write", Err: os.ErrPermission}, classRetry},
		{"somebody's context", context.Canceled, classRetry},
		{"somebody's deadline", context.DeadlineExceeded, classRetry},
		{"end of file", io.EOF, classRetry},
		{"closed, by us", ErrClosed, classRetry},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, classify(test.err))
		})
	}
}

func TestClassifyStatus(t *testing.T) {
	want := map[int]class{
		401: classRefuse, 403: classRefuse,
		408: classRetry, 429: classRetry, 502: classRetry, 503: classRetry, 504: classRetry,
	}
	for status := 100; status < 600; status++ {
		expected, listed := want[status]
		if !listed {
			expected = classStop
		}
		require.Equal(t, expected, classify(&StatusError{Status: status}), "status %d", status)
		require.Equal(t, expected, classify(remoteClose(SessionCode(64+status))), "close %d", 64+status)
	}
	require.Equal(t, classRetry, classify(remoteClose(566)), "the relay's auth server was unavailable")
	require.Equal(t, classStop, classify(remoteClose(464)), "a bad request")
}

func TestClassReason(t *testing.T) {
	require.Equal(t, ErrRefused, classRefuse.reason())
	require.Equal(t, ErrStopped, classStop.reason())
}

// Whoever imports only one of the two packages matches the other's errors.
func TestErrorsAreThoseOfMoqerr(t *testing.T) {
	for ours, theirs := range map[error]error{
		ErrGaveUp: moqerr.ErrGaveUp, ErrRefused: moqerr.ErrRefused, ErrStopped: moqerr.ErrStopped, ErrClosed: moqerr.ErrClosed,
	} {
		require.Same(t, theirs, ours, strconv.Quote(theirs.Error()))
	}
	_, ok := errors.AsType[*moqerr.StopError](error(&StopError{Reason: ErrGaveUp}))
	require.True(t, ok)
}
