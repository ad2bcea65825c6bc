package wire

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var goawayRows = []row{
	{
		name: "no redirect", versions: both,
		wire: `01 // length
			00 // length: uri`,
		value: Goaway{},
	},
	{
		name: "https://b/", versions: both,
		wire: `0b // length
			0a // length: uri
			68 74 74 70 73 3a 2f 2f 62 2f // https://b/`,
		value: Goaway{URI: "https://b/"},
	},
}

func TestGoawayMalformed(t *testing.T) {
	testMalformed(t, []malformed{
		{
			name: "empty", versions: both, like: Goaway{},
			body: ``, message: "GOAWAY", field: "uri", err: ErrShort,
		},
		{
			name: "no text", versions: both, like: Goaway{},
			body: `01 fe`, message: "GOAWAY", field: "uri", err: ErrUTF8,
		},
	})
}

func TestGoawayURILimit(t *testing.T) {
	longest := Goaway{URI: strings.Repeat("u", MaxGoawayURI)}
	got, err := decode(Goaway{}, longest.Append(nil, Lite06), Lite06)
	require.NoError(t, err)
	require.Equal(t, longest, got)

	tooLong := Goaway{URI: longest.URI + "u"}
	_, err = decode(Goaway{}, tooLong.Append(nil, Lite06), Lite06)
	require.Equal(t, &Error{Message: "GOAWAY", Field: "uri", Err: ErrTooLarge}, err)
}

// The length in front of a message is moved in after the body; that has to work at
// every size of the length itself.
func TestLengthsOfEverySize(t *testing.T) {
	for _, n := range []int{0, 1, 61, 62, 63, 64, 65, 16379, 16380, 16381, 16382, 16383, 16384, 16390} {
		text := strings.Repeat("u", n)
		b := Goaway{URI: text}.Append([]byte("before"), Lite06)
		rest, ok := bytes.CutPrefix(b, []byte("before"))
		require.True(t, ok)

		size, head := cutVarint(rest)
		require.Equal(t, len(rest)-head, int(size), "%d bytes", n)
		require.Equal(t, VarintLen(size), head, "%d bytes", n)
		length, head := cutVarint(rest[head:])
		require.Equal(t, n, int(length))
		require.Equal(t, text, string(rest[len(rest)-n:]))
		require.Equal(t, VarintLen(length), head)
	}
}
