package session

import (
	"context"
	"errors"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
)

// Urgencies of our streams: requests and their answers before all groups, groups by
// the rank of their subscription and their age in it, and behind all of them the barrier of
// Close.
const (
	urgencyControl = 0
	urgencyFirst   = 1
	urgencyGroups  = 6
	urgencyLast    = 7
)

var errSecondSetup = errors.New("second SETUP")

// sendSetup writes our SETUP, the first thing that the peer reads (§4.2).
func (s *Session) sendSetup(ctx context.Context) error {
	stream, err := s.conn.OpenUniStream(ctx)
	if err != nil {
		return err
	}
	stream.SetPriority(urgencyControl, false)
	defer context.AfterFunc(ctx, func() { stream.Reset(moqerr.StreamCancelled) })() // the write may be blocked
	m := wire.Setup{Probe: probeReport, Hop: s.hop}
	if s.cfg.Admit == nil {
		m.Path, s.cfg.Path = s.cfg.Path, "" // it may hold a token: whoever prints the session must not see it
		switch {
		case s.cfg.Subscribe == nil && s.cfg.Publish != nil:
			m.Role = wire.RolePublisher
		case s.cfg.Publish == nil && s.cfg.Subscribe != nil:
			m.Role = wire.RoleSubscriber
		}
	}
	b := wire.AppendVarint(nil, uint64(wire.UniSetup))
	if _, err := stream.Write(m.Append(b, s.cfg.Version)); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	_ = stream.Close() // fails if the peer has read it all and said so: that is no error
	return nil
}

// readSetup takes the peer's SETUP; a second one is a violation.
func (s *Session) readSetup(stream transport.ReceiveStream, r *wire.Reader) {
	body, err := r.Message()
	if err != nil {
		_ = s.check(truncated(err))
		return
	}
	m, err := wire.ParseSetup(body, s.cfg.Version)
	if err != nil {
		s.violation(err)
		return
	}
	s.mu.Lock()
	second := s.gotSetup
	s.gotSetup = true
	s.mu.Unlock()
	if second {
		s.violation(errSecondSetup)
		return
	}
	s.setup <- m
	awaitEnd(stream) // nothing but its end can come
}

// awaitAdmission waits until the peer's SETUP was read and admitted; false when the
// session ended instead.
func (s *Session) awaitAdmission() bool {
	select {
	case <-s.admitted:
		return true
	case <-s.ctx.Done():
		return false
	}
}
