package wire

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// allocated returns the bytes of memory that what prepare returns asks for. The
// runtime's own goroutines ask for some too, at times, so it is the least of three runs.
func allocated(prepare func() func()) uint64 {
	least := uint64(math.MaxUint64)
	for range 3 {
		f := prepare()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// bound is how much memory may be asked for when n bytes have arrived.
func bound(n int) uint64 { return uint64(64<<10 + 2*n) }

var hugeNumbers = []uint64{1 << 14, 1 << 30, MaxVarint}

// Every length and every count of every example is replaced by a huge number, with
// nothing behind it.
func TestHugeLengthsAndCounts(t *testing.T) {
	fields := map[string]bool{}
	forEachRow(t, func(t *testing.T, r row, v Version) {
		var before []byte
		for _, l := range lines(r.wire) {
			kind, field, named := strings.Cut(l.comment, ": ")
			if named && (kind == "length" || kind == "count") {
				for _, huge := range hugeNumbers {
					malformed := requireHugeRefused(t, r.value, before, huge, v)
					require.Equal(t, field, malformed.Field)
					fields[malformed.Message+" "+field] = true
				}
			}
			before = append(before, l.bytes...)
		}
	})
	require.Equal(t, lengthsAndCounts, fields, "each length and count field there is")
}

// lengthsAndCounts are the fields that ask for more bytes to come.
var lengthsAndCounts = map[string]bool{
	"SETUP parameter count":     true,
	"SETUP probe":               true,
	"SETUP path":                true,
	"SETUP role":                true,
	"SETUP cost":                true,
	"SETUP hop":                 true,
	"SETUP unknown parameter":   true,
	"ANNOUNCE_REQUEST prefix":   true,
	"ANNOUNCE suffix":           true,
	"ANNOUNCE hop count":        true,
	"ANNOUNCE_START suffix":     true,
	"ANNOUNCE_START hop count":  true,
	"ANNOUNCE_UPDATE hop count": true,
	"TRACK broadcast":           true,
	"TRACK track":               true,
	"SUBSCRIBE broadcast":       true,
	"SUBSCRIBE track":           true,
	"FETCH broadcast":           true,
	"FETCH track":               true,
	"GOAWAY uri":                true,
}

// requireHugeRefused reads the message with the field behind before replaced.
func requireHugeRefused(t *testing.T, m message, before []byte, huge uint64, v Version) *Error {
	t.Helper()
	head := bytes.NewReader(before)
	r := NewReader(head)
	var typ []byte
	if typed(m, v) {
		n, err := r.Varint()
		require.NoError(t, err)
		typ = AppendVarint(nil, n)
	}
	_, err := r.Varint()
	require.NoError(t, err, "the old length")
	body := AppendVarint(bytes.Clone(before[len(before)-r.Buffered():]), huge)
	stream := append(AppendVarint(typ, uint64(len(body))), body...)

	got := allocated(func() func() {
		src := bytes.NewReader(stream)
		return func() { _, err = read(NewReader(src), m, v) }
	})
	require.LessOrEqual(t, got, bound(len(stream)))
	var malformed *Error
	require.ErrorAs(t, err, &malformed)
	return malformed
}

// The length of a message itself, with nothing of it there.
func TestHugeMessages(t *testing.T) {
	for name, m := range oneOfEach() {
		if name == "DATAGRAM" {
			continue // has no length
		}
		for _, v := range Versions() {
			limit := uint64(MaxMessage)
			if _, ok := m.(Announce); ok {
				limit = maxLongAnnounce // what is longer than MaxMessage is skipped
			}
			for _, huge := range append(hugeNumbers, limit, limit+1) {
				var stream []byte
				if typed(m, v) {
					stream = []byte{0}
				}
				stream = AppendVarint(stream, huge)
				requireBounded(t, stream, func(r *Reader) error {
					_, err := read(r, m, v)
					return err
				}, huge <= limit, "length", "body")
			}
		}
	}
}

// The size of a frame, with more and more of it there.
func TestHugeFrames(t *testing.T) {
	for _, huge := range append(hugeNumbers, 40_000, 64<<10, 100_000, 1<<20, MaxFrame, MaxFrame+1) {
		for _, n := range []int{0, 1, 1000, 16 << 10, 30_000, 64 << 10, 100_000, 900_000} {
			if uint64(n) >= huge {
				continue
			}
			stream := AppendVarint([]byte{0}, huge)
			stream = append(stream, make([]byte, n)...)
			requireBounded(t, stream, func(r *Reader) error {
				_, _, err := r.Frame()
				return err
			}, huge <= MaxFrame, "size", "payload")
		}
	}
}

// requireBounded reads a stream that ends too early, or that has to be refused at
// once, and checks what it cost.
func requireBounded(t *testing.T, stream []byte, read func(*Reader) error, allowed bool, length, body string) {
	t.Helper()
	for name, source := range sources {
		if name == "byte by byte" && len(stream) > 2000 {
			continue // slow, and nothing else than halves
		}
		var err error
		got := allocated(func() func() {
			src := source(stream)
			return func() { err = read(NewReader(src)) }
		})
		require.LessOrEqual(t, got, bound(len(stream)), "%s, %d bytes", name, len(stream))

		var malformed *Error
		require.ErrorAs(t, err, &malformed)
		if allowed {
			require.Equal(t, body, malformed.Field)
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
		} else {
			require.Equal(t, length, malformed.Field)
			require.ErrorIs(t, err, ErrTooLarge)
		}
	}
}

// The bound holds all along a stream, whatever the sizes are, and also where the
// stream ends with the largest claim there is.
func TestMemoryOfWholeStreams(t *testing.T) {
	for _, size := range []int{0, 1, 128, 1021, 1024, 4000, 33_000, 40_000, 49_000, 60_000, 65_536, 66_000, 300_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			var stream []byte
			for range 8 {
				stream = append(AppendFrameHeader(stream, 0, 1), 'x')
				stream = append(AppendFrameHeader(stream, 0, size), make([]byte, size)...)
			}
			stream = AppendFrameHeader(stream, 0, MaxFrame)

			for name, source := range sources {
				if name == "byte by byte" {
					continue
				}
				var r *Reader
				var n int
				got := allocated(func() func() {
					r, n = NewReader(source(stream)), 0
					return func() {
						for _, _, err := r.Frame(); err == nil; _, _, err = r.Frame() {
							n++
						}
					}
				})
				require.Equal(t, 16, n)
				require.LessOrEqual(t, got, bound(len(stream)), name)
				require.LessOrEqual(t, got, uint64(r.spent+4<<10), "%s: what was counted is true", name)
				require.LessOrEqual(t, r.spent, allowance+2*r.arrived+page+spare, name)
			}
		})
	}
}

