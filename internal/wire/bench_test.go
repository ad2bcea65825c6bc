package wire

import (
	"bytes"
	"fmt"
	"testing"
)

// A group read frame by frame, as a subscriber does.
func BenchmarkReaderFrame(b *testing.B) {
	for _, size := range []int{0, 128, 1200, 8 << 10, 100 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			n := min(1000, 8<<20/(size+4))
			var stream []byte
			for range n {
				stream = append(AppendFrameHeader(stream, 33, size), make([]byte, size)...)
			}
			src := bytes.NewReader(stream)
			r := NewReader(src)
			left := n
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if left == 0 {
					src.Reset(stream)
					r, left = NewReader(src), n
				}
				if _, _, err := r.Frame(); err != nil {
					b.Fatal(err)
				}
				left--
			}
		})
	}
}

// Streams of one frame each, where the Reader itself is what costs.
func BenchmarkReaderShortStream(b *testing.B) {
	for _, size := range []int{128, 8 << 10, 100 << 10} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			stream := Group{Sequence: 42}.Append(AppendVarint(nil, uint64(UniGroup)), Lite06)
			stream = append(AppendFrameHeader(stream, 33, size), make([]byte, size)...)
			src := bytes.NewReader(stream)
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				src.Reset(stream)
				r := NewReader(src)
				_, _ = r.Varint()
				_, _ = r.Message()
				if _, _, err := r.Frame(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkAppendFrameHeader(b *testing.B) {
	buf := make([]byte, 0, 16)
	b.ReportAllocs()
	for b.Loop() {
		buf = AppendFrameHeader(buf[:0], 33, 1200)
	}
}

func BenchmarkMessages(b *testing.B) {
	for _, r := range table {
		if r.name != "groups 5 to 9" && r.name != "from frame 4" {
			continue
		}
		wire := unhex(r.wire)
		typ, body := split(r.value, wire, Lite06)
		b.Run(fmt.Sprintf("Append%T", r.value), func(b *testing.B) {
			buf := make([]byte, 0, len(wire))
			b.ReportAllocs()
			for b.Loop() {
				buf = r.value.Append(buf[:0], Lite06)
			}
		})
		b.Run(fmt.Sprintf("Parse%T", r.value), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := parse(r.value, typ, body, Lite06); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
