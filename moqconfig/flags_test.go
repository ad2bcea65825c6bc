package moqconfig

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

// every has a value of its own in every field.
func every() Settings {
	return Settings{
		URL: NewURL(secretURL), Versions: []moq.Version{moq.Lite05, moq.Lite06}, ServerName: "relay",
		Roots: []string{"a.pem", "b.pem"}, Fingerprints: []string{pin, pin}, Insecure: true,
		ClientCertificate: "c.pem", ClientKey: "k.pem",
		ConnectTimeout: 5 * time.Second, KeepAlive: -time.Second, IdleTimeout: time.Minute,
		Backoff: moq.Backoff{Initial: 2 * time.Second, Hold: 7},
	}
}

var everyFlag = []string{
	"-url=" + secretURL, "-versions=moq-lite-05,moq-lite-06", "-server-name=relay", "-roots=a.pem, b.pem",
	"-fingerprints=" + pin + "," + pin, "-insecure", "-client-certificate=c.pem", "-client-key=k.pem",
	"-connect-timeout=5s", "-keep-alive=-1s", "-idle-timeout=1m", "-backoff-initial=2s", "-backoff-hold=7",
}

func setEvery(t *testing.T) {
	for name, value := range map[string]string{
		"MOQ_URL": secretURL, "MOQ_VERSIONS": "moq-lite-05, moq-lite-06", "MOQ_SERVER_NAME": "relay", "MOQ_ROOTS": "a.pem,b.pem",
		"MOQ_FINGERPRINTS": pin + "," + pin, "MOQ_INSECURE": "true", "MOQ_CLIENT_CERTIFICATE": "c.pem", "MOQ_CLIENT_KEY": "k.pem",
		"MOQ_CONNECT_TIMEOUT": "5s", "MOQ_KEEP_ALIVE": "-1s", "MOQ_IDLE_TIMEOUT": "1m", "MOQ_BACKOFF_INITIAL": "2s", "MOQ_BACKOFF_HOLD": "7",
	} {
		t.Setenv(name, value)
	}
}

func TestFlags(t *testing.T) {
	var s Settings
	fs := flagSet()
	require.NoError(t, s.RegisterFlags(fs))
	require.NoError(t, fs.Parse(everyFlag))
	require.Equal(t, every(), s)
	for _, bad := range []string{"-connect-timeout=5", "-roots=a,", "-versions=,", "-insecure=maybe"} {
		require.Error(t, fs.Parse([]string{bad}), bad)
	}
	require.NoError(t, fs.Parse([]string{"-roots=", "-url=", "-insecure=false"}))
	require.Empty(t, s.Roots)
	require.Equal(t, URL{}, s.URL)
	require.False(t, s.Insecure)
}

func TestVariables(t *testing.T) {
	setEvery(t)
	var s Settings
	fs := flagSet()
	require.NoError(t, s.RegisterFlags(fs))
	require.NoError(t, fs.Parse(nil))
	require.Equal(t, every(), s)
}

// A flag goes before a variable, that before a file, that before the program.
func TestPrecedence(t *testing.T) {
	s := Settings{
		ServerName: "program", ClientKey: "program", KeepAlive: time.Second, Roots: []string{"program"},
		Backoff: moq.Backoff{Initial: time.Second, Hold: 1, Max: time.Minute, Timeout: time.Second},
	}
	require.NoError(t, json.Unmarshal([]byte(`{
		"server_name": "file", "roots": ["file", "file"], "keep_alive": "2s",
		"backoff": {"initial": "2s", "hold": 2, "max": "2m"}
	}`), &s))
	t.Setenv("MOQ_SERVER_NAME", "variable")
	t.Setenv("MOQ_KEEP_ALIVE", "3s")
	t.Setenv("MOQ_BACKOFF_INITIAL", "3s")
	t.Setenv("MOQ_BACKOFF_HOLD", "3")
	t.Setenv("MOQ_ROOTS", "")
	fs := flagSet()
	require.NoError(t, s.RegisterFlags(fs))
	require.NoError(t, fs.Parse([]string{"-server-name=flag", "-backoff-initial=4s"}))
	require.Equal(t, Settings{
		ServerName: "flag", ClientKey: "program", KeepAlive: 3 * time.Second, Roots: []string{"file", "file"},
		Backoff: moq.Backoff{Initial: 4 * time.Second, Hold: 3, Max: 2 * time.Minute, Timeout: time.Second},
	}, s)
}