// A short stream costs little: control streams live long.
func TestSmallStreamTakesASmallBuffer(t *testing.T) {
	stream := Group{Sequence: 42}.Append(nil, Lite06)
	got := allocated(func() func() {
		src := bytes.NewReader(stream)
		return func() { _, _ = NewReader(src).Message() }
	})
	require.Less(t, got, uint64(2000))
}

// A frame that fits into the credit is read straight into its own memory, together
// with the end of the stream.
func TestOneLargeFrameTakesTwoBuffers(t *testing.T) {
	const size = 4 * page // which leaves no room by itself
	stream := append(AppendFrameHeader(nil, 0, size), make([]byte, size)...)
	src := bytes.NewReader(stream)
	allocs := testing.AllocsPerRun(10, func() {
		src.Reset(stream)
		r := NewReader(src)
		_, _, _ = r.Frame()
		_, _, err := r.Frame()
		if err != io.EOF {
			panic(err)
		}
	})
	require.LessOrEqual(t, allocs, 2.0, "the first buffer and the frame's")
}

// Once enough has arrived, the rest of a large frame is read straight into place.
func TestEndOfALargeFrameIsReadIntoPlace(t *testing.T) {
	stream := append(AppendFrameHeader(nil, 0, 80_000), make([]byte, 80_000)...)
	got := allocated(func() func() {
		src := bytes.NewReader(stream)
		return func() { _, _, _ = NewReader(src).Frame() }
	})
	require.Less(t, got, uint64(firstBuffer+allowance+80_000+page+4<<10))
}

// A claim costs no more in the middle of a stream, whatever the buffers have come to.
func TestHugeFramesAfterSmallOnes(t *testing.T) {
	for _, before := range []int{0, 900, 1100, 4000, 5000, 5300, 6000, 20_000, 21_600, 22_000, 50_000, 86_000, 90_000} {
		var stream []byte
		for len(stream) < before {
			stream = append(AppendFrameHeader(stream, 0, 50), make([]byte, 50)...)
		}
		for _, huge := range []uint64{1000, 3000, 10_000, 20_000, 30_000, 40_000, 50_000, 70_000, 1 << 20, MaxFrame} {
			claimed := AppendVarint(append(bytes.Clone(stream), 0), huge)
			var err error
			got := allocated(func() func() {
				r := NewReader(bytes.NewReader(claimed))
				return func() {
					for err = nil; err == nil; {
						_, _, err = r.Frame()
					}
				}
			})
			require.ErrorIs(t, err, io.ErrUnexpectedEOF)
			require.LessOrEqual(t, got, bound(len(claimed)), "%d bytes, then a frame of %d", len(stream), huge)
		}
	}
}

// Small frames share buffers.
func TestFramesOf128BytesCostNoAllocation(t *testing.T) {
	const n = MaxGroupFrames
	var stream []byte
	for range n {
		stream = append(AppendFrameHeader(stream, 1, 128), make([]byte, 128)...)
	}
	src := bytes.NewReader(stream)
	allocs := testing.AllocsPerRun(5, func() {
		src.Reset(stream)
		r := NewReader(src)
		for range n {
			if _, payload, err := r.Frame(); err != nil || len(payload) != 128 {
				panic("bad frame")
			}
		}
	})
	require.LessOrEqual(t, allocs/n, 0.01)
}

// At any byte of any example a number may be replaced by a huge one: whatever comes
// of it costs no more than the bound.
func TestHugeNumbersAnywhere(t *testing.T) {
	forEachRow(t, func(t *testing.T, r row, v Version) {
		typ, body := split(r.value, unhex(r.wire), v)
		for n := range body {
			for _, huge := range hugeNumbers {
				mutated := AppendVarint(bytes.Clone(body[:n]), huge)
				got := allocated(func() func() { return func() { _, _ = parse(r.value, typ, mutated, v) } })
				require.LessOrEqual(t, got, bound(len(mutated)))
			}
		}
	})
}
