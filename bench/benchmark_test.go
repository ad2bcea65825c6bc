package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// BenchmarkFrames carries small frames in long groups; an operation is a frame. It is
// what to profile:
//
//	go test ./bench -run '^$' -bench Frames/both/128 -cpuprofile cpu.prof
func BenchmarkFrames(b *testing.B) {
	for name, l := range map[string]load{"64": long(64), "128": long(128), "1024": long(1024)} {
		for ends, s := range halves(l) {
			b.Run(ends+"/"+name, func(b *testing.B) { carry(b, s) })
		}
		b.Run("raw/each/"+name, func(b *testing.B) { carry(b, setup{load: l}) })
	}
}

// BenchmarkGroups carries groups of one frame; an operation is a group.
func BenchmarkGroups(b *testing.B) {
	for ends, s := range halves(single(groupSize)) {
		b.Run(ends, func(b *testing.B) { carry(b, s) })
	}
}

func halves(l load) map[string]setup {
	return map[string]setup{
		"both":    {load: l, from: ours, to: ours},
		"publish": {load: l, from: ours},
		"receive": {load: l, gather: coalesced, to: ours},
		"raw":     {load: l, gather: coalesced},
	}
}

func carry(b *testing.B, s setup) {
	a, err := open(b.Context(), s)
	require.NoError(b, err)
	defer a.close()
	b.SetBytes(int64(s.size))
	b.ReportAllocs()
	b.ResetTimer()
	batches := b.N / (s.batch * s.frames)
	require.NoError(b, a.flood(func(sent int) bool { return sent < batches }))
}
