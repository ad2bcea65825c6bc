package transport

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/stretchr/testify/require"
)

func TestRedact(t *testing.T) {
	const room, token = "s3cr3t room", "eyJhbGciOi.eyJyb290Ijoi.c2lnbmF0dXJl"
	target, err := ParseURL("https://relay.test/a/" + url.PathEscape(room) + "?x=1&jwt=" + token)
	require.NoError(t, err)
	for words, want := range map[string]string{
		"":                                   "",
		"not found":                          "not found",
		"no a, no 1":                         "no a, no 1",
		"relay.test is full":                 "relay.test is full",
		"no such path: " + target.Request():  "no such path: …",
		"unknown room " + room + ".":         "unknown room ….",
		"unknown s3cr3t%20room":              "unknown …",
		"unknown s3cr3t+room":                "unknown …",
		"unknown " + percent(room):           "unknown …",
		"bad token " + token:                 "bad token …",
		"bad signature c2lnbmF0dXJl":         "bad signature …",
		"it begins with eyJhbGciOi, I think": "it begins with …, I think",
		"cut off: eyJhbGci":                  "cut off: …",
		"cut off: eyJhbG":                    "cut off: eyJhbG", // less than gives it away
		hex.EncodeToString([]byte(room)):     "…",
		base64.StdEncoding.EncodeToString([]byte(room))[:12]: "…",
		token + token: "…",
	} {
		require.Equal(t, want, target.redact(words), words)
	}
	require.Equal(t, "x", (*Target)(nil).redact("x"))
}

func TestHushKeepsTypes(t *testing.T) {
	target, err := ParseURL("https://relay.test/timeout?jwt=secret42")
	require.NoError(t, err)
	app := &quic.ApplicationError{Remote: true, ErrorCode: 7, ErrorMessage: "no secret42"}
	require.Equal(t, &quic.ApplicationError{Remote: true, ErrorCode: 7, ErrorMessage: "no …"}, target.hush(app))
	alert := &quic.TransportError{Remote: true, ErrorCode: 0x12a, ErrorMessage: "no secret42"}
	require.Equal(t, &quic.TransportError{Remote: true, ErrorCode: 0x12a, ErrorMessage: "no …"}, target.hush(alert))
	h3 := &http3.Error{Remote: true, ErrorCode: 0x100, ErrorMessage: "no secret42"}
	require.Equal(t, &http3.Error{Remote: true, ErrorCode: 0x100, ErrorMessage: "no …"}, target.hushResponse(h3))

	// The peer has no part in these, though they share a word with the path.
	for _, ours := range []error{&quic.IdleTimeoutError{}, &quic.HandshakeTimeoutError{}, errors.New("timeout")} {
		require.Equal(t, ours, target.hush(ours))
	}
	require.Equal(t, error(&quic.IdleTimeoutError{}), target.hushResponse(&quic.IdleTimeoutError{}))
	require.EqualError(t, target.hushResponse(errors.New(`invalid status "secret42"`)), `invalid status "…"`)
}

// What holds no words of the peer's is not searched for them.
func TestHushOfSilenceCostsNothing(t *testing.T) {
	target, err := ParseURL("https://relay.test/timeout?jwt=" + strings.Repeat("secret42", 500))
	require.NoError(t, err)
	for _, ours := range []error{&quic.IdleTimeoutError{}, &quic.StatelessResetError{}, context.DeadlineExceeded} {
		require.Zero(t, testing.AllocsPerRun(10, func() { _ = target.hush(ours) }), ours)
	}
}
