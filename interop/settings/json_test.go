package settings

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

const fullObject = `{"initial":"2s","hold":7,"multiplier":1.5,"max":"1m0s","first_timeout":"10s","timeout":"-1s","stable_after":"3s"}`

func TestJSON(t *testing.T) {
	for text, want := range map[string]file{
		`{"url":"","backoff":` + fullObject + `}`:                                  {Backoff: full},
		`{"url":"","backoff":{"initial":"1s","hold":9,"multiplier":2,"max":"5s"}}`: {Backoff: moq.Eager()},
		`{"url":"x"}`: {URL: "x"},
	} {
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		var got file
		require.NoError(t, decoder.Decode(&got))
		require.Equal(t, want, got)
		requireUsable(t, got.Backoff)
		written, err := json.Marshal(got)
		require.NoError(t, err)
		require.Equal(t, text, string(written))
	}
	var got file
	require.NoError(t, json.Unmarshal([]byte(`{"backoff":"gentle"}`), &got))
	require.Equal(t, moq.Gentle(), got.Backoff)
}

func TestJSONBad(t *testing.T) {
	for text, field := range map[string]string{
		`{"backoff":{"initial":1}}`:         "Backoff.Initial",
		`{"backoff":{"multiplier":0.5}}`:    "Backoff.Multiplier",
		`{"backoff":{"firstTimeout":"1s"}}`: "Backoff",
		`{"backoff":"eagre"}`:               "Backoff",
		`{"backoff":[]}`:                    "Backoff",
	} {
		got := file{Backoff: full}
		requireBad(t, json.Unmarshal([]byte(text), &got), field)
		require.Equal(t, full, got.Backoff, "unchanged")
	}
}
