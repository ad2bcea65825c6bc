package settings

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

// full has a value of its own in every field, all of them unlike the defaults.
var full = moq.Backoff{
	Initial: 2 * time.Second, Hold: 7, Multiplier: 1.5, Max: time.Minute,
	FirstTimeout: 10 * time.Second, Timeout: -time.Second, StableAfter: 3 * time.Second,
}

// file is what a program reads from its file.
type file struct {
	URL     string      `json:"url" toml:"url"`
	Backoff moq.Backoff `json:"backoff,omitzero" toml:"backoff,omitempty"`
}

// requireUsable asserts that a client can be made with b.
func requireUsable(t *testing.T, b moq.Backoff) {
	t.Helper()
	client, err := moq.NewClient(moq.Config{Backoff: b})
	require.NoError(t, err)
	require.NoError(t, client.Close())
}

// requireBad asserts that err is a bad setting that names the field.
func requireBad(t *testing.T, err error, field string) {
	t.Helper()
	bad, ok := errors.AsType[*moq.ConfigError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, field, bad.Field)
	require.ErrorContains(t, err, field)
}
