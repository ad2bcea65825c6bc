package wire

import (
	"strings"
	"unicode/utf8"
)

// CleanPath returns p as it stands on the wire: no slash at either end and none
// doubled (§3.4). A clean path is returned as it is.
func CleanPath(p string) string {
	p = strings.Trim(p, "/")
	if !strings.Contains(p, "//") {
		return p
	}
	var b strings.Builder
	b.Grow(len(p))
	for i := range len(p) {
		// p does not begin with a slash, so there is a byte before this one.
		if p[i] != '/' || p[i-1] != '/' {
			b.WriteByte(p[i])
		}
	}
	return b.String()
}

// ValidatePath says whether p, once cleaned, can be announced or asked for. The
// *Error wraps ErrTooLarge (more than MaxPathParts segments), ErrUTF8, or ErrPattern.
func ValidatePath(p string) error {
	if err := checkPath(p); err != nil {
		return &Error{Message: "path", Field: "text", Err: err}
	}
	if strings.Contains(p, "*") {
		return &Error{Message: "path", Field: "segment", Err: ErrPattern}
	}
	return nil
}

// checkPath has the rules that hold for received paths too.
func checkPath(p string) error {
	if !utf8.ValidString(p) {
		return ErrUTF8
	}
	parts := 0
	for i := range len(p) {
		if p[i] != '/' && (i == 0 || p[i-1] == '/') {
			parts++
		}
	}
	if parts > MaxPathParts {
		return ErrTooLarge
	}
	return nil
}

// JoinPath returns the cleaned path of b below a.
func JoinPath(a, b string) string {
	a, b = CleanPath(a), CleanPath(b)
	if a == "" || b == "" {
		return a + b
	}
	return a + "/" + b
}

// CutPrefix returns what is left of path below prefix, and whether path is prefix or
// below it. Whole segments count: "foo" is no prefix of "foobar" (§3.4).
func CutPrefix(path, prefix string) (suffix string, ok bool) {
	path, prefix = CleanPath(path), CleanPath(prefix)
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return "", false
	}
	if prefix == "" || rest == "" {
		return rest, true
	}
	if rest[0] != '/' {
		return "", false
	}
	return rest[1:], true
}
