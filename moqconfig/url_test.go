package moqconfig

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestURL(t *testing.T) {
	for raw, want := range map[string]string{
		"":                               "",
		secretURL:                        "https://relay.example.com:443",
		"moqt://10.0.0.1:4443/a?jwt=b#c": "moqt://10.0.0.1:4443",
		"https://[2001:db8::1]/x":        "https://[2001:db8::1]:443",
		canary:                           malformed,
		canary + "://":                   malformed,
		"https:" + canary:                malformed,
		"https:///" + canary:             malformed,
		"https://h:" + canary + "/":      malformed,
		"https://%zz" + canary:           malformed,
		canary + ":" + canary + "@host":  malformed,
		"https://a b" + canary + "/":     malformed,
	} {
		u := NewURL(raw)
		require.Equal(t, want, u.String(), raw)
		require.Equal(t, raw, u.Reveal())
	}
	require.Equal(t, URL{}, NewURL(""))
	var u URL
	require.NoError(t, u.UnmarshalText([]byte(secretURL)))
	require.Equal(t, secretURL, u.Reveal())
	require.NoError(t, u.UnmarshalText(nil))
	require.Equal(t, URL{}, u)
}

// No way of printing, logging or writing tells more than scheme, host and port.
func TestURLIsNeverPrinted(t *testing.T) {
	s := Settings{URL: NewURL(secretURL)}
	c, err := s.Config()
	require.NoError(t, err)
	type holder struct { // fmt calls no method of what stands in unexported fields
		settings Settings
		pointer  *Settings
		url      URL
		list     []URL
	}
	fs := flagSet()
	require.NoError(t, s.RegisterFlags(fs))
	values := map[string]any{
		"URL": s.URL, "*URL": &s.URL, "Settings": s, "*Settings": &s, "Config": c,
		"holder": holder{s, &s, s.URL, []URL{s.URL}}, "list": []any{s, s.URL}, "map": map[string]Settings{"a": s},
		"flag": fs.Lookup("url"), "value": fs.Lookup("url").Value, "got": fs.Lookup("url").Value.(flag.Getter).Get(),
	}
	for name, value := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%p", "%T", "%t"} {
			requireHidden(t, fmt.Sprintf(verb, value), name+" "+verb)
		}
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "value", value)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "value", value)
		requireHidden(t, logged.String(), name+" in slog")
		if written, err := json.Marshal(value); err == nil {
			requireHidden(t, string(written), name+" in JSON")
		}
	}
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%#v", s), fmt.Sprintf("%+v", &s)} {
		require.Contains(t, text, "https://relay.example.com:443")
	}
	require.Equal(t, "https://relay.example.com:443", s.URL.LogValue().String())
	require.Equal(t, "https://relay.example.com:443", s.URL.GoString())

	var help bytes.Buffer
	fs.SetOutput(&help)
	fs.PrintDefaults()
	require.Contains(t, help.String(), "https://relay.example.com:443")
	requireHidden(t, help.String(), "help")
}

func requireHidden(t *testing.T, text, what string) {
	t.Helper()
	for _, form := range []string{
		canary, hex.EncodeToString([]byte(canary)), strings.ToUpper(hex.EncodeToString([]byte(canary))),
		base64.StdEncoding.EncodeToString([]byte(canary)),
	} {
		require.NotContains(t, text, form, what)
	}
}
