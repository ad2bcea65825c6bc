package moq

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// MarshalText writes "eager" or "gentle" for what [Eager] and [Gentle] return, and
// else each field that is not zero, as in "initial=1s,hold=7,first_timeout=10m0s". A
// field that cannot be used is a *[ConfigError] that names it. TOML is written in this
// form too.
func (b Backoff) MarshalText() ([]byte, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	for _, preset := range presets {
		if b == preset.policy() {
			return []byte(preset.name), nil
		}
	}
	var fields []string
	for _, s := range b.settings() {
		if text := s.text(); text != "" {
			fields = append(fields, s.key+"="+text)
		}
	}
	return []byte(strings.Join(fields, ",")), nil
}

// UnmarshalText reads what MarshalText writes, and replaces the whole of b. A preset
// may be followed by fields that are to differ: "eager,timeout=10m". Empty text is the
// zero Backoff. What cannot be used, or is not known, is a *[ConfigError] that names
// it; then b is unchanged.
func (b *Backoff) UnmarshalText(text []byte) error {
	var next Backoff
	if strings.TrimSpace(string(text)) == "" {
		return b.replace(next)
	}
	var seen []string
	for i, part := range strings.Split(string(text), ",") {
		key, value, isField := strings.Cut(part, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if slices.Contains(seen, key) {
			return unusable("", fmt.Errorf("%q stands there twice", key))
		}
		seen = append(seen, key)
		var err error
		switch {
		case isField:
			err = next.change(key, func(s setting) error { return s.parse(value) })
		case i == 0:
			err = next.preset(key)
		default:
			err = unusable("", fmt.Errorf("%q is not of the form name=value", key))
		}
		if err != nil {
			return err
		}
	}
	return b.replace(next)
}

// MarshalJSON writes an object of the fields that are not zero, with durations as in
// "1s": {"initial":"1s","hold":7}. A field that cannot be used is a *[ConfigError] that
// names it.
func (b Backoff) MarshalJSON() ([]byte, error) {
	if err := b.validate(); err != nil {
		return nil, err
	}
	fields := []byte{'{'}
	for _, s := range b.settings() {
		text := s.text()
		if text == "" {
			continue
		}
		if len(fields) > 1 {
			fields = append(fields, ',')
		}
		fields = append(strconv.AppendQuote(fields, s.key), ':')
		if s.isDuration() {
			fields = strconv.AppendQuote(fields, text)
		} else {
			fields = append(fields, text...)
		}
	}
	return append(fields, '}'), nil
}

// UnmarshalJSON reads an object like that of MarshalJSON, or a string in the form of
// UnmarshalText, such as "eager". Fields that the object does not name stay as they
// are; a string replaces them all. What cannot be used, or is not known, is a
// *[ConfigError] that names it; then b is unchanged.
func (b *Backoff) UnmarshalJSON(data []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return unusable("", err)
	}
	if value == nil {
		return nil // as encoding/json wants it
	}
	return b.assign(value)
}

// UnmarshalTOML does for a TOML table and a TOML string what UnmarshalJSON does for an
// object and a string. Package github.com/BurntSushi/toml calls it.
func (b *Backoff) UnmarshalTOML(value any) error { return b.assign(value) }

// assign sets b to a decoded value.
func (b *Backoff) assign(value any) error {
	switch value := value.(type) {
	case string:
		return b.UnmarshalText([]byte(value))
	case map[string]any:
		next := *b
		for _, key := range slices.Sorted(maps.Keys(value)) {
			if err := next.change(key, func(s setting) error { return s.assign(value[key]) }); err != nil {
				return err
			}
		}
		return b.replace(next)
	}
	return unusable("", fmt.Errorf("%v is neither a table of fields nor a string", value))
}

// preset sets b to the policy of that name.
func (b *Backoff) preset(name string) error {
	for _, preset := range presets {
		if preset.name == name {
			*b = preset.policy()
			return nil
		}
	}
	return unusable("", fmt.Errorf("no policy is named %q", name))
}

// change sets the field that key stands for.
func (b *Backoff) change(key string, set func(setting) error) error {
	for _, s := range b.settings() {
		if s.key == key {
			if err := set(s); err != nil {
				return unusable("."+s.field, err)
			}
			return nil
		}
	}
	return unusable("", fmt.Errorf("no field is named %q", key))
}

// replace sets b to next if that can be used.
func (b *Backoff) replace(next Backoff) error {
	if err := next.validate(); err != nil {
		return err
	}
	*b = next
	return nil
}

func unusable(field string, err error) error {
	return &ConfigError{Field: "Backoff" + field, Err: err}
}
