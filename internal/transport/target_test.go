package transport

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/moqerr"
)

func TestParseURL(t *testing.T) {
	for _, c := range []struct {
		url, text, request, host, authority string
		raw                                 bool
	}{
		{"https://Relay.example.com", "https://relay.example.com:443", "", "relay.example.com", "relay.example.com", false},
		{"https://r.test/", "https://r.test:443", "/", "r.test", "r.test", false},
		{"https://r.test:443/anon?jwt=a%20b&x", "https://r.test:443", "/anon?jwt=a%20b&x", "r.test", "r.test:443", false},
		{"https://r.test?jwt=abc", "https://r.test:443", "?jwt=abc", "r.test", "r.test", false},
		{"https://r.test:/a%2Fb?", "https://r.test:443", "/a%2Fb", "r.test", "r.test", false},
		{"moqt://r.test:4443/anon#frag", "moqt://r.test:4443", "/anon", "r.test", "r.test:4443", true},
		{"moql://127.0.0.1:65535", "moql://127.0.0.1:65535", "", "127.0.0.1", "127.0.0.1:65535", true},
		{"https://[2001:db8::1]:8443/x", "https://[2001:db8::1]:8443", "/x", "2001:db8::1", "[2001:db8::1]:8443", false},
		{"https://[::1]", "https://[::1]:443", "", "::1", "[::1]", false},
		{"moqt://[fe80::1%25eth0]:1", "moqt://[fe80::1%eth0]:1", "", "fe80::1", "[fe80::1]:1", true},
		{"https://user:pass@r.test/p", "https://r.test:443", "/p", "r.test", "r.test", false},
		{"https://bücher.example", "https://xn--bcher-kva.example:443", "", "xn--bcher-kva.example", "xn--bcher-kva.example", false},
		{"https://moq_relay:1/", "https://moq_relay:1", "/", "moq_relay", "moq_relay:1", false},
	} {
		target, err := ParseURL(c.url)
		require.NoError(t, err, c.url)
		require.Equal(t, c.text, target.String())
		require.Equal(t, c.request, target.Request(), c.url)
		require.Equal(t, c.host, target.serverName())
		require.Equal(t, c.authority, target.wire().Host)
		require.Equal(t, c.raw, target.Raw())
		require.Nil(t, target.wire().User)
	}
}

func TestParseURLRefuses(t *testing.T) {
	for url, want := range map[string]string{
		"":                              "no scheme",
		"//r.test/hush":                 "no scheme",
		"/hush":                         "no scheme",
		"http://r.test/hush":            "unknown scheme",
		"hush:hush@r.test":              "unknown scheme",
		"https:r.test/hush":             "opaque",
		"https:///hush":                 "no host",
		"moqt://":                       "no host",
		"https://:443/hush":             "no host",
		"https://r.test:0/hush":         "port out of range",
		"https://r.test:65536/hush":     "port out of range",
		"https://r.test:hush":           "malformed",
		"https://hush:hush/x":           "malformed",
		"https://r.test/%zzhush":        "malformed",
		"https://hush:h%zzush@r.test":   "malformed",
		"https://[::hush]/":             "malformed",
		"https://::1/hush":              "malformed",
		"https://r.test/hush\x7f":       "malformed",
		"https://xn--\u00e9.test/?hush": "malformed host name",
	} {
		_, err := ParseURL(url)
		var config *moqerr.ConfigError
		require.ErrorAs(t, err, &config, url)
		require.Equal(t, "URL", config.Field)
		require.ErrorContains(t, err, want, url)
		for _, text := range []string{err.Error(), fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", config.Err)} {
			require.NotContains(t, text, "hush", url)
		}
	}
}

func TestTargetNeverShowsSecrets(t *testing.T) {
	target, err := ParseURL("https://secretuser:secretpass@r.test/secretpath?jwt=secrettoken#secretfragment")
	require.NoError(t, err)
	type holder struct {
		inner *Target
		Value Target
		value Target
	}
	log := &bytes.Buffer{}
	slog.New(slog.NewJSONHandler(log, nil)).Info("x", "target", target, "value", *target)
	text := log.String()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		text += fmt.Sprintf(verb, target) + fmt.Sprintf(verb, *target)
		text += fmt.Sprintf(verb, holder{target, *target, *target}) + fmt.Sprintf(verb, &holder{target, *target, *target})
	}
	require.NotContains(t, text, "secret")
	require.NotContains(t, text, fmt.Sprintf("%x", "secret"))
	require.GreaterOrEqual(t, strings.Count(text, "https://r.test:443"), 16)
	require.Equal(t, "https://r.test:443", fmt.Sprintf("%#v", target))
	require.Equal(t, "https://r.test:443", target.GoString())
}

// TestTokenReplacesOneThatIsEncoded: servers take the first jwt that they find, however it is
// written.
func TestTokenReplacesOneThatIsEncoded(t *testing.T) {
	target, err := ParseURL("https://h/p?j%77t=old&a=b")
	require.NoError(t, err)
	u, err := url.Parse(target.WithToken("new").Request())
	require.NoError(t, err)
	require.Equal(t, []string{"new"}, u.Query()["jwt"])
}