func TestVariablesBad(t *testing.T) {
	for _, test := range []struct{ variable, value, field string }{
		{"MOQ_URL", "https://%zz" + canary, "MOQ_URL"},
		{"MOQ_URL", canary, "MOQ_URL"},
		{"MOQ_VERSIONS", "moq-lite-99", "MOQ_VERSIONS"},
		{"MOQ_VERSIONS", "moq-lite-05,,moq-lite-06", "MOQ_VERSIONS"},
		{"MOQ_ROOTS", ",", "MOQ_ROOTS"},
		{"MOQ_FINGERPRINTS", "abc", "MOQ_FINGERPRINTS"},
		{"MOQ_INSECURE", "yes please", "MOQ_INSECURE"},
		{"MOQ_CONNECT_TIMEOUT", "5", "MOQ_CONNECT_TIMEOUT"},
		{"MOQ_KEEP_ALIVE", "soon", "MOQ_KEEP_ALIVE"},
		{"MOQ_IDLE_TIMEOUT", "-1s", "MOQ_IDLE_TIMEOUT"},
		{"MOQ_BACKOFF_INITIAL", "-1s", "MOQ_BACKOFF_INITIAL"},
		{"MOQ_BACKOFF_FOO", "1", "MOQ_BACKOFF_FOO"},
	} {
		t.Run(test.variable+"="+test.value, func(t *testing.T) {
			t.Setenv("MOQ_SERVER_NAME", "fine")
			t.Setenv(test.variable, test.value)
			s := Settings{KeepAlive: time.Second}
			fs := flagSet()
			requireBad(t, s.RegisterFlags(fs), test.field)
			require.Equal(t, Settings{KeepAlive: time.Second}, s, "unchanged")
			require.Nil(t, fs.Lookup("url"), "nothing was registered")
			require.Nil(t, fs.Lookup("backoff-initial"), "nothing was registered")
		})
	}
}

func TestVariablesForeign(t *testing.T) {
	t.Setenv("MOQ_LOG_LEVEL", "not ours")
	t.Setenv("MOQ_URLS", "not ours")
	var s Settings
	require.NoError(t, s.RegisterFlags(flagSet()))
	require.Equal(t, Settings{}, s)
}

func TestFlagsBadBefore(t *testing.T) {
	s := Settings{IdleTimeout: -1}
	requireBad(t, s.RegisterFlags(flagSet()), "IdleTimeout")
	s = Settings{Backoff: moq.Backoff{Multiplier: 0.5}}
	requireBad(t, s.RegisterFlags(flagSet()), "Backoff.Multiplier")
}

// A contradiction may be mended by a flag, and a file may be missing for one.
func TestFlagsMend(t *testing.T) {
	t.Setenv("MOQ_INSECURE", "1")
	t.Setenv("MOQ_ROOTS", "missing.pem")
	var s Settings
	fs := flagSet()
	require.NoError(t, s.RegisterFlags(fs))
	require.NoError(t, fs.Parse(nil))
	_, err := s.Config()
	requireBad(t, err, "Insecure")
	require.NoError(t, fs.Parse([]string{"-insecure=false"}))
	_, err = s.Config()
	requireBad(t, err, "Roots")
	require.NoError(t, fs.Parse([]string{"-roots="}))
	_, err = s.Config()
	require.NoError(t, err)
}

func TestFlagsHelp(t *testing.T) {
	s := every()
	s.Backoff = moq.Backoff{}
	fs := flagSet()
	require.NoError(t, s.RegisterFlags(fs))
	var help bytes.Buffer
	fs.SetOutput(&help)
	fs.PrintDefaults()
	for _, text := range []string{
		"-roots value", "(default a.pem,b.pem)", "(default moq-lite-05,moq-lite-06)", "-insecure\n", "DANGER", "(default 5s)",
	} {
		require.Contains(t, help.String(), text)
	}
}
