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
		want Action
	}{
		{"unauthorized", remoteClose(SessionUnauthorized), Refresh},
		{"unauthorized, wrapped", fmt.Errorf("dial: %w", remoteClose(SessionUnauthorized)), Refresh},
		{"code 6 on an old version", &SessionError{Code: SessionParameters, Remote: true, Legacy: true}, Refresh},
		{"code 6 on a new version", remoteClose(SessionParameters), Retry},
		{"unauthorized, by us", &SessionError{Code: SessionUnauthorized}, Retry},
		{"401", &StatusError{Status: 401}, Refresh},
		{"403", &StatusError{Status: 403}, Refresh},
		{"401 as a close", remoteClose(64 + 401), Refresh},

		{"setting", &ConfigError{Field: "URL", Err: errors.New("malformed")}, Stop},
		{"setting, joined", errors.Join(io.EOF, &ConfigError{Field: "URL", Err: io.EOF}), Stop},

		{"clean close", remoteClose(SessionNoError), Retry},
		{"internal", remoteClose(SessionInternal), Retry},
		{"protocol violation", remoteClose(SessionProtocol), Retry},
		{"goaway timeout", remoteClose(SessionGoawayTimeout), Retry},
		{"control timeout", remoteClose(SessionControlTimeout), Retry},
		{"no common version", remoteClose(SessionVersion), Suspect},
		{"no common version, by us", &SessionError{Code: SessionVersion}, Suspect},
		{"application code that is no status", remoteClose(64), Retry},
		{"application code beyond statuses", remoteClose(64 + 600), Retry},
		{"status close, by us", &SessionError{Code: 64 + 400}, Retry},
		{"idle timeout", fmt.Errorf("dial: %w", &quic.IdleTimeoutError{}), Retry},
		{"handshake timeout", &quic.HandshakeTimeoutError{}, Retry},
		{"stateless reset", &quic.StatelessResetError{}, Retry},
		{"no common ALPN", &quic.TransportError{Remote: true, ErrorCode: 0x178}, Suspect},
		{"bad certificate, found by us", &quic.TransportError{ErrorCode: 0x12a}, Suspect},
		{"unknown authority, of ours", &quic.TransportError{Remote: true, ErrorCode: 0x130}, Suspect},
		{"handshake failure", &quic.TransportError{Remote: true, ErrorCode: 0x128}, Retry},
		{"internal error", &quic.TransportError{Remote: true, ErrorCode: 0x1}, Retry},
		{"a certificate's error that no handshake ended with", x509.UnknownAuthorityError{}, Retry},
		{"unknown host", &net.DNSError{Err: "no such host", IsNotFound: true}, Suspect},
		{"DNS that does not answer", &net.DNSError{Err: "timeout", IsTimeout: true}, Retry},
		{"a provider's refusal", &CredentialError{&StatusError{Status: 403}}, Retry},
		{"a provider's unknown host", &CredentialError{&net.DNSError{IsNotFound: true}}, Retry},
		{"network unreachable", &net.OpError{Op: "write", Err: os.ErrPermission}, Retry},
		{"somebody's context", context.Canceled, Retry},
		{"somebody's deadline", context.DeadlineExceeded, Retry},
		{"end of file", io.EOF, Retry},
		{"closed, by us", ErrClosed, Retry},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, DefaultClassify(test.err))
		})
	}
}

func TestClassifyStatus(t *testing.T) {
	want := map[int]Action{
		401: Refresh, 403: Refresh, 404: Suspect,
		408: Retry, 429: Retry, 502: Retry, 503: Retry, 504: Retry,
	}
	for status := 100; status < 600; status++ {
		expected, listed := want[status]
		if !listed {
			expected = Stop
		}
		require.Equal(t, expected, DefaultClassify(&StatusError{Status: status}), "status %d", status)
		require.Equal(t, expected, DefaultClassify(remoteClose(SessionCode(64+status))), "close %d", 64+status)
	}
	require.Equal(t, Retry, DefaultClassify(remoteClose(566)), "the relay's auth server was unavailable")
	require.Equal(t, Stop, DefaultClassify(remoteClose(464)), "a bad request")
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
