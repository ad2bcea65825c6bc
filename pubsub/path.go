package pubsub

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/remoq/moq/moqerr"
)

// maxPathParts is how many segments a path may have (moq-lite.md §3.4).
const maxPathParts = 32

// maxName is how many bytes a path, or the name of a track, may have.
const maxName = 4 << 10

var (
	errNameUTF8     = errors.New("not valid UTF-8")
	errNameLong     = fmt.Errorf("more than %d bytes", maxName)
	errPathParts    = fmt.Errorf("more than %d parts", maxPathParts)
	errPathWildcard = errors.New("a segment contains '*'")
)

// parsePath returns the normal form of p: no slash at either end, none doubled. The
// error is a *moqerr.ConfigError for field.
func parsePath(field, p string) (string, error) {
	p = cleanPath(p)
	err := checkName(p)
	switch {
	case err != nil:
	case strings.Count(p, "/") >= maxPathParts:
		err = errPathParts
	case strings.Contains(p, "*"):
		err = errPathWildcard
	default:
		return p, nil
	}
	return "", &moqerr.ConfigError{Field: field, Err: err}
}

// checkTrack returns a *moqerr.ConfigError for a name that no track can have.
func checkTrack(name string) error {
	if err := checkName(name); err != nil {
		return &moqerr.ConfigError{Field: "track", Err: err}
	}
	return nil
}

func checkName(s string) error {
	switch {
	case len(s) > maxName:
		return errNameLong
	case !utf8.ValidString(s):
		return errNameUTF8
	}
	return nil
}

// cleanPath trims slashes at the ends and collapses runs of them.
func cleanPath(p string) string {
	p = strings.Trim(p, "/")
	if !strings.Contains(p, "//") {
		return p
	}
	parts := strings.FieldsFunc(p, func(r rune) bool { return r == '/' })
	return strings.Join(parts, "/")
}

// cutPrefix splits off prefix, which must match whole segments.
func cutPrefix(path, prefix string) (suffix string, ok bool) {
	if prefix == "" {
		return path, true
	}
	if !strings.HasPrefix(path, prefix) {
		return "", false
	}
	if len(path) == len(prefix) {
		return "", true
	}
	if path[len(prefix)] != '/' {
		return "", false
	}
	return path[len(prefix)+1:], true
}

// isHidden reports whether a segment of suffix starts with a dot: such a route is left
// out of announcements unless the dot segment itself was asked for (moq-lite.md §3.4).
func isHidden(suffix string) bool {
	return strings.HasPrefix(suffix, ".") || strings.Contains(suffix, "/.")
}
