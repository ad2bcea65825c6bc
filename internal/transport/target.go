package transport

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/net/idna"

	"github.com/remoq/moq/moqerr"
)

const defaultPort = 443

// Target is a parsed URL: where to dial, and what to ask for there. However it is
// printed, it shows scheme, host and port only: path and query may hold credentials.
// Targets are immutable.
type Target struct {
	scheme string
	host   string // without brackets; a zone may follow an IPv6 literal
	port   uint16
	wire   func() *url.URL // what CONNECT sends; a func, because no verb of fmt looks into one
}

// ParseURL parses a URL to dial: https is WebTransport, moqt and moql are raw QUIC;
// the default port is 443 (moq-lite.md §2). User info and fragment are dropped. Any
// error is a *moqerr.ConfigError with Field "URL", whose text repeats no part of the
// URL.
func ParseURL(raw string) (*Target, error) {
	t, err := parseURL(raw)
	if err != nil {
		return nil, &moqerr.ConfigError{Field: "URL", Err: err}
	}
	return t, nil
}

func parseURL(raw string) (*Target, error) {
	// The text of a *url.Error is never used: it quotes the URL.
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("malformed")
	}
	switch u.Scheme {
	case "https", "moqt", "moql":
	case "":
		return nil, errors.New("no scheme; want https, moqt or moql")
	default:
		return nil, errors.New("unknown scheme; want https, moqt or moql")
	}
	if u.Opaque != "" {
		return nil, errors.New(`opaque; want "//" after the scheme`)
	}
	host, err := parseHost(u.Hostname())
	if err != nil {
		return nil, err
	}
	port := uint64(defaultPort)
	if p := u.Port(); p != "" {
		if port, err = strconv.ParseUint(p, 10, 16); err != nil || port == 0 {
			return nil, errors.New("port out of range")
		}
	}
	wire := &url.URL{
		Scheme: "https", Host: authority(host, u.Port()),
		Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery,
	}
	return &Target{scheme: u.Scheme, host: host, port: uint16(port), wire: func() *url.URL { return wire }}, nil
}

// parseHost returns the host as DNS and TLS want it.
func parseHost(host string) (string, error) {
	if host == "" {
		return "", errors.New("no host")
	}
	if strings.Contains(host, ":") {
		return host, nil // an IPv6 literal, which url.Parse has checked
	}
	for _, r := range host {
		if r <= ' ' || r >= 0x80 {
			ascii, err := idna.Lookup.ToASCII(host)
			if err != nil {
				return "", errors.New("malformed host name")
			}
			return ascii, nil
		}
	}
	return strings.ToLower(host), nil
}

// authority is the host as :authority carries it: brackets around IPv6, no zone,
// and no port where the URL has none.
func authority(host, port string) string {
	host, _, _ = strings.Cut(host, "%")
	if port != "" {
		return net.JoinHostPort(host, port)
	}
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

// String returns scheme://host:port.
func (t Target) String() string {
	return t.scheme + "://" + net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
}

// GoString is String, for %#v.
func (t Target) GoString() string { return t.String() }

// Format writes String, whatever the verb.
func (t Target) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// LogValue is String, for slog.
func (t Target) LogValue() slog.Value { return slog.StringValue(t.String()) }

// Request returns path and query, for the wire only: what follows the host in
// CONNECT's :path, or SETUP's Path on raw QUIC (moq-lite.md §4.2). It is "" if the
// URL has neither.
func (t *Target) Request() string {
	wire := t.wire()
	if wire.RawQuery == "" {
		return wire.EscapedPath()
	}
	return wire.EscapedPath() + "?" + wire.RawQuery
}

// WithToken returns a target whose query carries token as jwt, in place of any other.
func (t *Target) WithToken(token string) *Target {
	wire := *t.wire()
	var kept []string
	for pair := range strings.SplitSeq(wire.RawQuery, "&") {
		name, _, _ := strings.Cut(pair, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if pair != "" && name != "jwt" {
			kept = append(kept, pair)
		}
	}
	wire.RawQuery = strings.Join(append(kept, "jwt="+url.QueryEscape(token)), "&")
	return &Target{scheme: t.scheme, host: t.host, port: t.port, wire: func() *url.URL { return &wire }}
}

// Raw says that the target is dialed with raw QUIC, else it is WebTransport.
func (t *Target) Raw() bool { return t.scheme != "https" }

// serverName is the name that TLS asks for and checks.
func (t *Target) serverName() string {
	name, _, _ := strings.Cut(t.host, "%")
	return name
}
