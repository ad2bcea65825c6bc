package settings

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/moqconfig"
)

const (
	canary    = "c4n4ry"
	secretURL = "https://" + canary + "@relay.example.com/" + canary + "?jwt=" + canary
	shownURL  = "https://relay.example.com:443"
	pin       = "0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a"
)

// every has a value of its own in every field.
var every = moqconfig.Settings{
	URL: moqconfig.NewURL(secretURL), Versions: []moq.Version{moq.Lite05, moq.Lite06}, ServerName: "relay",
	Roots: []string{"a.pem", "b.pem"}, Fingerprints: []string{pin}, Insecure: true,
	ClientCertificate: "c.pem", ClientKey: "k.pem",
	ConnectTimeout: 5 * time.Second, KeepAlive: -time.Second, IdleTimeout: time.Minute, Backoff: full,
}

const everyTable = `
url = "` + secretURL + `"
versions = ["moq-lite-05", "moq-lite-06"]
server_name = "relay"
roots = ["a.pem", "b.pem"]
fingerprints = ["` + pin + `"]
insecure = true
client_certificate = "c.pem"
client_key = "k.pem"
connect_timeout = "5s"
keep_alive = "-1s"
idle_timeout = "1m"
`

const everyBackoff = `
initial = "2s"
hold = 7
multiplier = 1.5
max = "1m"
first_timeout = "10s"
timeout = "-1s"
stable_after = "3s"
`

// program is the file of a program that has settings of its own beside ours.
type program struct {
	Name  string             `json:"name" toml:"name"`
	Relay moqconfig.Settings `json:"relay,omitzero" toml:"relay,omitempty"`
}

func TestSettingsTOML(t *testing.T) {
	var whole moqconfig.Settings
	meta, err := toml.Decode(everyTable+"[backoff]"+everyBackoff, &whole)
	require.NoError(t, err)
	require.Empty(t, meta.Undecoded())
	require.Equal(t, every, whole)

	var part program
	meta, err = toml.Decode("name = 'x'\n[relay]"+everyTable+"[relay.backoff]"+everyBackoff, &part)
	require.NoError(t, err)
	require.Empty(t, meta.Undecoded())
	require.Equal(t, program{Name: "x", Relay: every}, part)

	_, err = toml.Decode("relay.backoff = 'eager'\nrelay.insecure = false", &part)
	require.NoError(t, err)
	require.Equal(t, moq.Eager(), part.Relay.Backoff)
	require.False(t, part.Relay.Insecure)
	require.Equal(t, "relay", part.Relay.ServerName, "what is not named stays")
}

func TestSettingsTOMLBad(t *testing.T) {
	for text, field := range map[string]string{
		"token = '" + canary + "'": "Settings",
		"URL = '" + canary + "'":   "Settings",
		"url = ['" + canary + "']": "URL",
		"versions = 'moq-lite-05'": "Versions",
		"roots = ['a', 5]":         "Roots",
		"roots = [{ a = 1 }]":      "Roots",
		"server_name = 5":          "ServerName",
		"insecure = 'true'":        "Insecure",
		"keep_alive = 5":           "KeepAlive",
		"idle_timeout = 'soon'":    "IdleTimeout",
		"backoff.foo = 1":          "Backoff",
		"backoff.initial = 1":      "Backoff.Initial",
	} {
		got := every
		_, err := toml.Decode(text, &got)
		// The package keeps the text of our error, but does not unwrap to it.
		require.ErrorContains(t, err, "moq: "+field+": ")
		require.NotContains(t, err.Error(), canary)
		require.Equal(t, every, got, "unchanged")
	}
}

func TestSettingsTOMLWritten(t *testing.T) {
	encode := func(value any) string {
		var written bytes.Buffer
		require.NoError(t, toml.NewEncoder(&written).Encode(value))
		require.NotContains(t, written.String(), canary)
		return written.String()
	}
	want := every
	want.URL = moqconfig.NewURL(shownURL)
	for _, value := range []any{every, &every} {
		written := encode(value)
		require.Contains(t, written, `connect_timeout = "5s"`)
		var got moqconfig.Settings
		_, err := toml.Decode(written, &got)
		require.NoError(t, err)
		require.Equal(t, want, got, "all but what was hidden")
	}
	var got program
	_, err := toml.Decode(encode(program{Relay: every}), &got)
	require.NoError(t, err)
	require.Equal(t, want, got.Relay)

	require.Empty(t, encode(moqconfig.Settings{}))
	// To the package no struct with a duration is empty, but no key of ours is there.
	require.Equal(t, "name = \"\"\n\n[relay]\n", encode(program{}))
}

