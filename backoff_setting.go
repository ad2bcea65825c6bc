package moq

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// setting is one field of Backoff as programs are given it; the tags of the field say
// how.
type setting struct {
	key      string // in JSON, TOML and text
	field    string // in Go
	variable string // "" if there is no flag either
	usage    string
	target   any // *time.Duration, *int or *float64
}

// settings are the fields of b, in their order.
func (b *Backoff) settings() []setting {
	value := reflect.ValueOf(b).Elem()
	settings := make([]setting, value.NumField())
	for i := range settings {
		field := value.Type().Field(i)
		key, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		settings[i] = setting{
			key:      key,
			field:    field.Name,
			variable: field.Tag.Get("env"),
			usage:    field.Tag.Get("help"),
			target:   value.Field(i).Addr().Interface(),
		}
	}
	return settings
}

func (s setting) isDuration() bool {
	_, ok := s.target.(*time.Duration)
	return ok
}

// text is what parse would read; "" is zero.
func (s setting) text() string {
	switch target := s.target.(type) {
	case *time.Duration:
		if *target != 0 {
			return target.String()
		}
	case *int:
		if *target != 0 {
			return strconv.Itoa(*target)
		}
	case *float64:
		if *target != 0 {
			return strconv.FormatFloat(*target, 'g', -1, 64)
		}
	}
	return ""
}

// assign sets the field to a decoded value. A duration must have been in quotes, for
// a bare number would have no unit, and a number must not.
func (s setting) assign(value any) error {
	text, quoted := value.(string)
	switch number := value.(type) {
	case string:
	case json.Number:
		text = number.String()
	case int64: // as TOML gives it
		text = strconv.FormatInt(number, 10)
	case float64:
		text = strconv.FormatFloat(number, 'g', -1, 64)
	default:
		return fmt.Errorf("%v is neither a string nor a number", value)
	}
	switch {
	case s.isDuration() && !quoted:
		return fmt.Errorf(`%s has no unit; a duration is written as in "1s"`, text)
	case !s.isDuration() && quoted:
		return errors.New("a number is written without quotes")
	}
	return s.parse(text)
}

// parse sets the field from text.
func (s setting) parse(value string) (err error) {
	switch target := s.target.(type) {
	case *time.Duration:
		*target, err = time.ParseDuration(value)
	case *int:
		*target, err = strconv.Atoi(value)
	case *float64:
		*target, err = strconv.ParseFloat(value, 64)
	}
	return err
}
