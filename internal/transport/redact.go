package transport

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

const (
	// minSecret is how long a part of a URL must be for its removal: to take "a" out of a
	// reason hides nothing, and leaves nothing.
	minSecret = 4
	// echoed is how much of a longer one gives it away. A peer may cut what it repeats.
	echoed = 8
	hidden = "…"
)

// redact takes out of a peer's words what they repeat of the path and the query, as they
// stand in the URL, or decoded, percent-encoded, in hexadecimal or base64. A nil target
// has no secrets.
func (t *Target) redact(words string) string {
	if t == nil || words == "" {
		return words
	}
	secret := make([]bool, len(words))
	found := false
	for _, part := range t.secrets() {
		n := min(len(part), echoed)
		for from := 0; from+n <= len(part); from++ {
			for at := 0; ; at++ {
				next := strings.Index(words[at:], part[from:from+n])
				if next < 0 {
					break
				}
				at += next
				found = true
				for i := range n {
					secret[at+i] = true
				}
			}
		}
	}
	if !found {
		return words
	}
	var b strings.Builder
	for i := range len(words) {
		switch {
		case !secret[i]:
			b.WriteByte(words[i])
		case i == 0 || !secret[i-1]:
			b.WriteString(hidden)
		}
	}
	return strings.ToValidUTF8(b.String(), "\ufffd")
}

// secrets are the parts of the request in every form that redact looks for.
func (t *Target) secrets() []string {
	wire := t.wire()
	parts := []string{t.Request(), wire.EscapedPath(), wire.RawQuery}
	parts = append(parts, strings.Split(wire.EscapedPath(), "/")...)
	for pair := range strings.SplitSeq(wire.RawQuery, "&") {
		_, value, _ := strings.Cut(pair, "=")
		parts = append(parts, value)
		parts = append(parts, strings.Split(value, ".")...) // the parts of a JWT
	}
	var all []string
	add := func(forms ...string) {
		for _, form := range forms {
			if len(form) >= minSecret {
				all = append(all, form)
			}
		}
	}
	for _, part := range parts {
		if len(part) < minSecret {
			continue
		}
		plain, err := url.PathUnescape(part)
		if err != nil {
			plain = part
		}
		add(part, plain, url.QueryEscape(plain), url.PathEscape(plain), percent(plain), strings.ToLower(percent(plain)))
		for _, raw := range [][]byte{[]byte(part), []byte(plain)} {
			add(hex.EncodeToString(raw), strings.ToUpper(hex.EncodeToString(raw)))
			for cut := range min(3, len(raw)) { // where it begins in a longer text
				text := base64.RawStdEncoding.EncodeToString(raw[cut : cut+(len(raw)-cut)/3*3])
				add(text, strings.NewReplacer("+", "-", "/", "_").Replace(text))
			}
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// percent encodes every byte.
func percent(plain string) string {
	var b strings.Builder
	for i := range len(plain) {
		b.WriteByte('%')
		b.WriteString(strings.ToUpper(hex.EncodeToString([]byte{plain[i]})))
	}
	return b.String()
}

// hush returns err without the secrets that the peer's words in it repeat. Errors that
// hold none of the peer's words stay as they are, whatever their text, and cost nothing: when
// a relay dies, all of its clients ask at once.
func (t *Target) hush(err error) error {
	if e, ok := errors.AsType[*quic.ApplicationError](err); ok {
		if words := t.redact(e.ErrorMessage); words != e.ErrorMessage {
			return &quic.ApplicationError{Remote: e.Remote, ErrorCode: e.ErrorCode, ErrorMessage: words}
		}
		return err
	}
	if e, ok := errors.AsType[*quic.TransportError](err); ok {
		said := e.ErrorMessage
		if inner := e.Unwrap(); said == "" && len(inner) > 1 && inner[1] != nil {
			said = inner[1].Error() // TLS quotes the peer's certificate
		}
		if words := t.redact(said); words != said {
			clean := &quic.TransportError{Remote: e.Remote, FrameType: e.FrameType, ErrorCode: e.ErrorCode, ErrorMessage: words}
			if Transient(err) {
				return transient{clean}
			}
			return clean
		}
		return err
	}
	if e, ok := errors.AsType[*http3.Error](err); ok {
		if words := t.redact(e.ErrorMessage); words != e.ErrorMessage {
			return &http3.Error{Remote: e.Remote, ErrorCode: e.ErrorCode, ErrorMessage: words}
		}
	}
	return err
}

// Transient reports whether a callback of the TLS configuration says of its failure, by a method
// Transient, that it will pass: it tells nothing of the peer.
func Transient(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Transient() bool
	}](err)
	return ok && e.Transient()
}

// transient is all that is kept of such a failure whose text repeats what is secret.
type transient struct{ error }

func (t transient) Unwrap() error { return t.error }
func (transient) Transient() bool { return true }

// hushResponse does the same for what is wrong with a response: http3 quotes its fields.
func (t *Target) hushResponse(err error) error {
	hushed := t.hush(err)
	if _, ok := errors.AsType[net.Error](err); ok || hushed != err {
		return hushed
	}
	if words := t.redact(err.Error()); words != err.Error() {
		return errors.New(words)
	}
	return err
}
