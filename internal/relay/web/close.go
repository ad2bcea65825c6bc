package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/remoq/moq/internal/transport"
	"github.com/remoq/moq/moqerr"
)

// How long a session that we closed may live on, so that its reason arrives: three
// round trips within these bounds (moq-lite.md §5.2).
const (
	minGrace = 100 * time.Millisecond
	maxGrace = time.Second
)

// maxReason is what the capsule that closes a session may carry.
const maxReason = 1024

// Close sends the capsule, and closes the connection when the client has left or has
// had time to read why.
func (c *carrier) Close(code moqerr.SessionCode, reason string) error {
	reason = cutReason(reason)
	if c.end(&moqerr.SessionError{Code: code, Reason: reason}) {
		grace := time.NewTimer(min(max(3*c.conn.ConnectionStats().SmoothedRTT, minGrace), maxGrace))
		defer grace.Stop()
		_ = c.session.CloseWithError(webtransport.SessionErrorCode(min(uint64(code), math.MaxUint32)), reason) // always nil
		select {
		case <-c.conn.Context().Done():
		case <-grace.C:
		}
		_ = c.conn.CloseWithError(connectionCode(code), reason)
	}
	<-c.done
	return nil
}

// end records why the session ends and says whether it is the first to do so.
// Whoever is first closes the connection.
func (c *carrier) end(cause error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cause != nil {
		return false
	}
	c.cause = cause
	return true
}

// watch waits for the end of the session, then for that of the connection, which is
// the session's own, and then for what works on it.
func (c *carrier) watch() {
	defer close(c.done)
	<-c.session.Context().Done()
	switch said := c.farewell(); {
	case said == nil:
		// If the connection is dead already, this is without effect, and so does not
		// hide what it died of.
		_ = c.conn.CloseWithError(connectionCode(moqerr.SessionProtocol), "CONNECT stream was broken")
	case c.end(said):
		_ = c.conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
	<-c.conn.Context().Done()
	c.wakeReaders()
	c.work.Wait()
	c.end(lost(context.Cause(c.conn.Context())))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = c.cause
}

// farewell is how a side ended the session in good order; nil if none did.
func (c *carrier) farewell() *moqerr.SessionError {
	// The session tells why it ended to whoever wants one more stream of it.
	_, err := c.session.OpenUniStream()
	if said, ok := errors.AsType[*webtransport.SessionError](err); ok {
		return &moqerr.SessionError{Code: moqerr.SessionCode(said.ErrorCode), Remote: said.Remote, Reason: said.Message}
	}
	end, ok := errors.AsType[*http3.Error](err)
	if ok && end.ErrorMessage == io.EOF.Error() { // of the error only the text is left
		return &moqerr.SessionError{Code: moqerr.SessionNoError, Remote: true} // a bare FIN
	}
	return nil
}

// lost turns the cause of a connection's death into what callers see: a session's
// code, mapped as WebTransport does it, or else quic-go's own type.
func lost(cause error) error {
	if app, ok := errors.AsType[*quic.ApplicationError](cause); ok {
		if code, ok := transport.UnmapStreamCode(uint64(app.ErrorCode)); ok {
			return &moqerr.SessionError{Code: moqerr.SessionCode(code), Remote: app.Remote, Reason: app.ErrorMessage}
		}
	}
	return fmt.Errorf("connection lost: %w", cause)
}

// callError converts what an operation with a context failed with.
func (c *carrier) callError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return c.streamError(err)
}

// streamError converts what an operation on a stream or on the session failed with.
func (c *carrier) streamError(err error) error {
	if reset, ok := errors.AsType[*webtransport.StreamError](err); ok {
		return &moqerr.StreamError{Code: moqerr.StreamCode(reset.ErrorCode), Remote: reset.Remote}
	}
	_, closed := errors.AsType[*webtransport.SessionError](err)
	_, broken := errors.AsType[*http3.Error](err)
	if closed || broken || err != nil && err != io.EOF && c.session.Context().Err() != nil {
		<-c.done // which knows better
		return c.err
	}
	return err
}

// connectionCode is a session's close code as its connection's close carries it.
func connectionCode(code moqerr.SessionCode) quic.ApplicationErrorCode {
	return quic.ApplicationErrorCode(transport.MapStreamCode(moqerr.StreamCode(code)))
}

// streamCode bounds a code to the 32 bits of WebTransport's.
func streamCode(code moqerr.StreamCode) webtransport.StreamErrorCode {
	return webtransport.StreamErrorCode(min(uint64(code), math.MaxUint32))
}

// cutReason bounds a reason, at a rune's boundary.
func cutReason(reason string) string {
	return strings.ToValidUTF8(reason[:min(len(reason), maxReason)], "")
}
