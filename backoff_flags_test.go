package moq

import (
	"errors"
	"flag"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func flagSet() *flag.FlagSet {
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return fs
}

func TestBackoffFlags(t *testing.T) {
	var b Backoff
	fs := flagSet()
	require.NoError(t, b.RegisterFlags(fs))
	require.NoError(t, fs.Parse([]string{
		"-backoff-initial=2s", "-backoff-hold=7", "-backoff-max=1m", "-backoff-multiplier=1.5",
		"-backoff-first-timeout=10s", "-backoff-timeout=-1s",
	}))
	require.Equal(t, Backoff{
		Initial: 2 * time.Second, Hold: 7, Max: time.Minute, Multiplier: 1.5,
		FirstTimeout: 10 * time.Second, Timeout: -time.Second,
	}, b)
	require.Error(t, fs.Parse([]string{"-backoff-initial=2"}), "no unit")
}

func TestBackoffVariables(t *testing.T) {
	for name, value := range map[string]string{
		"MOQ_BACKOFF_INITIAL": "2s", "MOQ_BACKOFF_HOLD": "3", "MOQ_BACKOFF_MAX": "5m", "MOQ_BACKOFF_MULTIPLIER": "4",
		"MOQ_BACKOFF_FIRST_TIMEOUT": "1h", "MOQ_BACKOFF_TIMEOUT": "2h",
	} {
		t.Setenv(name, value)
	}
	b := Backoff{Initial: time.Hour, StableAfter: time.Minute}
	fs := flagSet()
	require.NoError(t, b.RegisterFlags(fs))
	want := Backoff{
		Initial: 2 * time.Second, Hold: 3, Max: 5 * time.Minute, Multiplier: 4,
		FirstTimeout: time.Hour, Timeout: 2 * time.Hour, StableAfter: time.Minute,
	}
	require.NoError(t, fs.Parse(nil))
	require.Equal(t, want, b)

	require.NoError(t, fs.Parse([]string{"-backoff-hold=1", "-backoff-max=3m"}))
	want.Hold, want.Max = 1, 3*time.Minute
	require.Equal(t, want, b, "a flag beats its variable")
}

func TestBackoffVariablesEmptyAndForeign(t *testing.T) {
	t.Setenv("MOQ_BACKOFF_INITIAL", "")
	t.Setenv("MOQ_BACKOF", "not ours")
	t.Setenv("XMOQ_BACKOFF_INITIAL", "not ours")
	b := Backoff{Initial: 3 * time.Second}
	fs := flagSet()
	require.NoError(t, b.RegisterFlags(fs))
	require.NoError(t, fs.Parse(nil))
	require.Equal(t, Backoff{Initial: 3 * time.Second}, b)
}

func TestBackoffVariablesBad(t *testing.T) {
	for _, test := range []struct{ variable, value, field string }{
		{"MOQ_BACKOFF_INITIAL", "2", "MOQ_BACKOFF_INITIAL"},
		{"MOQ_BACKOFF_INITIAL", "-2s", "MOQ_BACKOFF_INITIAL"},
		{"MOQ_BACKOFF_HOLD", "seven", "MOQ_BACKOFF_HOLD"},
		{"MOQ_BACKOFF_MAX", "1s", "MOQ_BACKOFF_MAX"}, // less than what b holds for Initial
		{"MOQ_BACKOFF_MULTIPLIER", "0.5", "MOQ_BACKOFF_MULTIPLIER"},
		{"MOQ_BACKOFF_MULTIPLIER", "NaN", "MOQ_BACKOFF_MULTIPLIER"},
		{"MOQ_BACKOFF_FIRST_TIMEOUT", "soon", "MOQ_BACKOFF_FIRST_TIMEOUT"},
		{"MOQ_BACKOFF_TIMEOUT", "", ""}, // an empty one is none
		{"MOQ_BACKOFF_JITTER", "1", "MOQ_BACKOFF_JITTER"},
		{"MOQ_BACKOFF_", "", "MOQ_BACKOFF_"},
	} {
		t.Run(test.variable+"="+test.value, func(t *testing.T) {
			t.Setenv(test.variable, test.value)
			b := Backoff{Initial: 10 * time.Second}
			fs := flagSet()
			err := b.RegisterFlags(fs)
			if test.field == "" {
				require.NoError(t, err)
				return
			}
			bad, ok := errors.AsType[*ConfigError](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, test.field, bad.Field)
			require.Equal(t, Backoff{Initial: 10 * time.Second}, b, "unchanged")
			require.Nil(t, fs.Lookup("backoff-initial"), "nothing was registered")
		})
	}
}

func TestBackoffFlagsBadBefore(t *testing.T) {
	b := Backoff{Multiplier: 0.1}
	bad, ok := errors.AsType[*ConfigError](b.RegisterFlags(flagSet()))
	require.True(t, ok)
	require.Equal(t, "Backoff.Multiplier", bad.Field)
}
