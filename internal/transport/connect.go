package transport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/dunglas/httpsfv"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"

	"github.com/remoq/moq/moqerr"
)

const (
	availableHeader   = "Wt-Available-Protocols"
	protocolHeader    = "Wt-Protocol"
	maxResponseHeader = 64 << 10
	maxInformational  = 5 // 1xx responses before the real one
)

// Every generation of WebTransport announces itself by a setting of its own: with
// all of them, every known server listens (moq-lite.md §1.3).
var settings = map[uint64]uint64{
	0x2c7cf000: 1, // WT_ENABLED
	0x2b603742: 1, // ENABLE_WEBTRANSPORT, draft 02
	0xc671706a: 1, // WEBTRANSPORT_MAX_SESSIONS, draft 07
}

// abandoned closes a connection whose CONNECT came to nothing.
const abandoned = quic.ApplicationErrorCode(http3.ErrCodeRequestCanceled)

// dialWebTransport makes the session on a connection that has just been dialed. It
// owns the connection and release from here on.
func dialWebTransport(
	ctx context.Context, qconn *quic.Conn, t *Target, protocols []string, stamps *stamps, release func(),
) (Conn, error) {
	stop := context.AfterFunc(ctx, func() { _ = qconn.CloseWithError(abandoned, "") })
	h3, stream, protocol, err := connect(ctx, qconn, t, protocols)
	if stop() && err == nil {
		l := newLink(qconn, CarrierWebTransport, release)
		l.protocol, l.stamps, l.target = protocol, stamps, t
		return newWebTransport(h3, stream, l), nil
	}
	_ = qconn.CloseWithError(abandoned, "")
	release()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if cause := context.Cause(qconn.Context()); !answered(err) && !isAbandoned(cause) {
		// What the connection died of says more than what http3 made of it.
		err = lost(t.hush(cause), CarrierWebTransport, "")
	}
	return nil, err
}

func isAbandoned(cause error) bool {
	app, ok := errors.AsType[*quic.ApplicationError](cause)
	return ok && !app.Remote && app.ErrorCode == abandoned
}

// connect sends CONNECT and waits for the answer. The request leaves at once: waiting
// for the server's SETTINGS first, as the RFC has it, costs a round trip.
//
// http3 opens its control stream in a goroutine of its own, and some servers hang up
// if another unidirectional stream comes first. They do not answer CONNECT before
// they have read it, so an answer is the sign that ours may be opened.
func connect(ctx context.Context, qconn *quic.Conn, t *Target, protocols []string) (
	*http3.RawClientConn, *http3.RequestStream, string, error,
) {
	h3 := (&http3.Transport{
		EnableDatagrams:        true,
		AdditionalSettings:     settings,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxResponseHeader,
	}).NewRawClientConn(qconn)
	stream, err := h3.OpenRequestStream(ctx)
	if err != nil {
		return nil, nil, "", err
	}
	request, err := newRequest(t, protocols)
	if err != nil {
		return nil, nil, "", err
	}
	if err := stream.SendRequestHeader(request); err != nil {
		// Not wrapped: http3 may quote the path.
		return nil, nil, "", errors.New("cannot send CONNECT")
	}
	response, err := readResponse(stream)
	if err != nil {
		return nil, nil, "", fmt.Errorf("CONNECT: %w", t.hushResponse(err))
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return nil, nil, "", &moqerr.StatusError{
			Status:     response.StatusCode,
			RetryAfter: retryAfter(response.Header.Get("Retry-After"), time.Now()),
		}
	}
	protocol := chosenProtocol(response.Header)
	if protocol != "" && !slices.Contains(protocols, protocol) {
		return nil, nil, "", &moqerr.SessionError{
			Code: moqerr.SessionVersion, Reason: "server chose a protocol that was not offered",
		}
	}
	return h3, stream, protocol, nil
}

func newRequest(t *Target, protocols []string) (*http.Request, error) {
	header := http.Header{}
	if len(protocols) > 0 {
		offer := make(httpsfv.List, 0, len(protocols))
		for _, p := range protocols {
			offer = append(offer, httpsfv.NewItem(p))
		}
		value, err := httpsfv.Marshal(offer)
		if err != nil {
			return nil, &moqerr.ConfigError{Field: "Protocols", Err: err}
		}
		header.Set(availableHeader, value)
	}
	return &http.Request{
		Method: http.MethodConnect,
		Proto:  "webtransport",
		URL:    t.wire(),
		Host:   t.wire().Host,
		Header: header,
	}, nil
}

func readResponse(stream *http3.RequestStream) (*http.Response, error) {
	for range maxInformational + 1 {
		response, err := stream.ReadResponse()
		if err != nil || response.StatusCode < 100 || response.StatusCode > 199 {
			return response, err
		}
	}
	return nil, errors.New("too many informational responses")
}

// chosenProtocol reads WT-Protocol, a structured-field string. A malformed one counts
// as absent (RFC 9651 §4.2).
func chosenProtocol(header http.Header) string {
	item, err := httpsfv.UnmarshalItem(header.Values(protocolHeader))
	if err != nil {
		return ""
	}
	protocol, _ := item.Value.(string)
	return protocol
}

// retryAfter reads Retry-After, seconds or a date (RFC 9110 §10.2.3); 0 if it says
// nothing usable, 2^32-1 s at most.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(seconds) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return max(0, date.Sub(now))
	}
	return 0
}
