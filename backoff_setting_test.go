package moq

import (
	"encoding/json"
	"flag"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The names that people write into files, flags and environments. They are promised,
// so they stand here once more.
func TestBackoffSettings(t *testing.T) {
	type names struct{ key, field, variable string }
	var got []names
	var b Backoff
	for _, s := range b.settings() {
		got = append(got, names{s.key, s.field, s.variable})
		require.Equal(t, s.variable == "", s.usage == "", s.key)
	}
	require.Equal(t, []names{
		{"initial", "Initial", "MOQ_BACKOFF_INITIAL"},
		{"hold", "Hold", "MOQ_BACKOFF_HOLD"},
		{"multiplier", "Multiplier", "MOQ_BACKOFF_MULTIPLIER"},
		{"max", "Max", "MOQ_BACKOFF_MAX"},
		{"first_timeout", "FirstTimeout", "MOQ_BACKOFF_FIRST_TIMEOUT"},
		{"timeout", "Timeout", "MOQ_BACKOFF_TIMEOUT"},
		{"stable_after", "StableAfter", ""},
	}, got)

	fs := flagSet()
	require.NoError(t, b.RegisterFlags(fs))
	var flags []string
	fs.VisitAll(func(f *flag.Flag) {
		flags = append(flags, f.Name)
		require.NotEmpty(t, f.Usage)
	})
	require.Equal(t, []string{
		"backoff-first-timeout", "backoff-hold", "backoff-initial", "backoff-max", "backoff-multiplier", "backoff-timeout",
	}, flags)
}

// Each field can be written as text and read back, and no two are the same one.
func TestBackoffSettingsReach(t *testing.T) {
	for i, s := range new(Backoff).settings() {
		var b Backoff
		target := b.settings()[i]
		require.Empty(t, target.text(), "zero")
		text := "3"
		if target.isDuration() {
			text = "3s"
		}
		require.NoError(t, target.parse(text))
		require.Equal(t, text, target.text())
		value := reflect.ValueOf(b)
		for j := range value.NumField() {
			require.Equal(t, i != j, value.Field(j).IsZero(), "%s set %s", s.key, value.Type().Field(j).Name)
		}
	}
}

func TestBackoffSettingAssign(t *testing.T) {
	var b Backoff
	settings := make(map[string]setting)
	for _, s := range b.settings() {
		settings[s.key] = s
	}
	for _, good := range []struct {
		key   string
		value any
	}{
		{"initial", "2s"},
		{"hold", int64(4)},
		{"multiplier", int64(3)},
		{"multiplier", 2.5},
		{"max", "1m"},
		{"timeout", "-1s"},
		{"hold", json.Number("5")},
	} {
		require.NoError(t, settings[good.key].assign(good.value), "%+v", good)
	}
	require.Equal(t, Backoff{Initial: 2 * time.Second, Hold: 5, Multiplier: 2.5, Max: time.Minute, Timeout: -time.Second}, b)

	for _, bad := range []struct {
		key   string
		value any
		what  string
	}{
		{"initial", int64(2), "2 has no unit"},
		{"initial", 2.5, "2.5 has no unit"},
		{"initial", true, "true is neither a string nor a number"},
		{"initial", time.Unix(0, 0), "neither"},
		{"initial", nil, "neither"},
		{"hold", "4", "without quotes"},
		{"hold", 4.5, `"4.5"`},
		{"multiplier", "4", "without quotes"},
		{"multiplier", []any{int64(1)}, "neither"},
	} {
		require.ErrorContains(t, settings[bad.key].assign(bad.value), bad.what, "%+v", bad)
	}
}
