package moq

import (
	"errors"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	backoffFlag     = "backoff-"
	backoffVariable = "MOQ_BACKOFF_"
)

// setting is one field of Backoff as flags and variables give it.
type setting struct {
	name   string // of the flag, without its prefix
	field  string
	usage  string
	target any // *time.Duration, *int or *float64
}

func (b *Backoff) settings() []setting {
	return []setting{
		{"initial", "Initial", "first `delay` between attempts to connect; 0 is 1s", &b.Initial},
		{"hold", "Hold", "`number` of waits before the delay grows; 0 is 1", &b.Hold},
		{"max", "Max", "longest `delay` between attempts to connect; 0 is 30s", &b.Max},
		{"multiplier", "Multiplier", "`factor` by which each failure lengthens the delay; 0 is 2", &b.Multiplier},
		{"first-timeout", "FirstTimeout", "give up after this `time` without a first session; 0 is as -backoff-timeout", &b.FirstTimeout},
		{"timeout", "Timeout", "give up after an outage of this `time`; 0 is never", &b.Timeout},
	}
}

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
		switch target := s.target.(type) {
		case *time.Duration:
			fs.DurationVar(target, backoffFlag+s.name, *target, s.usage)
		case *int:
			fs.IntVar(target, backoffFlag+s.name, *target, s.usage)
		case *float64:
			fs.Float64Var(target, backoffFlag+s.name, *target, s.usage)
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
		i := slices.IndexFunc(settings, func(s setting) bool { return s.variable() == variable })
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

func (s setting) variable() string {
	return backoffVariable + strings.ToUpper(strings.ReplaceAll(s.name, "-", "_"))
}

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
