package moq

import (
	"encoding/json"
	"errors"
	"flag"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// every has a value of its own in every field.
var every = Backoff{
	Initial: 2 * time.Second, Hold: 7, Multiplier: 1.5, Max: time.Minute,
	FirstTimeout: -1, Timeout: 10 * time.Minute, StableAfter: 1500 * time.Millisecond,
}

// forms are policies as they are written, and read back.
var forms = []struct {
	name       string
	policy     Backoff
	text, json string
}{
	{"zero", Backoff{}, ``, `{}`},
	{"eager", Eager(), `eager`, `{"initial":"1s","hold":9,"multiplier":2,"max":"5s"}`},
	{"gentle", Gentle(), `gentle`, `{"initial":"5s","multiplier":1,"max":"5s"}`},
	{
		"every field", every,
		`initial=2s,hold=7,multiplier=1.5,max=1m0s,first_timeout=-1ns,timeout=10m0s,stable_after=1.5s`,
		`{"initial":"2s","hold":7,"multiplier":1.5,"max":"1m0s","first_timeout":"-1ns","timeout":"10m0s","stable_after":"1.5s"}`,
	},
	{"one field", Backoff{Max: time.Hour}, `max=1h0m0s`, `{"max":"1h0m0s"}`},
	{"almost eager", Backoff{Initial: time.Second, Hold: 9, Max: 5 * time.Second}, `initial=1s,hold=9,max=5s`, `{"initial":"1s","hold":9,"max":"5s"}`},
	{"a large factor", Backoff{Multiplier: 1e300}, `multiplier=1e+300`, `{"multiplier":1e+300}`},
	{"the longest", Backoff{Timeout: math.MaxInt64, Hold: math.MinInt}, `hold=-9223372036854775808,timeout=2562047h47m16.854775807s`, `{"hold":-9223372036854775808,"timeout":"2562047h47m16.854775807s"}`},
	{"microseconds", Backoff{Initial: 1500 * time.Nanosecond}, `initial=1.5µs`, `{"initial":"1.5µs"}`},
}

func TestBackoffForms(t *testing.T) {
	for _, test := range forms {
		t.Run(test.name, func(t *testing.T) {
			text, err := test.policy.MarshalText()
			require.NoError(t, err)
			require.Equal(t, test.text, string(text))
			got := every // all of which the text replaces
			require.NoError(t, got.UnmarshalText(text))
			require.Equal(t, test.policy, got)

			object, err := json.Marshal(test.policy)
			require.NoError(t, err)
			require.Equal(t, test.json, string(object))
			got = Backoff{}
			require.NoError(t, json.Unmarshal(object, &got))
			require.Equal(t, test.policy, got)
		})
	}
}

func TestBackoffUnmarshalText(t *testing.T) {
	for text, want := range map[string]Backoff{
		" ":                                 {},
		"\tgentle\n":                        Gentle(),
		" initial = 1s , hold = 7 ":         {Initial: time.Second, Hold: 7},
		"timeout=10m,max=3s":                {Timeout: 10 * time.Minute, Max: 3 * time.Second},
		"initial=0,hold=0":                  {},
		"eager,timeout=10m":                 {Initial: time.Second, Hold: 9, Multiplier: 2, Max: 5 * time.Second, Timeout: 10 * time.Minute},
		"gentle, max=0s, hold=2":            {Initial: 5 * time.Second, Multiplier: 1, Hold: 2},
		"initial=7s,max=8s,multiplier=1.25": {Initial: 7 * time.Second, Max: 8 * time.Second, Multiplier: 1.25},
	} {
		got := every
		require.NoError(t, got.UnmarshalText([]byte(text)), "%q", text)
		require.Equal(t, want, got, "%q", text)
	}
}

// requireUnusable asserts that err names the field, and says what.
func requireUnusable(t *testing.T, err error, field, what string) {
	t.Helper()
	bad, ok := errors.AsType[*ConfigError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, field, bad.Field)
	require.ErrorContains(t, bad, what)
}

func TestBackoffUnmarshalTextBad(t *testing.T) {
	for _, test := range []struct{ text, field, what string }{
		{"eagre", "Backoff", `no policy is named "eagre"`},
		{"Eager", "Backoff", `"Eager"`},
		{"5s", "Backoff", `"5s"`},
		{"eager,gentle", "Backoff", `"gentle" is not of the form name=value`},
		{"initial=1s,eager", "Backoff", `"eager"`},
		{"initial=1s,", "Backoff", `""`},
		{",initial=1s", "Backoff", `""`},
		{"=1s", "Backoff", `no field is named ""`},
		{"jitter=1", "Backoff", `no field is named "jitter"`},
		{"Initial=1s", "Backoff", `"Initial"`},
		{"first-timeout=1s", "Backoff", `"first-timeout"`},
		{"hold=1,hold=1", "Backoff", `"hold" stands there twice`},
		{"initial=1", "Backoff.Initial", `missing unit`},
		{"initial=", "Backoff.Initial", `invalid duration`},
		{"initial=1s=2s", "Backoff.Initial", `"1s=2s"`},
		{"max=300y", "Backoff.Max", `unknown unit`},
		{"timeout=9999999h", "Backoff.Timeout", `invalid duration`},
		{"hold=seven", "Backoff.Hold", `"seven"`},
		{"hold=1.5", "Backoff.Hold", `"1.5"`},
		{"hold=99999999999999999999", "Backoff.Hold", `out of range`},
		{"multiplier=two", "Backoff.Multiplier", `"two"`},
		{"multiplier=1e999", "Backoff.Multiplier", `out of range`},
		{"multiplier=NaN", "Backoff.Multiplier", `NaN`},
		{"multiplier=0.5", "Backoff.Multiplier", `less than 1`},
		{"initial=-1s", "Backoff.Initial", `negative`},
		{"initial=3s,max=2s", "Backoff.Max", `less than Initial`},
		{"eager,initial=6s", "Backoff.Max", `less than Initial`},
	} {
		t.Run(test.text, func(t *testing.T) {
			b := every
			requireUnusable(t, b.UnmarshalText([]byte(test.text)), test.field, test.what)
			require.Equal(t, every, b, "unchanged")

			quoted, err := json.Marshal(test.text)
			require.NoError(t, err)
			requireUnusable(t, json.Unmarshal(quoted, &b), test.field, test.what)
			require.Equal(t, every, b, "unchanged")
		})
	}
}

func TestBackoffUnmarshalJSON(t *testing.T) {
	changed := func(change func(*Backoff)) Backoff {
		b := every
		change(&b)
		return b
	}
	for text, want := range map[string]Backoff{
		`"eager"`:                              Eager(),
		`"gentle"`:                             Gentle(),
		`"gentle,timeout=1h"`:                  {Initial: 5 * time.Second, Multiplier: 1, Max: 5 * time.Second, Timeout: time.Hour},
		`""`:                                   {},
		`null`:                                 every,
		`{}`:                                   every,
		`{"hold":3}`:                           changed(func(b *Backoff) { b.Hold = 3 }),
		`{"timeout":"0s","multiplier":3.25e0}`: changed(func(b *Backoff) { b.Timeout, b.Multiplier = 0, 3.25 }),
		`{"max":"1h", "initial":"2m"}`:         changed(func(b *Backoff) { b.Initial, b.Max = 2*time.Minute, time.Hour }),
	} {
		got := every
		require.NoError(t, json.Unmarshal([]byte(text), &got), text)
		require.Equal(t, want, got, text)
	}
}

func TestBackoffUnmarshalJSONBad(t *testing.T) {
	for _, test := range []struct{ json, field, what string }{
		{`5`, "Backoff", `neither a table of fields nor a string`},
		{`true`, "Backoff", `neither`},
		{`["eager"]`, "Backoff", `neither`},
		{`{"jitter":1}`, "Backoff", `no field is named "jitter"`},
		{`{"Initial":"1s"}`, "Backoff", `"Initial"`},
		{`{"b":1,"a":1}`, "Backoff", `"a"`}, // the same one each time
		{`{"initial":1}`, "Backoff.Initial", `1 has no unit`},
		{`{"initial":"1"}`, "Backoff.Initial", `missing unit`},
		{`{"first_timeout":null}`, "Backoff.FirstTimeout", `neither a string nor a number`},
		{`{"timeout":{}}`, "Backoff.Timeout", `neither`},
		{`{"hold":"7"}`, "Backoff.Hold", `without quotes`},
		{`{"hold":7.5}`, "Backoff.Hold", `"7.5"`},
		{`{"hold":1e30}`, "Backoff.Hold", `"1e30"`},
		{`{"multiplier":"2"}`, "Backoff.Multiplier", `without quotes`},
		{`{"multiplier":true}`, "Backoff.Multiplier", `neither`},
		{`{"multiplier":1e999}`, "Backoff.Multiplier", `out of range`},
		{`{"multiplier":0.1}`, "Backoff.Multiplier", `less than 1`},
		{`{"stable_after":[1]}`, "Backoff.StableAfter", `neither`},
		{`{"max":"1s"}`, "Backoff.Max", `less than Initial`}, // with what stood there before
	} {
		t.Run(test.json, func(t *testing.T) {
			b := every
			requireUnusable(t, json.Unmarshal([]byte(test.json), &b), test.field, test.what)
			require.Equal(t, every, b, "unchanged")

			var settings struct{ Backoff Backoff }
			err := json.Unmarshal([]byte(`{"Backoff":`+test.json+`}`), &settings)
			if test.json != `{"max":"1s"}` { // alone it is good
				requireUnusable(t, err, test.field, test.what)
			}
			require.Zero(t, settings.Backoff.Initial)
		})
	}
	var b Backoff
	requireUnusable(t, b.UnmarshalJSON([]byte(`{"initial"`)), "Backoff", "unexpected EOF")
}

// What cannot be used is not written: nobody could read it back.
func TestBackoffMarshalBad(t *testing.T) {
	for _, b := range []Backoff{{Multiplier: math.NaN()}, {Multiplier: math.Inf(1)}, {Multiplier: 0.5}} {
		_, err := b.MarshalText()
		requireUnusable(t, err, "Backoff.Multiplier", "")
		_, err = json.Marshal(b)
		requireUnusable(t, err, "Backoff.Multiplier", "")
	}
}

// The text form is a flag of its own, for programs that want one instead of six.
func TestBackoffTextVar(t *testing.T) {
	var b Backoff
	fs := flagSet()
	fs.TextVar(&b, "backoff", Gentle(), "policy")
	require.Equal(t, "gentle", fs.Lookup("backoff").DefValue)
	require.NoError(t, fs.Parse(nil))
	require.Equal(t, Gentle(), b)
	require.NoError(t, fs.Parse([]string{"-backoff=eager,timeout=1h"}))
	require.Equal(t, Backoff{Initial: time.Second, Hold: 9, Multiplier: 2, Max: 5 * time.Second, Timeout: time.Hour}, b)
	err := fs.Parse([]string{"-backoff=hold=x"})
	require.NotErrorIs(t, err, flag.ErrHelp)
	require.ErrorContains(t, err, "Backoff.Hold")
}

// Whatever is read is usable, is written, and is read back as the same.
func FuzzBackoffText(f *testing.F) {
	for _, form := range forms {
		f.Add(form.text, form.json)
	}
	f.Add("eager,hold=2", `"gentle"`)
	f.Add(",", `{"initial":null}`)
	f.Fuzz(func(t *testing.T, text, object string) {
		var read, again Backoff
		if err := read.UnmarshalText([]byte(text)); err == nil {
			require.NoError(t, read.validate())
			written, err := read.MarshalText()
			require.NoError(t, err)
			require.NoError(t, again.UnmarshalText(written), "%s", written)
			require.Equal(t, read, again)
		} else {
			bad, ok := errors.AsType[*ConfigError](err)
			require.True(t, ok, "%v", err)
			require.True(t, strings.HasPrefix(bad.Field, "Backoff"), "%v", err)
			require.Zero(t, read)
		}
		read, again = Backoff{}, Backoff{}
		if err := json.Unmarshal([]byte(object), &read); err == nil {
			written, err := json.Marshal(read)
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(written, &again), "%s", written)
			require.Equal(t, read, again)
		}
	})
}
