package transport

import (
	"context"
	"errors"
	"net"

	"github.com/quic-go/webtransport-go"

	"github.com/remoq/moq/moqerr"
)

// wtPeer shows a session of webtransport-go as a Conn, so that one test can speak to
// both carriers. It stands for an implementation that is not ours.
type wtPeer struct {
	*webtransport.Session
	done chan struct{}
	err  error
}

var _ Conn = (*wtPeer)(nil)

func newWTPeer(s *webtransport.Session) *wtPeer {
	p := &wtPeer{Session: s, done: make(chan struct{})}
	context.AfterFunc(s.Context(), func() {
		_, err := s.AcceptStream(context.Background())
		p.err = wtError(err)
		close(p.done)
	})
	return p
}

func wtError(err error) error {
	if e, ok := errors.AsType[*webtransport.StreamError](err); ok {
		return &moqerr.StreamError{Code: moqerr.StreamCode(e.ErrorCode), Remote: e.Remote}
	}
	if e, ok := errors.AsType[*webtransport.SessionError](err); ok {
		return &moqerr.SessionError{Code: moqerr.SessionCode(e.ErrorCode), Remote: e.Remote, Reason: e.Message}
	}
	return err
}

func (p *wtPeer) OpenStream(ctx context.Context) (Stream, error) {
	s, err := p.OpenStreamSync(ctx)
	return wtStream{s}, err
}

func (p *wtPeer) OpenUniStream(ctx context.Context) (SendStream, error) {
	s, err := p.OpenUniStreamSync(ctx)
	return wtSend{s}, err
}

func (p *wtPeer) AcceptStream(ctx context.Context) (Stream, error) {
	s, err := p.Session.AcceptStream(ctx)
	return wtStream{s}, err
}

func (p *wtPeer) AcceptUniStream(ctx context.Context) (ReceiveStream, error) {
	s, err := p.Session.AcceptUniStream(ctx)
	return wtReceive{s}, err
}

func (p *wtPeer) Close(code moqerr.SessionCode, reason string) error {
	return p.CloseWithError(webtransport.SessionErrorCode(code), reason)
}

func (p *wtPeer) Protocol() string      { return p.SessionState().ApplicationProtocol }
func (p *wtPeer) Carrier() string       { return CarrierWebTransport }
func (p *wtPeer) Stats() Stats          { return Stats{} }
func (p *wtPeer) Done() <-chan struct{} { return p.done }
func (p *wtPeer) LocalAddr() net.Addr   { return p.Session.LocalAddr() }

func (p *wtPeer) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

type wtSend struct{ *webtransport.SendStream }

func (s wtSend) Write(b []byte) (int, error) {
	n, err := s.SendStream.Write(b)
	return n, wtError(err)
}
func (s wtSend) WriteThrough(b []byte) (int, error) { return s.Write(b) }
func (s wtSend) TryWrite(b []byte) (bool, error) {
	_, err := s.Write(b)
	return err == nil, err
}

func (s wtSend) Reset(c moqerr.StreamCode) { s.CancelWrite(webtransport.StreamErrorCode(c)) }
func (s wtSend) SetPriority(int8, bool)    {}

type wtReceive struct{ *webtransport.ReceiveStream }

func (s wtReceive) Read(b []byte) (int, error) {
	n, err := s.ReceiveStream.Read(b)
	return n, wtError(err)
}
func (s wtReceive) Stop(c moqerr.StreamCode) { s.CancelRead(webtransport.StreamErrorCode(c)) }

type wtStream struct{ *webtransport.Stream }

func (s wtStream) Read(b []byte) (int, error) {
	n, err := s.Stream.Read(b)
	return n, wtError(err)
}

func (s wtStream) Write(b []byte) (int, error) {
	n, err := s.Stream.Write(b)
	return n, wtError(err)
}
func (s wtStream) WriteThrough(b []byte) (int, error) { return s.Write(b) }
func (s wtStream) TryWrite(b []byte) (bool, error) {
	_, err := s.Write(b)
	return err == nil, err
}

func (s wtStream) Reset(c moqerr.StreamCode) { s.CancelWrite(webtransport.StreamErrorCode(c)) }

func (s wtStream) Stop(c moqerr.StreamCode) { s.CancelRead(webtransport.StreamErrorCode(c)) }
func (s wtStream) SetPriority(int8, bool)   {}
