package moqconfig

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/remoq/moq"
)

// setting is one field of Settings as programs are given it; the tags of the field say
// how.
type setting struct {
	key      string // in JSON and TOML
	field    string // in Go
	variable string // "" for Backoff, which has some of its own
	usage    string
	target   any // a pointer to the field
}

// settings are the fields of s, in their order.
func (s *Settings) settings() []setting {
	value := reflect.ValueOf(s).Elem()
	settings := make([]setting, value.NumField())
	for i := range settings {
		field := value.Type().Field(i)
		settings[i] = setting{
			key:      field.Tag.Get("json"),
			field:    field.Name,
			variable: field.Tag.Get("env"),
			usage:    field.Tag.Get("help"),
			target:   value.Field(i).Addr().Interface(),
		}
	}
	return settings
}

// flag is the name of the flag.
func (s setting) flag() string { return strings.ReplaceAll(s.key, "_", "-") }

// bad says that the field cannot be used. A field that names itself keeps its name.
func (s setting) bad(err error) error {
	if _, ok := errors.AsType[*moq.ConfigError](err); ok {
		return err
	}
	return &moq.ConfigError{Field: s.field, Err: err}
}

// parse sets the field from text, as flags and variables give it.
func (s setting) parse(text string) (err error) {
	switch target := s.target.(type) {
	case *URL:
		*target = NewURL(text)
	case *string:
		*target = text
	case *bool:
		*target, err = strconv.ParseBool(text)
	case *time.Duration:
		*target, err = time.ParseDuration(text)
	case *[]string:
		*target, err = split[string](text)
	case *[]moq.Version:
		*target, err = split[moq.Version](text)
	}
	return err
}

// assign sets the field from a value that JSON or TOML has decoded. Its errors repeat
// no value that may be a secret in the wrong place.
func (s setting) assign(value any) (err error) {
	switch target := s.target.(type) {
	case *moq.Backoff:
		return target.UnmarshalTOML(value) // takes what JSON decodes, too
	case *bool:
		*target, err = as[bool](value, "true or false")
	case *[]string:
		*target, err = elements[string](value)
	case *[]moq.Version:
		*target, err = elements[moq.Version](value)
	case *time.Duration:
		text, err := as[string](value, `a duration in quotes, as in "1s"`)
		if err != nil {
			return err
		}
		return s.parse(text)
	default:
		text, err := as[string](value, "a string")
		if err != nil {
			return err
		}
		return s.parse(text)
	}
	return err
}

// json is the field as a file would hold it, or nil if it is zero.
func (s setting) json() ([]byte, error) {
	value := reflect.ValueOf(s.target).Elem()
	if value.IsZero() || value.Kind() == reflect.Slice && value.Len() == 0 {
		return nil, nil
	}
	if d, ok := s.target.(*time.Duration); ok {
		return json.Marshal(d.String())
	}
	return json.Marshal(s.target)
}

// as returns a decoded value of the type that is wanted.
func as[T any](value any, want string) (T, error) {
	v, ok := value.(T)
	if !ok {
		return v, fmt.Errorf("is not %s", want)
	}
	return v, nil
}

// elements returns a decoded list of strings.
func elements[T ~string](value any) ([]T, error) {
	list, err := as[[]any](value, "a list of strings")
	if err != nil {
		return nil, err
	}
	var all []T
	for _, element := range list {
		text, err := as[string](element, "a list of strings")
		if err != nil {
			return nil, err
		}
		all = append(all, T(text))
	}
	return all, nil
}

// split reads a list from text. Empty text is no list.
func split[T ~string](text string) ([]T, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var all []T
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return nil, errors.New("nothing stands between two commas, or at an end")
		}
		all = append(all, T(part))
	}
	return all, nil
}

// join writes a list as split reads it.
func join[T ~string](list []T) string {
	var all []string
	for _, element := range list {
		all = append(all, string(element))
	}
	return strings.Join(all, ",")
}
