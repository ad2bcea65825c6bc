package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// sources are ways in which the same bytes can come.
var sources = map[string]func(b []byte) io.Reader{
	"whole":          func(b []byte) io.Reader { return bytes.NewReader(b) },
	"byte by byte":   func(b []byte) io.Reader { return iotest.OneByteReader(bytes.NewReader(b)) },
	"halves":         func(b []byte) io.Reader { return iotest.HalfReader(bytes.NewReader(b)) },
	"with EOF":       func(b []byte) io.Reader { return iotest.DataErrReader(bytes.NewReader(b)) },
	"with pauses":    func(b []byte) io.Reader { return &stutter{rest: b} },
	"packet by size": func(b []byte) io.Reader { return &packets{rest: b, size: 1337} },
}

// stutter returns 0, nil between pieces, which a Reader has to bear.
type stutter struct {
	rest []byte
	n    int
}

func (s *stutter) Read(p []byte) (int, error) {
	s.n++
	switch {
	case s.n%3 != 0:
		return 0, nil
	case len(s.rest) == 0:
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), s.n)], s.rest)
	s.rest = s.rest[n:]
	return n, nil
}

// packets never returns more than one packet at once.
type packets struct {
	rest []byte
	size int
}

func (s *packets) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.rest[:min(s.size, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}

// mixedStream has n frames of sizes around every buffer boundary.
func mixedStream(n int) (stream []byte, payloads [][]byte) {
	rnd := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 127, 128, 1000, 1021, 1022, 1024, 4096, 40_000, 65_530, 65_536, 70_000, 200_000}
	for i := range n {
		size := sizes[rnd.IntN(len(sizes))]
		if i%2 == 0 {
			size = rnd.IntN(300)
		}
		p := make([]byte, size)
		for j := range p {
			p[j] = byte(rnd.Uint32())
		}
		stream = append(AppendFrameHeader(stream, int64(i), size), p...)
		payloads = append(payloads, p)
	}
	return stream, payloads
}

func TestReaderFrames(t *testing.T) {
	stream, want := mixedStream(60)
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			r := NewReader(source(stream))
			got := make([][]byte, 0, len(want))
			for i := range want {
				delta, payload, err := r.Frame()
				require.NoError(t, err)
				require.EqualValues(t, i, delta)
				got = append(got, payload)
			}
			_, _, err := r.Frame()
			require.Equal(t, io.EOF, err)
			require.Zero(t, r.Buffered())

			// Only now: what was returned early is still what it was.
			for i := range want {
				require.True(t, bytes.Equal(want[i], got[i]), "frame %d of %d bytes", i, len(want[i]))
			}
		})
	}
}

// Appending to, or writing into, what was returned does not reach what comes next.
func TestReaderPiecesAreApart(t *testing.T) {
	stream, want := mixedStream(30)
	r := NewReader(bytes.NewReader(stream))
	for i := range want {
		_, payload, err := r.Frame()
		require.NoError(t, err)
		require.True(t, bytes.Equal(want[i], payload), "frame %d", i)
		require.Equal(t, len(payload), cap(payload), "frame %d", i)
		for j := range payload {
			payload[j] = 0xaa
		}
		_ = append(payload, bytes.Repeat([]byte{0xbb}, 100)...)
	}
}

// A payload that lies in the buffer is not copied.
func TestReaderCutsWithoutCopying(t *testing.T) {
	stream := append(AppendFrameHeader(nil, 0, 5), "hello"...)
	stream = append(AppendFrameHeader(stream, 0, 5), "world"...)
	r := NewReader(bytes.NewReader(stream))
	_, hello, err := r.Frame()
	require.NoError(t, err)
	_, world, err := r.Frame()
	require.NoError(t, err)
	require.Same(t, &r.buf[2], &hello[0])
	require.Same(t, &r.buf[9], &world[0])
}

func TestReaderMessages(t *testing.T) {
	var stream []byte
	sizes := []int{0, 1, 63, 64, 1022, 1023, 5000, 16383, 16384, MaxMessage - 1, MaxMessage, 3}
	for i, size := range sizes {
		stream = AppendVarint(stream, uint64(size))
		stream = append(stream, bytes.Repeat([]byte{byte(i)}, size)...)
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			r := NewReader(source(stream))
			var got [][]byte
			for range sizes {
				body, err := r.Message()
				require.NoError(t, err)
				got = append(got, body)
			}
			_, err := r.Message()
			require.Equal(t, io.EOF, err)
			for i, size := range sizes {
				require.True(t, bytes.Equal(bytes.Repeat([]byte{byte(i)}, size), got[i]), "message %d", i)
			}
		})
	}
}

func TestReaderVarints(t *testing.T) {
	var stream []byte
	for _, c := range varints {
		stream = append(stream, unhex(c.wire)...)
	}
	for name, source := range sources {
		t.Run(name, func(t *testing.T) {
			r := NewReader(source(stream))
			for _, c := range varints {
				v, err := r.Varint()
				require.NoError(t, err)
				require.Equal(t, c.value, v)
			}
			_, err := r.Varint()
			require.Equal(t, io.EOF, err)
		})
	}
}

func TestReaderVarintCut(t *testing.T) {
	for _, c := range varints {
		wire := unhex(c.wire)
		for n := 1; n < len(wire); n++ {
			_, err := NewReader(bytes.NewReader(wire[:n])).Varint()
			require.Equal(t, &Error{Message: "stream", Field: "varint", Err: io.ErrUnexpectedEOF}, err)
		}
	}
}

