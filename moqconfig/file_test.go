package moqconfig

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

var everyJSON = `{"url":"` + secretURL + `","versions":["moq-lite-05","moq-lite-06"],"server_name":"relay",` +
	`"roots":["a.pem","b.pem"],"fingerprints":["` + pin + `","` + pin + `"],"insecure":true,` +
	`"client_certificate":"c.pem","client_key":"k.pem",` +
	`"connect_timeout":"5s","keep_alive":"-1s","idle_timeout":"1m0s","backoff":{"initial":"2s","hold":7}}`

func TestJSON(t *testing.T) {
	var s Settings
	require.NoError(t, json.Unmarshal([]byte(everyJSON), &s))
	require.Equal(t, every(), s)

	written, err := json.Marshal(s)
	require.NoError(t, err)
	var again Settings
	require.NoError(t, json.Unmarshal(written, &again))
	require.Equal(t, "https://relay.example.com:443", again.URL.Reveal(), "all that was written of it")
	again.URL = s.URL
	require.Equal(t, s, again)
	require.Equal(t, len(everyJSON)-len(secretURL)+len(s.URL.String()), len(written), "the same but for the URL")
}

func TestJSONZero(t *testing.T) {
	written, err := json.Marshal(Settings{Roots: []string{}})
	require.NoError(t, err)
	require.Equal(t, `{}`, string(written))
	s := every()
	for _, nothing := range []string{`{}`, `null`} {
		require.NoError(t, json.Unmarshal([]byte(nothing), &s))
		require.Equal(t, every(), s, "what is not named stays")
	}
	require.NoError(t, json.Unmarshal([]byte(`{"url":"","versions":[],"insecure":false,"keep_alive":"0s","backoff":"gentle"}`), &s))
	want := every()
	want.URL, want.Versions, want.Insecure, want.KeepAlive, want.Backoff = URL{}, nil, false, 0, moq.Gentle()
	require.Equal(t, want, s)
	_, err = json.Marshal(Settings{Backoff: moq.Backoff{Max: -1}})
	requireBad(t, err, "Backoff.Max")
}

func TestJSONBad(t *testing.T) {
	for text, field := range map[string]string{
		`[]`:                                       "Settings",
		`"` + canary + `"`:                         "Settings",
		`{"URL":"` + canary + `"}`:                 "Settings", // keys are exact
		`{"token":"` + canary + `"}`:               "Settings",
		`{"url":["` + canary + `"]}`:               "URL",
		`{"url":null}`:                             "URL",
		`{"server_name":5}`:                        "ServerName",
		`{"versions":"moq-lite-05"}`:               "Versions",
		`{"roots":["a",5]}`:                        "Roots",
		`{"fingerprints":{}}`:                      "Fingerprints",
		`{"insecure":"true"}`:                      "Insecure",
		`{"insecure":1}`:                           "Insecure",
		`{"connect_timeout":5}`:                    "ConnectTimeout",
		`{"connect_timeout":"5"}`:                  "ConnectTimeout",
		`{"idle_timeout":true}`:                    "IdleTimeout",
		`{"backoff":{"foo":1}}`:                    "Backoff",
		`{"backoff":{"initial":1}}`:                "Backoff.Initial",
		`{"server_name":"x","backoff":{"max":-1}}`: "Backoff.Max",
	} {
		s := every()
		requireBad(t, json.Unmarshal([]byte(text), &s), field)
		require.Equal(t, every(), s, "unchanged: %s", text)
	}
	var s Settings
	requireBad(t, s.UnmarshalJSON([]byte(`{"url":`)), "Settings")
}

// What UnmarshalTOML is given has other types than JSON's.
func TestTOMLValues(t *testing.T) {
	var s Settings
	require.NoError(t, s.UnmarshalTOML(map[string]any{
		"url": secretURL, "versions": []any{"moq-lite-05"}, "insecure": true, "keep_alive": "1s",
		"backoff": map[string]any{"hold": int64(3)},
	}))
	require.Equal(t, Settings{
		URL: NewURL(secretURL), Versions: []moq.Version{moq.Lite05}, Insecure: true, KeepAlive: time.Second, Backoff: moq.Backoff{Hold: 3},
	}, s)
	requireBad(t, s.UnmarshalTOML(map[string]any{"keep_alive": int64(3)}), "KeepAlive")
	requireBad(t, s.UnmarshalTOML([]map[string]any{}), "Settings")
}
