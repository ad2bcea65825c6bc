package pubsub

import (
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"
)

func benchWrite(b *testing.B, write func(*GroupProducer, Frame) error) {
	tp := newTestTrack(b, NewOrigin(), 0)
	payload := make([]byte, allocSize)
	b.SetBytes(allocSize)
	b.ReportAllocs()
	var g *GroupProducer
	for i := 0; b.Loop(); i++ {
		if i%1000 == 0 {
			g, _ = tp.AppendGroup()
		}
		if err := write(g, Frame{Timestamp: time.Duration(i) * time.Millisecond, Payload: payload}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkWriteFrame128(b *testing.B) { benchWrite(b, (*GroupProducer).WriteFrame) }
func BenchmarkWriteOwned128(b *testing.B) { benchWrite(b, (*GroupProducer).WriteOwned) }

func BenchmarkFanOut(b *testing.B) {
	for _, readers := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(readers), func(b *testing.B) {
			o := NewOrigin()
			tp := newTestTrack(b, o, 0)
			bc, _ := o.Lookup("b", 0)
			var wg sync.WaitGroup
			var delivered sync.Map
			for i := range readers {
				c, err := bc.Subscribe(bg, "t", SubscribeOptions{})
				if err != nil {
					b.Fatal(err)
				}
				wg.Go(func() {
					n := 0
					for g, err := range c.Groups(bg) {
						if err != nil {
							break
						}
						for range g.Frames(bg) {
							n++
						}
					}
					delivered.Store(i, n)
				})
			}
			var g *GroupProducer
			payload := make([]byte, allocSize)
			frames := 0
			for b.Loop() {
				if frames%30 == 0 {
					if g != nil {
						_ = g.Close()
					}
					g, _ = tp.AppendGroup()
				}
				_ = g.WriteFrame(Frame{Timestamp: time.Duration(frames) * time.Millisecond, Payload: payload})
				frames++
			}
			_ = g.Close()
			_ = tp.Close()
			wg.Wait()
			total := 0
			delivered.Range(func(_, n any) bool { total += n.(int); return true })
			b.ReportMetric(float64(total)/b.Elapsed().Seconds(), "deliveries/s")
			b.ReportMetric(float64(total)/float64(frames), "reached")
		})
	}
}

func BenchmarkAnnouncements(b *testing.B) {
	for _, n := range []int{1000, 10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			paths := make([]string, n)
			for i := range paths {
				paths[i] = fmt.Sprintf("room/%d/cam", i)
			}
			for b.Loop() {
				o := NewOrigin()
				a, f := o.Announcements("", 0), o.Feed()
				for _, p := range paths {
					if _, err := f.Attach(Route{Prefix: p, Hops: []uint64{5}}); err != nil {
						b.Fatal(err)
					}
				}
				for a.Ready() {
					_, _ = a.Next(bg)
				}
				f.Close(nil)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/announcement")
		})
	}
}

func BenchmarkGroups(b *testing.B) {
	for _, n := range []int{10_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				before := heap()
				tp := newTestTrack(b, NewOrigin(), 0)
				for i := range n {
					_ = tp.WriteFrame(Frame{Timestamp: time.Duration(i) * time.Millisecond, Payload: []byte("x")})
				}
				b.ReportMetric(float64(heap()-before)/1024, "KiB")
				runtime.KeepAlive(tp)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/group")
		})
	}
}
