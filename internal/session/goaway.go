package session

import (
	"errors"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
)

var errSecondGoaway = errors.New("second GOAWAY")

// readGoaway takes the peer's GOAWAY and makes it known; the session goes on until
// one side closes it (§4.8).
func (s *Session) readGoaway(_ transport.Stream, r *wire.Reader) error {
	body, err := r.Message()
	if err != nil {
		return s.check(truncated(err))
	}
	m, err := wire.ParseGoaway(body, s.cfg.Version)
	if err != nil {
		return s.check(err)
	}
	s.mu.Lock()
	second := s.gotGoaway
	if !second {
		s.gotGoaway, s.goawayURI = true, m.URI
	}
	s.mu.Unlock()
	if second {
		s.violation(errSecondGoaway)
		return nil
	}
	s.log.Debug("peer is going away")
	close(s.goingAway)
	return nil
}

// GoAway asks the peer to leave, for uri or, if that is empty, for where it is. The
// session goes on; whoever sends this closes it later. It may be called once.
func (s *Session) GoAway(uri string) error {
	stream, err := s.ask(s.ctx, wire.StreamGoaway, wire.Goaway{URI: uri}.Append)
	if err != nil {
		return err
	}
	_ = stream.Close() // as in sendSetup
	return nil
}
