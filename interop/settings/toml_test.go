package settings

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/BurntSushi/toml"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
)

const fullTable = `
url = "https://relay.example.com"
[backoff]
initial = "2s"
hold = 7
multiplier = 1.5
max = "1m"
first_timeout = "10s"
timeout = "-1s"
stable_after = "3s"
`

func TestTOML(t *testing.T) {
	for name, test := range map[string]struct {
		toml string
		want moq.Backoff
	}{
		"none":          {`url = "x"`, moq.Backoff{}},
		"table":         {fullTable, full},
		"empty table":   {`[backoff]`, moq.Backoff{}},
		"inline table":  {`backoff = { max = "5s", multiplier = 2 }`, moq.Backoff{Max: 5 * time.Second, Multiplier: 2}},
		"dotted keys":   {"backoff.hold = 3\nbackoff.initial = '50ms'", moq.Backoff{Hold: 3, Initial: 50 * time.Millisecond}},
		"eager":         {`backoff = "eager"`, moq.Eager()},
		"gentle":        {`backoff = "gentle"`, moq.Gentle()},
		"text":          {`backoff = "initial=1s,timeout=10m"`, moq.Backoff{Initial: time.Second, Timeout: 10 * time.Minute}},
		"preset and so": {`backoff = "gentle,timeout=10m"`, moq.Backoff{Initial: 5 * time.Second, Multiplier: 1, Max: 5 * time.Second, Timeout: 10 * time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			var got file
			meta, err := toml.Decode(test.toml, &got)
			require.NoError(t, err)
			require.Equal(t, test.want, got.Backoff)
			// Programs refuse what nobody has read; nothing of ours must be among it.
			require.Empty(t, meta.Undecoded())
			requireUsable(t, got.Backoff)
		})
	}
}

// A table changes what it names, so that a program can have defaults of its own.
func TestTOMLOverDefaults(t *testing.T) {
	got := file{Backoff: moq.Eager()}
	_, err := toml.Decode("[backoff]\ntimeout = '10m'", &got)
	require.NoError(t, err)
	want := moq.Eager()
	want.Timeout = 10 * time.Minute
	require.Equal(t, want, got.Backoff)
}

func TestTOMLPointer(t *testing.T) {
	var got struct{ Backoff *moq.Backoff }
	_, err := toml.Decode(`url = "x"`, &got)
	require.NoError(t, err)
	require.Nil(t, got.Backoff)
	_, err = toml.Decode(`backoff.hold = 2`, &got)
	require.NoError(t, err)
	require.Equal(t, &moq.Backoff{Hold: 2}, got.Backoff)
}

func TestTOMLBad(t *testing.T) {
	for _, test := range []struct {
		toml  string
		field string
		what  string
		line  int // 0: the package knows none for a table that only its children name
	}{
		{"\nbackoff = 'eagre'", "Backoff", "eagre", 2},
		{"backoff = 5", "Backoff", "neither", 1},
		{"backoff = ['eager']", "Backoff", "neither", 1},
		{"[[backoff]]\nhold = 1", "Backoff", "neither", 1},
		{"url = 'x'\n[backoff]\njitter = 1", "Backoff", "jitter", 2},
		{"[backoff]\nInitial = '1s'", "Backoff", "Initial", 1},
		{"[backoff]\ninitial = 1", "Backoff.Initial", "no unit", 1},
		{"[backoff]\ninitial = 2026-01-02", "Backoff.Initial", "neither", 1},
		{"[backoff]\nmax = 'soon'", "Backoff.Max", "soon", 1},
		{"[backoff]\nhold = '7'", "Backoff.Hold", "without quotes", 1},
		{"[backoff]\nhold = 7.5", "Backoff.Hold", "7.5", 1},
		{"[backoff]\nmultiplier = nan", "Backoff.Multiplier", "NaN", 1},
		{"[backoff]\nmultiplier = inf", "Backoff.Multiplier", "Inf", 1},
		{"[backoff]\nmultiplier = 0.5", "Backoff.Multiplier", "less than 1", 1},
		{"[backoff]\ntimeout = true", "Backoff.Timeout", "neither", 1},
		{"[backoff.timeout]\nafter = '1s'", "Backoff.Timeout", "neither", 0},
		{"[backoff]\ninitial = '3s'\nmax = '2s'", "Backoff.Max", "less than Initial", 1},
	} {
		t.Run(test.toml, func(t *testing.T) {
			got := file{Backoff: full}
			_, err := toml.Decode(test.toml, &got)
			// The package keeps the text of our error, but does not unwrap to it.
			require.ErrorContains(t, err, "moq: "+test.field+": ")
			require.ErrorContains(t, err, test.what)
			at, ok := errors.AsType[toml.ParseError](err)
			require.True(t, ok)
			require.Equal(t, "backoff", at.LastKey)
			require.Equal(t, test.line, at.Position.Line)
			require.Equal(t, full, got.Backoff, "unchanged")
		})
	}
}

func TestTOMLWritten(t *testing.T) {
	for want, policy := range map[string]moq.Backoff{
		"eager":  moq.Eager(),
		"gentle": moq.Gentle(),
		"initial=2s,hold=7,multiplier=1.5,max=1m0s,first_timeout=10s,timeout=-1s,stable_after=3s": full,
	} {
		var written strings.Builder
		require.NoError(t, toml.NewEncoder(&written).Encode(file{Backoff: policy}))
		require.Equal(t, "url = \"\"\nbackoff = \""+want+"\"\n", written.String())
		var got file
		_, err := toml.Decode(written.String(), &got)
		require.NoError(t, err)
		require.Equal(t, policy, got.Backoff)
	}
	var written strings.Builder
	require.NoError(t, toml.NewEncoder(&written).Encode(file{}))
	require.Equal(t, "url = \"\"\n", written.String(), "a zero policy is left out")
}
