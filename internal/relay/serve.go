package relay

import (
	"context"
	"errors"
	"strings"
	"sync"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/internal/session"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
	"github.com/remoq/moq/moqerr"
)

// accept takes connections until the listener is closed, and with it those that were
// waiting then: they are told why they cannot stay.
func (r *Relay) accept(listener *quic.EarlyListener) {
	for {
		conn, err := listener.Accept(context.Background())
		if err != nil {
			return
		}
		r.work.Go(func() { r.dispatch(conn) })
	}
}

// dispatch finds out what a connection speaks, once its handshake is over.
func (r *Relay) dispatch(conn *quic.Conn) {
	setup, cancel := context.WithTimeout(r.ctx, SetupTimeout)
	defer cancel()
	select {
	case <-conn.HandshakeComplete():
	case <-conn.Context().Done(): // quic-go bounds the handshake
		return
	case <-r.ctx.Done():
		_ = conn.CloseWithError(quic.ApplicationErrorCode(moqerr.SessionNoError), "")
		return
	}
	alpn := conn.ConnectionState().TLS.NegotiatedProtocol
	r.mu.Lock()
	handle := r.handlers[alpn]
	r.mu.Unlock()
	if handle != nil {
		handle(conn)
		return
	}
	r.ServeConn(setup, transport.NewQUIC(conn, nil), "")
}

// ServeConn serves one MoQ connection until it has ended, which it sees to when the
// relay is closed. setup, made from [Relay.Context], bounds the wait for SETUP. target
// is the request target of carriers that have one; for others SETUP brings it.
func (r *Relay) ServeConn(setup context.Context, conn transport.Conn, target string) {
	version, ok := wire.ParseVersion(conn.Protocol())
	if !ok {
		_ = conn.Close(moqerr.SessionVersion, "no version in common")
		return
	}
	s, err := session.Start(setup, conn, session.Config{
		Publish:   r.origin,
		Subscribe: r.origin,
		Version:   version,
		Logger:    r.log,
		Admit: func(m wire.Setup) (string, error) {
			if target == "" {
				target = m.Path
			}
			return r.admit(target)
		},
	})
	if err != nil {
		r.log.Debug("client not admitted", "remote", conn.RemoteAddr(), "err", err)
		return
	}
	r.enter()
	r.attend(s, target)
	r.leave()
	r.log.Debug("client left", "remote", s.RemoteAddr(), "err", s.Err())
}

// Answer returns what a WebTransport client is refused with before it has a session, or
// nil.
func (r *Relay) Answer(target string) *moqerr.StatusError {
	if r.cfg.Answer == nil {
		return nil
	}
	return r.cfg.Answer(target)
}

// admit returns the prefix under which a client's names stand: the path of its URL.
// Nothing in it is decoded or resolved, as the released relay does it: "%2e" and ".."
// are parts like any other.
func (r *Relay) admit(target string) (string, error) {
	if r.cfg.Admit != nil {
		if err := r.cfg.Admit(target); err != nil {
			return "", err
		}
	}
	path, _, _ := strings.Cut(target, "?")
	if err := wire.ValidatePath(path); err != nil {
		return "", &moqerr.SessionError{Code: moqerr.SessionApplication + 400, Reason: "bad path"}
	}
	return path, nil
}

// attend sees a session through the relay's own end, and returns after the session's.
func (r *Relay) attend(s *session.Session, target string) {
	var asking sync.WaitGroup
	defer asking.Wait()
	draining := r.draining.Done()
	var evicted <-chan error
	if r.cfg.Evict != nil {
		evicted = r.cfg.Evict(target)
	}
	for {
		select {
		case <-s.Done():
			return
		case err := <-evicted:
			code, reason := moqerr.SessionUnauthorized, err.Error()
			if said, ok := errors.AsType[*moqerr.SessionError](err); ok {
				code, reason = said.Code, said.Reason
			}
			s.Abort(code, reason)
			return
		case <-draining:
			draining = nil
			asking.Go(func() { // a client without stream credit must not hold up the drain
				if err := s.GoAway(""); err != nil {
					r.log.Debug("goaway not sent", "remote", s.RemoteAddr(), "err", err)
				}
			})
		case <-r.overdue.Done():
			s.Abort(moqerr.SessionGoawayTimeout, "goaway timeout")
			return
		case <-r.ctx.Done():
			s.Abort(moqerr.SessionNoError, "relay closed")
			return
		}
	}
}

// enter counts a session.
func (r *Relay) enter() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live == 0 {
		r.empty = make(chan struct{})
	}
	r.live++
}

func (r *Relay) leave() {
	r.mu.Lock()
	r.live--
	empty, last := r.empty, r.live == 0
	r.mu.Unlock()
	if last {
		close(empty)
	}
}

// awaitEmpty waits for a moment without sessions, or for ctx.
func (r *Relay) awaitEmpty(ctx context.Context) {
	r.mu.Lock()
	empty := r.empty
	r.mu.Unlock()
	select {
	case <-empty:
	case <-ctx.Done():
	}
}
