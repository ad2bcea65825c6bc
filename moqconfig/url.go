package moqconfig

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
)

// malformed stands for a URL of which no part can be told from a secret.
const malformed = "(malformed)"

// URL is where to dial. User info, path and query of it may be credentials, so however
// it is printed, logged or written, it shows scheme, host and port only. [URL.Reveal]
// is the one way to the whole. The zero URL is none. URLs are immutable; compare what
// Reveal returns.
type URL struct {
	// A pointer, because fmt calls no method of what stands in an unexported field, and
	// follows no pointer there either.
	whole *string
}

// NewURL holds raw. Whether it can be dialed is told by [Settings.Config].
func NewURL(raw string) URL {
	if raw == "" {
		return URL{}
	}
	return URL{&raw}
}

// Reveal returns the whole URL, for [moq.Client.Connect] and [moq.Client.Reconnect].
func (u URL) Reveal() string {
	if u.whole == nil {
		return ""
	}
	return *u.whole
}

// String returns scheme://host:port, or "" for none.
func (u URL) String() string {
	if u.whole == nil {
		return ""
	}
	parsed, err := url.Parse(*u.whole)
	if err != nil || parsed.Scheme == "" || parsed.Hostname() == "" {
		return malformed
	}
	port := parsed.Port()
	if port == "" {
		port = "443"
	}
	return parsed.Scheme + "://" + net.JoinHostPort(parsed.Hostname(), port)
}

// GoString is String, for %#v.
func (u URL) GoString() string { return u.String() }

// Format writes String, whatever the verb.
func (u URL) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, u.String()) }

// LogValue is String, for slog.
func (u URL) LogValue() slog.Value { return slog.StringValue(u.String()) }

// MarshalText writes String: what was hidden cannot be read back.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.String()), nil }

// UnmarshalText reads the whole URL. It takes any text, for whoever reports an error of
// this method quotes the text.
func (u *URL) UnmarshalText(text []byte) error {
	*u = NewURL(string(text))
	return nil
}

// host is what a dial asks TLS for if it is given no other name.
func (u URL) host() string {
	parsed, err := url.Parse(u.Reveal())
	if err != nil {
		return ""
	}
	return parsed.Hostname()
}
