package moqconfig

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/remoq/moq"
)

// MarshalJSON writes an object of the fields that are not zero, with durations as in
// "1s". Of the URL it writes scheme, host and port only. A field of Backoff that cannot
// be used is a *[moq.ConfigError] that names it.
func (s Settings) MarshalJSON() ([]byte, error) {
	fields := []byte{'{'}
	for _, setting := range s.settings() {
		value, err := setting.json()
		if err != nil {
			return nil, setting.bad(err)
		}
		if value == nil {
			continue
		}
		if len(fields) > 1 {
			fields = append(fields, ',')
		}
		fields = append(strconv.AppendQuote(fields, setting.key), ':')
		fields = append(fields, value...)
	}
	return append(fields, '}'), nil
}

// UnmarshalJSON reads an object with the keys that the package comment lists. Fields
// that it does not name stay as they are, so that a program can have defaults of its
// own. What is of the wrong type, or not known, is a *[moq.ConfigError] that names it;
// then s is unchanged. Config tells the rest.
func (s *Settings) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return unusable(err)
	}
	if value == nil {
		return nil // as encoding/json wants it
	}
	return s.assign(value)
}

// UnmarshalTOML does for a TOML table, or a whole document, what UnmarshalJSON does for
// an object. Package github.com/BurntSushi/toml calls it. The same package writes
// Settings by their tags, with no more of the URL than MarshalJSON.
func (s *Settings) UnmarshalTOML(value any) error { return s.assign(value) }

// assign sets s to a decoded value.
func (s *Settings) assign(value any) error {
	object, err := as[map[string]any](value, "a table of fields")
	if err != nil {
		return unusable(err)
	}
	next := *s
	settings := next.settings()
	for _, key := range slices.Sorted(maps.Keys(object)) {
		i := slices.IndexFunc(settings, func(s setting) bool { return s.key == key })
		if i < 0 {
			return unusable(fmt.Errorf("no field is named %q", key))
		}
		if err := settings[i].assign(object[key]); err != nil {
			return settings[i].bad(err)
		}
	}
	*s = next
	return nil
}

func unusable(err error) error { return &moq.ConfigError{Field: "Settings", Err: err} }
