package wire

import (
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestError(t *testing.T) {
	_, err := ParseSubscribe([]byte{0, 5, 'a'}, Lite06)
	require.EqualError(t, err, "moq: malformed SUBSCRIBE: broadcast: ends too early")
	require.ErrorIs(t, err, ErrShort)
	require.NotErrorIs(t, err, ErrLong)

	var malformed *Error
	require.ErrorAs(t, err, &malformed)
	require.Equal(t, Error{Message: "SUBSCRIBE", Field: "broadcast", Err: ErrShort}, *malformed)
}

// No error comes out as a nil pointer in an interface.
func TestNoError(t *testing.T) {
	_, err := ParseGoaway([]byte{0}, Lite06)
	require.True(t, err == nil)
	require.True(t, ValidatePath("a") == nil)
}

// What the peer sent is not repeated in an error, which may end in a log.
func TestErrorsDoNotRepeatTheMessage(t *testing.T) {
	_, err := ParseSetup(unhex(`01 02 07 73 65 63 72 65 74 ff`), Lite06)
	require.ErrorIs(t, err, ErrUTF8)
	require.NotContains(t, err.Error(), "secret")
}

func TestSentinelsDiffer(t *testing.T) {
	all := []error{ErrShort, ErrLong, ErrRange, ErrTooLarge, ErrDuplicate, ErrUTF8, ErrPattern, io.ErrUnexpectedEOF, io.EOF}
	for i, a := range all {
		for j, b := range all {
			require.Equal(t, i == j, errors.Is(&Error{Err: a}, b))
		}
	}
}