func TestSettingsJSON(t *testing.T) {
	want := program{Name: "x", Relay: every}
	written, err := json.Marshal(want)
	require.NoError(t, err)
	require.NotContains(t, string(written), canary)
	decoder := json.NewDecoder(bytes.NewReader(written))
	decoder.DisallowUnknownFields()
	var got program
	require.NoError(t, decoder.Decode(&got))
	require.Equal(t, shownURL, got.Relay.URL.Reveal())
	got.Relay.URL = every.URL
	require.Equal(t, want, got)
	requireBad(t, json.Unmarshal([]byte(`{"relay":{"token":"`+canary+`"}}`), &got), "Settings")
	written, err = json.Marshal(program{})
	require.NoError(t, err)
	require.Equal(t, `{"name":""}`, string(written))
}

// The TOML of docs/SETTINGS.md says what its JSON says.
func TestSettingsDocument(t *testing.T) {
	text, err := os.ReadFile("../../docs/SETTINGS.md")
	require.NoError(t, err)
	block := func(language string) string {
		_, after, ok := strings.Cut(string(text), "\n```"+language+"\n")
		require.True(t, ok)
		inside, _, ok := strings.Cut(after, "\n```\n")
		require.True(t, ok)
		return inside
	}
	var fromTOML, fromJSON moqconfig.Settings
	_, err = toml.Decode(block("toml"), &fromTOML)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal([]byte(block("json")), &fromJSON))
	require.Equal(t, fromJSON, fromTOML)
}

// embedded gives a program all flags and variables of the library by its tags.
type embedded struct {
	Relay moqconfig.Settings `embed:""`
}

func TestSettingsKong(t *testing.T) {
	want := every
	want.Backoff.StableAfter = 0 // has no flag
	var cli embedded
	help, err := parse(t, &cli,
		"--url="+secretURL, "--versions=moq-lite-05,moq-lite-06", "--server-name=relay", "--roots=a.pem,b.pem", "--fingerprints="+pin,
		"--insecure", "--client-certificate=c.pem", "--client-key=k.pem", "--connect-timeout=5s", "--keep-alive=-1s", "--idle-timeout=1m",
		"--backoff-initial=2s", "--backoff-hold=7", "--backoff-multiplier=1.5", "--backoff-max=1m", "--backoff-first-timeout=10s", "--backoff-timeout=-1s")
	require.NoError(t, err)
	require.Equal(t, want, cli.Relay)
	require.NotContains(t, help, canary)
	for _, name := range []string{"url", "versions", "server-name", "roots", "fingerprints", "insecure", "client-certificate", "backoff-hold"} {
		require.Contains(t, help, "--"+name)
		require.Contains(t, strings.Join(strings.Fields(help), ""), "($MOQ_"+strings.ToUpper(strings.ReplaceAll(name, "-", "_"))+")")
	}
	require.Contains(t, help, "DANGER")

	_, err = parse(t, &cli, "--url="+secretURL, "--keep-alive=soon")
	require.ErrorContains(t, err, "--keep-alive")
	require.NotContains(t, err.Error(), canary)
}

func TestSettingsKongVariables(t *testing.T) {
	for name, value := range map[string]string{
		"MOQ_URL": secretURL, "MOQ_VERSIONS": "moq-lite-05,moq-lite-06", "MOQ_SERVER_NAME": "relay", "MOQ_ROOTS": "a.pem,b.pem",
		"MOQ_FINGERPRINTS": pin, "MOQ_INSECURE": "true", "MOQ_CLIENT_CERTIFICATE": "c.pem", "MOQ_CLIENT_KEY": "k.pem",
		"MOQ_CONNECT_TIMEOUT": "5s", "MOQ_KEEP_ALIVE": "-1s", "MOQ_IDLE_TIMEOUT": "1m", "MOQ_BACKOFF_HOLD": "7",
	} {
		t.Setenv(name, value)
	}
	want := every
	want.Backoff = moq.Backoff{Hold: 7}
	var cli embedded
	help, err := parse(t, &cli)
	require.NoError(t, err)
	require.Equal(t, want, cli.Relay)
	require.NotContains(t, help, canary)
	_, err = parse(t, &cli, "--server-name=flag", "--roots=c.pem")
	require.NoError(t, err)
	want.ServerName, want.Roots = "flag", []string{"c.pem"}
	require.Equal(t, want, cli.Relay, "a flag beats its variable")
}
