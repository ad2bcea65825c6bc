package moqconfig

import (
	"errors"
	"flag"
	"os"
	"time"

	"github.com/remoq/moq"
)

// RegisterFlags defines the flags that the package comment lists, which set s when fs is
// parsed, with those of [moq.Backoff.RegisterFlags]. Lists are separated by commas, and
// durations are written as "1s" or "5m".
//
// A flag that is not given takes the value of its variable, and without a variable (or
// with an empty one) what s holds now: decode a file into s before. A variable that
// cannot be used, or that begins with MOQ_BACKOFF_ and is none of ours, is a
// *[moq.ConfigError] that names it, and so is a field of s that was bad before; then s
// and fs are unchanged. Whether the fields fit together, and the files are there, is
// for Config to say, when the flags have been parsed.
//
// No usage text and no default that fs prints shows more of a URL than scheme, host
// and port.
func (s *Settings) RegisterFlags(fs *flag.FlagSet) error {
	next := *s
	if err := next.readVariables(os.Getenv); err != nil {
		return err
	}
	if err := s.Backoff.RegisterFlags(fs); err != nil {
		return err
	}
	next.Backoff = s.Backoff
	*s = next
	for _, setting := range s.settings() {
		name, usage := setting.flag(), setting.usage
		switch target := setting.target.(type) {
		case *URL:
			fs.TextVar(target, name, *target, usage)
		case *string:
			fs.StringVar(target, name, *target, usage)
		case *bool:
			fs.BoolVar(target, name, *target, usage)
		case *time.Duration:
			fs.DurationVar(target, name, *target, usage)
		case *[]string:
			fs.Var((*list[string])(target), name, usage)
		case *[]moq.Version:
			fs.Var((*list[moq.Version])(target), name, usage)
		}
	}
	return nil
}

// readVariables sets the fields that have a variable; those of Backoff are its own.
func (s *Settings) readVariables(getenv func(string) string) error {
	given := make(map[string]string) // variable by field
	for _, setting := range s.settings() {
		if setting.variable == "" {
			continue
		}
		value := getenv(setting.variable)
		if value == "" {
			continue
		}
		if err := setting.parse(value); err != nil {
			return &moq.ConfigError{Field: setting.variable, Err: err}
		}
		given[setting.field] = setting.variable
	}
	err := s.check()
	if bad, ok := errors.AsType[*moq.ConfigError](err); ok && given[bad.Field] != "" {
		return &moq.ConfigError{Field: given[bad.Field], Err: bad.Err}
	}
	return err
}

// list is a flag of several values; the flag replaces what was there.
type list[T ~string] []T

func (l *list[T]) String() string { return join(*l) }

func (l *list[T]) Set(text string) error {
	all, err := split[T](text)
	if err == nil {
		*l = all
	}
	return err
}