func TestReaderTyped(t *testing.T) {
	r := NewReader(bytes.NewReader(unhex(`40 64 · 02 61 62 | 00 · 00`)))
	typ, body, err := r.Typed()
	require.NoError(t, err)
	require.EqualValues(t, 100, typ)
	require.Equal(t, "ab", string(body))
	typ, body, err = r.Typed()
	require.NoError(t, err)
	require.Zero(t, typ)
	require.Empty(t, body)
	_, _, err = r.Typed()
	require.Equal(t, io.EOF, err)
}

func TestReaderMessageTooLarge(t *testing.T) {
	r := NewReader(bytes.NewReader(AppendVarint(nil, MaxMessage+1)))
	_, err := r.Message()
	require.Equal(t, &Error{Message: "message", Field: "length", Err: ErrTooLarge}, err)
}

func TestReaderBuffered(t *testing.T) {
	r := NewReader(bytes.NewReader(unhex(`00 | 02 00 2a | 61 62 63`)))
	require.Zero(t, r.Buffered())
	_, err := r.Varint()
	require.NoError(t, err)
	require.Equal(t, 6, r.Buffered())
	_, err = r.Message()
	require.NoError(t, err)
	require.Equal(t, 3, r.Buffered())
}

// An error of the source comes after everything that came before it, as it is.
func TestReaderSourceError(t *testing.T) {
	reset := errors.New("reset by peer")
	whole := unhex(`02 05 68 65 6c 6c 6f`)
	for n := range len(whole) + 1 {
		t.Run(fmt.Sprint(n, " bytes"), func(t *testing.T) {
			src := io.MultiReader(bytes.NewReader(whole[:n]), iotest.ErrReader(reset))
			r := NewReader(src)
			if n == len(whole) {
				_, payload, err := r.Frame()
				require.NoError(t, err)
				require.Equal(t, "hello", string(payload))
			}
			for range 3 {
				_, _, err := r.Frame()
				require.Equal(t, reset, err)
			}
			_, err := r.Varint()
			require.Equal(t, reset, err, "what was left of the frame is not taken for something else")
		})
	}
}

// The first error is final, and nothing behind it is read.
func TestReaderErrorsAreFinal(t *testing.T) {
	r := NewReader(bytes.NewReader(append(AppendVarint(nil, MaxMessage+1), unhex(`01 61 01 61`)...)))
	_, err := r.Message()
	require.ErrorIs(t, err, ErrTooLarge)
	_, again := r.Message()
	require.Equal(t, err, again)
	_, again = r.Varint()
	require.Equal(t, err, again)
	_, _, again = r.Frame()
	require.Equal(t, err, again)
	_, _, again = r.Typed()
	require.Equal(t, err, again)
	require.Zero(t, r.Buffered())
}

// A source that gives nothing forever does not hold a Reader forever.
func TestReaderNoProgress(t *testing.T) {
	r := NewReader(nothing{})
	_, err := r.Varint()
	require.Equal(t, io.ErrNoProgress, err)
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// No byte is waited for that is not needed.
func TestReaderReadsNoFurtherThanNeeded(t *testing.T) {
	pr, pw := io.Pipe()
	t.Cleanup(func() { _ = pw.Close() })
	go func() { _, _ = pw.Write(unhex(`00 | 03 00 2a 00 | 02 05 68 65 6c 6c 6f | 00 00`)) }()

	r := NewReader(pr)
	typ, err := r.Varint()
	require.NoError(t, err)
	require.EqualValues(t, UniGroup, typ)
	body, err := r.Message()
	require.NoError(t, err)
	require.Len(t, body, 3)
	_, payload, err := r.Frame()
	require.NoError(t, err)
	require.Equal(t, "hello", string(payload))
	_, payload, err = r.Frame()
	require.NoError(t, err)
	require.Empty(t, payload)
}

// sips hands out one piece at a time, as packets come.
type sips struct{ pieces [][]byte }

func (s *sips) Read(p []byte) (int, error) {
	if len(s.pieces) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.pieces[0])
	if s.pieces[0] = s.pieces[0][n:]; len(s.pieces[0]) == 0 {
		s.pieces = s.pieces[1:]
	}
	return n, nil
}

// purse is a Memory without a bound.
type purse struct{ held int64 }

func (p *purse) Take(n int64) bool { p.held += n; return true }
func (p *purse) Give(n int64)      { p.held -= n }

// Kept counts the memory that payloads are pieces of, each once, and the Reader does not count
// it any more.
func TestReaderTellsWhatPayloadsKeep(t *testing.T) {
	var s sips
	for _, size := range []int{1400, 2000, 2000, 0, 2000, 100_000, 10} {
		s.pieces = append(s.pieces, append(AppendFrameHeader(nil, 1, size), make([]byte, size)...))
	}
	memory := &purse{}
	r := NewBoundedReader(&s, memory)
	buffers, kept := make(map[*byte]bool), 0
	for {
		_, payload, err := r.Frame()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if whole := &r.buf[len(r.buf)-1]; len(payload) > 0 && !buffers[whole] {
			buffers[whole] = true
			kept += len(r.buf)
		}
		require.Equal(t, kept, r.Kept())
		if len(payload) > 0 {
			require.Zero(t, memory.held, "it is the caller's")
		}
	}
	require.Greater(t, kept, 107_410)
	r.Release()
	require.Zero(t, memory.held)
}
