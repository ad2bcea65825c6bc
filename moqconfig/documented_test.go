package moqconfig

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// known are the flags that are registered, with variable, key and meaning, by the rules
// that the documents promise.
func known(t *testing.T) (all []*flag.Flag, variables, keys map[string]string) {
	t.Helper()
	var s Settings
	fs := flagSet()
	require.NoError(t, s.RegisterFlags(fs))
	variables, keys = make(map[string]string), make(map[string]string)
	fs.VisitAll(func(f *flag.Flag) {
		all = append(all, f)
		snake := strings.ReplaceAll(f.Name, "-", "_")
		variables[f.Name] = "MOQ_" + strings.ToUpper(snake)
		keys[f.Name] = snake
		if field, ok := strings.CutPrefix(snake, "backoff_"); ok {
			keys[f.Name] = "backoff." + field
		}
	})
	return all, variables, keys
}

// The variables and keys are those that are read.
func TestDocumentedNames(t *testing.T) {
	all, variables, keys := known(t)
	require.Len(t, all, 17)
	var s Settings
	for _, setting := range s.settings() {
		if setting.variable != "" {
			require.Equal(t, variables[setting.flag()], setting.variable)
			require.Equal(t, keys[setting.flag()], setting.key)
			require.NotEmpty(t, setting.usage)
		}
	}
	checked := map[string]string{"url": "https://relay", "versions": "moq-lite-05", "fingerprints": pin}
	for _, f := range all {
		value := cmp.Or(checked[f.Name], map[string]string{"0s": "7s", "0": "7", "false": "true", "": "x"}[f.DefValue])
		t.Run(f.Name, func(t *testing.T) {
			t.Setenv(variables[f.Name], value)
			var got Settings
			fs := flagSet()
			require.NoError(t, got.RegisterFlags(fs))
			require.NotEqual(t, Settings{}, got, "%s is read", variables[f.Name])
			require.NotEqual(t, fs.Lookup(f.Name).DefValue, f.DefValue)
			written, err := json.Marshal(got)
			require.NoError(t, err)
			key := keys[f.Name]
			if field, ok := strings.CutPrefix(key, "backoff."); ok {
				require.Contains(t, string(written), `{"backoff":{"`+field+`":`)
			} else {
				require.Contains(t, string(written), `{"`+key+`":`)
			}
		})
	}
}

// The tags for TOML name the same keys, and leave out what is zero.
func TestDocumentedTags(t *testing.T) {
	fields := reflect.TypeFor[Settings]()
	for i := range fields.NumField() {
		field := fields.Field(i)
		option := "omitempty"
		if field.Type == reflect.TypeFor[time.Duration]() {
			option = "omitzero"
		}
		require.Equal(t, field.Tag.Get("json")+","+option, field.Tag.Get("toml"))
	}
}

func TestPackageComment(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	all, variables, keys := known(t)
	require.Equal(t, len(all), strings.Count(string(text), "\n//\t-"))
	for _, f := range all {
		require.Contains(t, string(text), fmt.Sprintf("\n//\t%-22s  %-25s  %s\n", "-"+f.Name, variables[f.Name], keys[f.Name]))
	}
}

// docs/SETTINGS.md has a row for each flag, in the words of its usage text.
func TestDocument(t *testing.T) {
	text := document(t)
	all, variables, keys := known(t)
	require.Equal(t, len(all), strings.Count(text, "\n| `-"))
	for _, f := range all {
		require.Contains(t, text, fmt.Sprintf("\n| `-%s` | `%s` | `%s` | %s |\n", f.Name, variables[f.Name], keys[f.Name], f.Usage))
	}
}

// The examples of the document say the same in each form.
func TestDocumentExamples(t *testing.T) {
	var fromFile, fromFlags, fromVariables Settings
	require.NoError(t, json.Unmarshal([]byte(block(t, "json")), &fromFile))
	require.NotEqual(t, Settings{}, fromFile)

	fs := flagSet()
	require.NoError(t, fromFlags.RegisterFlags(fs))
	words := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(block(t, "sh"), "\\\n", " "), "'", ""))
	require.Equal(t, "program", words[0])
	require.NoError(t, fs.Parse(words[1:]))
	require.Zero(t, fs.NArg())
	require.Equal(t, fromFile, fromFlags)

	for line := range strings.Lines(block(t, "ini")) {
		name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		require.True(t, ok, line)
		t.Setenv(name, value)
	}
	require.NoError(t, fromVariables.RegisterFlags(flagSet()))
	require.Equal(t, fromFile, fromVariables)
}

func document(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../docs/SETTINGS.md")
	require.NoError(t, err)
	return string(text)
}

// block returns the one code block of the document in that language.
func block(t *testing.T, language string) string {
	t.Helper()
	parts := strings.Split(document(t), "\n```"+language+"\n")
	require.Len(t, parts, 2, language)
	inside, _, ok := strings.Cut(parts[1], "\n```\n")
	require.True(t, ok)
	return inside + "\n"
}
