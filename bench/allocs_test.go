package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/bench/figures"
	"github.com/remoq/moq/pubsub"
)

// ceilings are what P8's rows must not exceed: a little above what they are today, so
// that nothing gets worse unnoticed. One more for each frame would be 1, or 512 for
// each 64 KiB.
var ceilings = map[string]float64{
	"P8/WriteOwned":  0.1,
	"P8/WriteFrame":  32,
	"P8/AppendFrame": 0.1,
	"P8/NextFrame":   0.1,
	"P8/publish":     6,
	"P8/receive":     12,
}

func TestAllocs(t *testing.T) {
	var measured int
	for _, r := range rows() {
		if !strings.HasPrefix(r.name, "P8/") {
			continue
		}
		measured++
		t.Run(r.name, func(t *testing.T) {
			res, err := r.compare(t.Context(), 5, 10*time.Millisecond)
			require.NoError(t, err)
			ceiling, ok := ceilings[r.name]
			require.True(t, ok)
			require.LessOrEqual(t, figures.Median(res.figures), ceiling*raceFactor)
		})
	}
	require.Equal(t, len(ceilings), measured)
}

// Without a network the counts are exact: a mebibyte in one group.
func TestModelAllocs(t *testing.T) {
	l := long(small)
	track, err := publish(pubsub.NewOrigin())
	require.NoError(t, err)
	var sequence uint64
	write := func(own bool) func() {
		s := &trackSender{load: l, track: track, payload: make([]byte, l.size), own: own}
		slab := make([]byte, l.frames*l.size)
		return func() {
			err := s.begin(sequence)
			s.owned = slab // the frames of an older group are of no interest here
			for i := range l.frames {
				err = errors.Join(err, s.frame(uint64(i)))
			}
			if err := errors.Join(err, s.end()); err != nil {
				t.Error(err)
			}
			sequence++
		}
	}
	const (
		group = 3 // the group, its producer, and the slab of begin
		index = 5 // blocks of 30 to 5,472 entries
		arena = 8 // blocks of 1 to 256 KiB
	)
	require.LessOrEqual(t, testing.AllocsPerRun(32, write(true)), float64(group+index)*raceFactor)
	got := testing.AllocsPerRun(32, write(false))
	require.LessOrEqual(t, got, float64(group-1+index+arena)*raceFactor)
	require.LessOrEqual(t, got, float64(l.frames*l.size)/(64<<10)*raceFactor, "one for each 64 KiB")
}
