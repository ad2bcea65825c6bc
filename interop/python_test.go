//go:build interop

package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/peers"
)

// Python is peer.py: a client or a server of the Python package moq-rs.
type Python struct {
	*Process
	Ledger Ledger // what it has read

	backlog []Event // read and not yet asked for
}

// Event is one line that peer.py prints; which fields are set depends on its name.
type Event struct {
	Event   string
	Path    string
	Active  bool
	Address string
	Group   uint64
	Frame   int
	Frames  int
	Payload string
	Error   *PeerError
}

// PeerError is a failure as Python saw it.
type PeerError struct {
	Type, Text string
	Code       *uint64 // the code on the wire, if there was one
}

func (e *PeerError) Error() string { return fmt.Sprintf("python: %s: %s", e.Type, e.Text) }

func startPython(t *testing.T, role string, args ...string) *Python {
	t.Helper()
	here, err := os.Getwd()
	require.NoError(t, err)
	args = append([]string{filepath.Join(here, "peer.py"), role}, args...)
	return &Python{Process: start(t, "peer.py "+role, peer(t, peers.Python), args...)}
}

// startPythonServer runs the shared-origin server; args may give it a role of its own.
func startPythonServer(t *testing.T, args ...string) (*Python, *Relay) {
	t.Helper()
	cert, err := peers.WriteCertificate(t.TempDir())
	require.NoError(t, err)
	p := startPython(t, "server", append([]string{"--cert", cert.Cert, "--key", cert.Key}, args...)...)
	e := p.Await(t, 20*time.Second, func(e Event) bool { return e.Event == "listening" })
	return p, &Relay{&peers.Relay{Certificate: cert, Addr: e.Address}}
}

// startPythonClient connects a publisher or a subscriber to a relay.
func startPythonClient(t *testing.T, r *Relay, carrier, role string, args ...string) *Python {
	t.Helper()
	args = append([]string{"--url", r.URL(carrier), "--fingerprint", r.Certificate.Fingerprint}, args...)
	return startPython(t, role, args...)
}

// Await returns the next event that fits, and keeps the others for later. Frames
// go to the ledger, whatever is awaited. For one goroutine at a time.
func (p *Python) Await(t *testing.T, limit time.Duration, fits func(Event) bool) Event {
	t.Helper()
	e, err := p.await(within(t, limit), fits)
	require.NoError(t, err)
	return e
}

// AwaitNamed is Await for an event of this name.
func (p *Python) AwaitNamed(t *testing.T, limit time.Duration, name string) Event {
	t.Helper()
	return p.Await(t, limit, func(e Event) bool { return e.Event == name })
}

func (p *Python) await(ctx context.Context, fits func(Event) bool) (Event, error) {
	for i, e := range p.backlog {
		if fits(e) {
			p.backlog = append(p.backlog[:i], p.backlog[i+1:]...)
			return e, nil
		}
	}
	for {
		e, err := p.next(ctx)
		switch {
		case err != nil:
			return Event{}, err
		case fits(e):
			return e, nil
		case e.Event == "error" || e.Event == "track_error":
			return Event{}, fmt.Errorf("%s: %w", p.Name(), e.Error)
		}
		p.backlog = append(p.backlog, e)
	}
}

// next reads one event that is not a frame.
func (p *Python) next(ctx context.Context) (Event, error) {
	for {
		e, err := p.event(ctx)
		if err != nil || e.Event != "frame" {
			return e, err
		}
	}
}

// event reads one event; the ledger gets what it says of a frame, and remembers
// what is wrong.
func (p *Python) event(ctx context.Context) (Event, error) {
	line, err := p.Line(ctx)
	if errors.Is(err, io.EOF) {
		return Event{}, fmt.Errorf("%s ended", p.Name())
	}
	if err != nil {
		return Event{}, err
	}
	var e Event
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		return Event{}, fmt.Errorf("%s printed %q: %w", p.Name(), line, err)
	}
	if e.Event == "frame" {
		_ = p.Ledger.Add(e.Group, e.Frame, []byte(e.Payload))
	}
	return e, nil
}
