package moq

import (
	"fmt"
	"io"
	"net"
	"time"

	"github.com/remoq/moq/internal/session"
	"github.com/remoq/moq/internal/transport"
)

// Session is one live connection to a peer. It is used once: when it has ended it
// stays so. [Client.Connect] makes it, or the supervisor of [Client.Reconnect].
//
// All methods may be called concurrently.
type Session struct {
	inner       *session.Session
	keepAlive   time.Duration
	wall        func() time.Time
	since, till time.Time // life of the credential; zero: it does not expire
}

// Closed is closed when the session has ended, and with it everything it started.
func (s *Session) Closed() <-chan struct{} { return s.inner.Done() }

// Err returns why the session ended, once Closed is closed: nil after [Session.Close],
// a *[SessionError] with the code of whichever side closed it, a *[StatusError] if the
// server answered late and not with 200, or the transport's error. Before, it returns
// nil.
func (s *Session) Err() error { return s.inner.Err() }

// Close lets finished groups leave, for at most 1 s and as far as the path allows, and
// then closes the session with code 0 (moq-lite.md §5.3). It waits for everything the
// session started. It may be called again, and then waits the same. The error is
// always nil.
func (s *Session) Close() error { return s.inner.Close() }

// Abort closes the session at once, with a code and a reason for the peer, and waits
// for everything the session started. [Session.Err] returns them as a *[SessionError].
// After another end it only waits.
func (s *Session) Abort(code SessionCode, reason string) { s.inner.Abort(code, reason) }

// Version returns the version that both sides agreed on.
func (s *Session) Version() Version { return Version(s.inner.Version().ALPN()) }

// Transport returns what carries the session: "webtransport" or "quic".
func (s *Session) Transport() string { return s.inner.Carrier() }

// RemoteAddr returns the peer's address.
func (s *Session) RemoteAddr() net.Addr { return s.inner.RemoteAddr() }

// GoingAway is closed when the peer has asked us to leave (GOAWAY, moq-lite.md §4.8).
// The session goes on until one side closes it.
func (s *Session) GoingAway() <-chan struct{} { return s.inner.GoingAway() }

// String tells version, transport and peer.
func (s *Session) String() string {
	return fmt.Sprintf("%s over %s with %v", s.Version(), s.Transport(), s.RemoteAddr())
}

// Format writes String, whatever the verb: a session that is printed shows nothing else, and
// may go on meanwhile.
func (s *Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText is String.
func (s *Session) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Stats are the counters of a session since it began.
type Stats struct {
	RTT             time.Duration // smoothed
	MinRTT          time.Duration // the least seen
	BytesSent       uint64        // of UDP payload
	BytesReceived   uint64
	PacketsSent     uint64
	PacketsReceived uint64
	PacketsLost     uint64 // may go down: a packet thought lost can arrive
}

// Stats returns a snapshot of the session's counters. It is cheap, and also works
// after the end.
func (s *Session) Stats() Stats {
	now := s.inner.Stats()
	return Stats{
		RTT:             now.RTT,
		MinRTT:          now.MinRTT,
		BytesSent:       now.BytesSent,
		BytesReceived:   now.BytesReceived,
		PacketsSent:     now.PacketsSent,
		PacketsReceived: now.PacketsReceived,
		PacketsLost:     now.PacketsLost,
	}
}

// abandon implements liveSession.
func (s *Session) abandon(cause error) { s.inner.Abandon(cause) }

// life implements liveSession.
func (s *Session) life() (since, till time.Time) { return s.since, s.till }

// watch implements liveSession.
func (s *Session) watch() pulse { return watched{s.inner.Watch(s.keepAlive, s.wall)} }

// watched is a pulse in the supervisor's words.
type watched struct{ *transport.Pulse }

func (w watched) health() health {
	switch w.Health() {
	case transport.Silent:
		return silent
	case transport.Dead:
		return dead
	default:
		return alive
	}
}
