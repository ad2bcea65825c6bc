package session

import (
	"time"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
)

const (
	// probeReport says in SETUP that we answer probes with measurements (§4.2).
	probeReport = 1
	// probeInterval is the longest time between two measurements (§4.7).
	probeInterval = 10 * time.Second
)

// serveProbe reports the path's round-trip time at once and then every ten seconds,
// for as long as the peer keeps the stream open. The bit rate stays unknown: the
// congestion controller does not tell it.
func (s *Session) serveProbe(stream transport.Stream, _ *wire.Reader) error {
	if !s.awaitAdmission() {
		return nil
	}
	ctx, cancel := s.whileWanted(s.serving, stream)
	defer cancel()
	next := time.NewTimer(probeInterval)
	defer next.Stop()
	var b []byte
	for {
		m := wire.Probe{RTT: s.conn.Stats().RTT}
		b = m.Append(b[:0], s.cfg.Version)
		if _, err := stream.Write(b); err != nil {
			return err
		}
		next.Reset(probeInterval)
		select {
		case <-next.C:
		case <-ctx.Done():
			return nil
		}
	}
}
