package wire

import "errors"

// What can be wrong with a field; matched with [errors.Is].
var (
	// ErrShort is a field that reaches beyond the end of its message.
	ErrShort = errors.New("ends too early")
	// ErrLong is a message with bytes left over after its last field.
	ErrLong = errors.New("bytes left over")
	// ErrRange is a number, or a pair of numbers, that makes no sense in its field.
	ErrRange = errors.New("out of range")
	// ErrTooLarge is a length or count above its limit.
	ErrTooLarge = errors.New("too large")
	// ErrDuplicate is something that may stand only once.
	ErrDuplicate = errors.New("repeated")
	// ErrUTF8 is a string that is not valid UTF-8.
	ErrUTF8 = errors.New("not valid UTF-8")
	// ErrPattern is a path segment with an asterisk, which is pattern syntax.
	ErrPattern = errors.New("contains an asterisk")
)

// Error is a malformed message: which one, which field of it, and what was wrong.
// Err is one of this package's sentinels, or [io.ErrUnexpectedEOF] for a stream that
// ended inside a message.
type Error struct {
	Message string
	Field   string
	Err     error
}

var _ error = (*Error)(nil)

// Error implements error.
func (e *Error) Error() string {
	return "moq: malformed " + e.Message + ": " + e.Field + ": " + e.Err.Error()
}

// Unwrap returns what was wrong.
func (e *Error) Unwrap() error { return e.Err }
