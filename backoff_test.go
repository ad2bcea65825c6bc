package moq

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBackoffDefaults(t *testing.T) {
	standard := Backoff{Initial: time.Second, Hold: 1, Multiplier: 2, Max: 30 * time.Second, StableAfter: time.Second}
	with := func(change func(*Backoff)) Backoff {
		b := standard
		change(&b)
		return b
	}
	for _, test := range []struct {
		name string
		in   Backoff
		want Backoff
	}{
		{"zero", Backoff{}, standard},
		{"hold below one", Backoff{Hold: -3}, standard},
		{"floor", Backoff{Initial: 1, Max: 2, FirstTimeout: 3, Timeout: 4, StableAfter: 5}, Backoff{
			Initial: minDuration, Hold: 1, Multiplier: 2, Max: minDuration,
			FirstTimeout: minDuration, Timeout: minDuration, StableAfter: minDuration,
		}},
		{"at the floor", Backoff{Initial: minDuration, StableAfter: minDuration}, with(func(b *Backoff) {
			b.Initial, b.StableAfter = minDuration, minDuration
		})},
		{"max below the default initial", Backoff{Max: 200 * time.Millisecond}, with(func(b *Backoff) {
			b.Initial, b.Max = 200*time.Millisecond, 200*time.Millisecond
		})},
		{"initial above the default max", Backoff{Initial: time.Minute}, with(func(b *Backoff) {
			b.Initial, b.Max, b.StableAfter = time.Minute, time.Minute, time.Minute
		})},
		{"stable after follows initial", Backoff{Initial: 5 * time.Second}, with(func(b *Backoff) {
			b.Initial, b.StableAfter = 5*time.Second, 5*time.Second
		})},
		{"stable after is a second at least", Backoff{Initial: 100 * time.Millisecond}, with(func(b *Backoff) {
			b.Initial = 100 * time.Millisecond
		})},
		{"first timeout follows timeout", Backoff{Timeout: time.Hour}, with(func(b *Backoff) {
			b.FirstTimeout, b.Timeout = time.Hour, time.Hour
		})},
		{"negative stays off", Backoff{FirstTimeout: -1, Timeout: time.Hour, StableAfter: -1}, with(func(b *Backoff) {
			b.FirstTimeout, b.Timeout, b.StableAfter = -1, time.Hour, -1
		})},
	} {
		t.Run(test.name, func(t *testing.T) {
			require.NoError(t, test.in.validate())
			got := test.in.withDefaults()
			require.Equal(t, test.want, got)
			require.Equal(t, got, got.withDefaults(), "filled twice")
		})
	}
}

func TestBackoffValidate(t *testing.T) {
	for _, test := range []struct {
		name  string
		in    Backoff
		field string
	}{
		{"negative initial", Backoff{Initial: -1}, "Backoff.Initial"},
		{"negative max", Backoff{Max: -time.Second}, "Backoff.Max"},
		{"max below initial", Backoff{Initial: 2 * time.Second, Max: time.Second}, "Backoff.Max"},
		{"max below initial, both below the floor", Backoff{Initial: 2, Max: 1}, "Backoff.Max"},
		{"shrinking", Backoff{Multiplier: 0.999}, "Backoff.Multiplier"},
		{"negative multiplier", Backoff{Multiplier: -2}, "Backoff.Multiplier"},
		{"not a number", Backoff{Multiplier: math.NaN()}, "Backoff.Multiplier"},
		{"infinite", Backoff{Multiplier: math.Inf(1)}, "Backoff.Multiplier"},
		{"minus infinity", Backoff{Multiplier: math.Inf(-1)}, "Backoff.Multiplier"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bad, ok := errors.AsType[*ConfigError](test.in.validate())
			require.True(t, ok)
			require.Equal(t, test.field, bad.Field)
			require.ErrorContains(t, bad, test.field)
		})
	}
	for _, good := range []Backoff{
		{},
		{Multiplier: 1},
		{Multiplier: math.MaxFloat64},
		{Initial: time.Second, Max: time.Second},
		{FirstTimeout: -1, Timeout: -1, StableAfter: -1, Hold: -1},
	} {
		require.NoError(t, good.validate(), "%+v", good)
	}
}
