package moq

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strings"
	"time"
)

const (
	backoffFlag     = "backoff-"
	backoffVariable = "MOQ_BACKOFF_"
)

// RegisterFlags defines -backoff-initial, -backoff-hold, -backoff-max,
// -backoff-multiplier, -backoff-first-timeout and -backoff-timeout, which set b when
// fs is parsed. Durations are written as "1s" or "5m".
//
// A flag that is not given takes the value of its variable, MOQ_BACKOFF_INITIAL,
// MOQ_BACKOFF_HOLD and so on, and without a variable (or with an empty one) what b
// holds now. A variable that cannot be used, or that begins with MOQ_BACKOFF_ and is
// none of these, is a *[ConfigError] that names it, and so is a field of b that was
// bad before; then b and fs are unchanged.
func (b *Backoff) RegisterFlags(fs *flag.FlagSet) error {
	next := *b
	if err := next.readVariables(os.Environ()); err != nil {
		return err
	}
	*b = next
	for _, s := range b.settings() {
		if s.variable == "" {
			continue
		}
		name := backoffFlag + strings.ReplaceAll(s.key, "_", "-")
		switch target := s.target.(type) {
		case *time.Duration:
			fs.DurationVar(target, name, *target, s.usage)
		case *int:
			fs.IntVar(target, name, *target, s.usage)
		case *float64:
			fs.Float64Var(target, name, *target, s.usage)
		}
	}
	return nil
}

// readVariables sets the fields of b that environ, in the form of [os.Environ],
// speaks of.
func (b *Backoff) readVariables(environ []string) error {
	settings := b.settings()
	given := make(map[string]string) // variable by field
	for _, entry := range environ {
		variable, value, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(variable, backoffVariable) {
			continue
		}
		i := slices.IndexFunc(settings, func(s setting) bool { return s.variable == variable })
		if i < 0 {
			return &ConfigError{Field: variable, Err: errors.New("no such setting")}
		}
		if value == "" {
			continue
		}
		if err := settings[i].parse(value); err != nil {
			return &ConfigError{Field: variable, Err: err}
		}
		given["Backoff."+settings[i].field] = variable
	}
	err := b.validate()
	if bad, ok := errors.AsType[*ConfigError](err); ok && given[bad.Field] != "" {
		return &ConfigError{Field: given[bad.Field], Err: bad.Err}
	}
	return err
}
