package moq

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/remoq/moq/internal/session"
	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/internal/wire"
)

// endpoint is where a client dials, and with what.
type endpoint struct {
	client *Client
	target *transport.Target
	url    string // as the program gave it
	hooks  *caller
}

// CredentialError is why there is no credential for an attempt: the error or panic of
// [Hooks].Credentials, or an answer that cannot be used. It is an ordinary failure,
// whatever it wraps.
type CredentialError struct{ Err error }

var _ error = (*CredentialError)(nil)

// Error implements error.
func (e *CredentialError) Error() string { return "moq: no credential: " + e.Err.Error() }

// Unwrap returns the hook's own error.
func (e *CredentialError) Unwrap() error { return e.Err }

var errExpired = errors.New("it has expired already")

// dial makes one session. ctx bounds that, not the session's life.
func (e endpoint) dial(ctx context.Context, t trial) (*Session, error) {
	target, credential, err := e.authorize(ctx, t)
	if err != nil {
		return nil, &CredentialError{err}
	}
	asked := time.Now()
	c := e.client
	var inner *session.Session
	begin := func(ctx context.Context, conn transport.Conn) (err error) {
		// A session beside one that may wake must not say a word before it is wanted: the
		// relay would take it for the publisher.
		if err := t.wanted(ctx); err != nil {
			_ = conn.Close(SessionNoError, "")
			return err
		}
		inner, err = e.start(ctx, conn, target)
		return err
	}
	_, err = c.dialer.Dial(ctx, target, transport.Trial{
		Heard: t.heard, Begin: begin, Patience: t.patience, HurryUntil: t.hurryUntil,
	})
	if err != nil {
		return nil, err
	}
	s := &Session{inner: inner, keepAlive: c.config.QUIC.KeepAlive, wall: c.waker.wall}
	if !credential.Expires.IsZero() {
		s.since, s.till = asked, credential.Expires
	}
	return s, nil
}

// start makes a session of a connection, which it owns.
func (e endpoint) start(ctx context.Context, conn transport.Conn, target *transport.Target) (*session.Session, error) {
	c := e.client
	version, known := wire.ParseVersion(conn.Protocol())
	if !known || !slices.Contains(c.config.Versions, Version(conn.Protocol())) {
		err := &SessionError{Code: SessionVersion, Reason: fmt.Sprintf("the peer chose %q", conn.Protocol())}
		_ = conn.Close(err.Code, err.Reason)
		return nil, err
	}
	config := session.Config{
		Publish:   c.config.Publish,
		Subscribe: c.config.Subscribe,
		Version:   version,
		Logger:    c.config.Logger,
	}
	if target.Raw() {
		config.Path = target.Request()
	}
	return session.Start(ctx, conn, config)
}

// authorize asks for the credential of one attempt, and returns the target that carries
// it.
func (e endpoint) authorize(ctx context.Context, t trial) (*transport.Target, Credential, error) {
	hook := e.client.config.Hooks.Credentials
	if hook == nil {
		return e.target, Credential{}, nil
	}
	to, err := url.Parse(e.url)
	if err != nil {
		return nil, Credential{}, errors.New("malformed URL") // not reached: it was parsed before
	}
	a := Attempt{Number: t.number, Generation: t.generation, URL: to, Rejected: t.rejected, LastErr: t.lastErr}
	credential, err := call(ctx, e.hooks, "Credentials", func(ctx context.Context) (Credential, error) { return hook(ctx, a) })
	switch {
	case err != nil:
		return nil, Credential{}, err
	case !credential.Expires.IsZero() && !credential.Expires.After(time.Now()):
		return nil, Credential{}, errExpired
	case credential.Token == "":
		return e.target, credential, nil
	}
	return e.target.WithToken(credential.Token), credential, nil
}
