package transport

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// What is read after a rest is no sign of life: the path is asked, and neither the gap nor
// the round-trip time of the rest is believed.
func TestPulseAfterRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const usual, rest = 10 * time.Millisecond, 20 * time.Second
		var rtt, probes, probed atomic.Int64
		rtt.Store(int64(usual))
		s := newStamps(nil)
		s.received()
		p := newPulse(s, PulseConfig{KeepAlive: 3 * time.Second, Probe: func() {
			if probes.Add(1) == 1 {
				probed.Store(time.Now().UnixNano())
			}
		}}, func() time.Duration { return time.Duration(rtt.Load()) })
		defer p.Stop()
		for range 100 {
			time.Sleep(30 * time.Millisecond)
			s.received()
		}
		require.Zero(t, probes.Load())

		// The timer cannot be late in a bubble: it is made to look so.
		began := time.Now()
		s.last.Add(-int64(rest))
		p.rest.due.Store(s.now() - int64(rest))
		for range 10 {
			s.received()
		}
		rtt.Store(int64(rest / 8))
		require.Less(t, s.typical(), time.Second)
		require.Equal(t, usual, p.RTT())

		for p.Health() != Silent {
			<-p.Changed()
		}
		require.Equal(t, began.Add(rousing).UnixNano(), probed.Load())
		require.Equal(t, rousing+hintPatience+usual*3/2, time.Since(began))
		time.Sleep(sparing)
		require.Equal(t, rest/8, p.RTT())
	})
}

// A timer that is late finds out that there was a rest, too, and gives nothing up.
func TestPulseRestIsNoSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStamps(nil)
		s.received()
		var probes atomic.Int64
		p := newPulse(s, PulseConfig{KeepAlive: 3 * time.Second, Probe: func() {
			probes.Add(1)
			time.AfterFunc(time.Millisecond, s.received)
		}}, func() time.Duration { return time.Millisecond })
		defer p.Stop()
		s.last.Add(-int64(time.Hour))
		p.mu.Lock()
		p.probed = 1 // it was in doubt when the rest began
		p.mu.Unlock()
		p.rest.due.Store(s.now() - int64(time.Hour))
		p.look()
		time.Sleep(rousing + hintPatience)
		require.Equal(t, int64(1), probes.Load())
		require.Equal(t, Alive, p.Health())
	})
}
