package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecode(t *testing.T) {
	forEachRow(t, func(t *testing.T, r row, v Version) {
		got, err := decode(r.value, unhex(r.wire), v)
		require.NoError(t, err)
		require.Equal(t, r.value, got)
	})
}

func TestEncode(t *testing.T) {
	forEachRow(t, func(t *testing.T, r row, v Version) {
		require.Equal(t, r.writtenBytes(), r.value.Append(nil, v))

		before := []byte("before")
		after := r.value.Append(before, v)
		require.Equal(t, append([]byte("before"), r.writtenBytes()...), after, "what stood there is kept")
	})
}

// What is written for a row that is read in another form reads as the same value, but
// for the update of lite-05, which becomes a start.
func TestDecodeWhatIsWritten(t *testing.T) {
	forEachRow(t, func(t *testing.T, r row, v Version) {
		got, err := decode(r.value, r.writtenBytes(), v)
		require.NoError(t, err)
		require.Equal(t, asWritten(r.value, v), got)
	})
}

// asWritten is m after it was written and read.
func asWritten(m message, v Version) message {
	if a, ok := m.(Announce); ok && !v.AnnounceIDs() && a.Kind == AnnounceUpdate {
		a.Kind = AnnounceStart
		return a
	}
	return m
}

func TestEveryStrictPrefixFails(t *testing.T) {
	forEachRow(t, func(t *testing.T, r row, v Version) {
		wire := unhex(r.wire)
		if r.openEnd {
			wire = wire[:len(wire)-len(r.value.(Datagram).Payload)]
		}
		for n := range wire {
			_, err := decode(r.value, wire[:n], v)
			requireCut(t, err, n)
		}

		typ, body := split(r.value, wire, v)
		for n := range body {
			_, err := parse(r.value, typ, body[:n], v)
			var malformed *Error
			require.ErrorAs(t, err, &malformed, "body of %d bytes", n)
			require.NotEmpty(t, malformed.Message)
			require.NotEmpty(t, malformed.Field)
			require.ErrorIs(t, err, ErrShort)
		}
	})
}

// requireCut checks the error of a stream that ends after n bytes of a message.
func requireCut(t *testing.T, err error, n int) {
	t.Helper()
	var malformed *Error
	switch {
	case errors.As(err, &malformed):
		require.NotEmpty(t, malformed.Message)
		require.NotEmpty(t, malformed.Field)
		require.True(t, errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrShort), "%v", err)
	default:
		require.Equal(t, io.EOF, err, "stream of %d bytes", n)
		require.Zero(t, n, "a bare io.EOF means that nothing had come")
	}
}

func TestTrailingByteFails(t *testing.T) {
	forEachRow(t, func(t *testing.T, r row, v Version) {
		typ, body := split(r.value, unhex(r.wire), v)
		for _, extra := range []byte{0x00, 0x01, 0xff} {
			longer := append(bytes.Clone(body), extra)
			got, err := parse(r.value, typ, longer, v)
			if r.openEnd {
				require.NoError(t, err)
				require.Equal(t, extra, got.(Datagram).Payload[len(got.(Datagram).Payload)-1])
				continue
			}
			var malformed *Error
			require.ErrorAs(t, err, &malformed)
			require.Equal(t, "end", malformed.Field)
			require.ErrorIs(t, err, ErrLong)
		}

		_, err := decode(r.value, append(unhex(r.wire), 0), v)
		if !r.openEnd {
			require.ErrorIs(t, err, errMore, "a byte behind the message is not taken for part of it")
		}
	})
}

func TestAppendAllocatesNothing(t *testing.T) {
	forEachRow(t, func(t *testing.T, r row, v Version) {
		buf := make([]byte, 0, len(r.writtenBytes()))
		allocs := testing.AllocsPerRun(100, func() { buf = r.value.Append(buf[:0], v) })
		require.Zero(t, allocs)
		require.Equal(t, r.writtenBytes(), buf)
	})
}

// A message may be parsed into memory that is used again, but for a datagram, which
// says otherwise.
func TestParseKeepsNothingOfTheBody(t *testing.T) {
	forEachRow(t, func(t *testing.T, r row, v Version) {
		typ, body := split(r.value, unhex(r.wire), v)
		got, err := parse(r.value, typ, body, v)
		require.NoError(t, err)
		if d, ok := got.(Datagram); ok && len(d.Payload) > 0 {
			require.Same(t, &body[len(body)-len(d.Payload)], &d.Payload[0], "the payload is the rest of the datagram")
			return
		}
		for i := range body {
			body[i] ^= 0xff
		}
		require.Equal(t, r.value, got)
	})
}

// The table is only worth what stands in it.
func TestTableHasEveryMessageOnEveryVersion(t *testing.T) {
	have := map[string]bool{}
	for _, r := range table {
		for _, v := range r.versions {
			have[fmt.Sprintf("%T on %s", r.value, v)] = true
		}
	}
	for _, m := range oneOfEach() {
		for _, v := range Versions() {
			require.Contains(t, have, fmt.Sprintf("%T on %s", m, v))
		}
	}
}

// An empty body and a random one are refused, or read as a message that can be
// written again.
func TestParseOfOneByte(t *testing.T) {
	for name, m := range oneOfEach() {
		for _, v := range Versions() {
			for c := range 256 {
				got, err := parse(m, 0, []byte{byte(c)}, v)
				if err == nil {
					require.NotEmpty(t, got.Append(nil, v), name)
					continue
				}
				var malformed *Error
				require.ErrorAs(t, err, &malformed, name)
			}
			if _, err := parse(m, 0, nil, v); true {
				require.ErrorIs(t, err, ErrShort, name)
			}
		}
	}
}

func TestInvalidVersionPanics(t *testing.T) {
	for _, v := range []Version{0, 200} {
		require.Panics(t, func() { Group{}.Append(nil, v) })
		require.Panics(t, func() { _, _ = ParseGroup([]byte{0, 0}, v) })
	}
}
