package transport

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A probe that was answered is not under way any more, though its time is not over: a hint
// that comes then needs an answer of its own.
func TestPulseChecksAfterAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rtt = 10 * time.Millisecond
		s := newStamps(nil)
		var probes atomic.Int32
		var lost atomic.Bool
		p := newPulse(s, PulseConfig{KeepAlive: 3 * time.Second, Probe: func() {
			if probes.Add(1); !lost.Load() {
				time.AfterFunc(rtt, s.received)
			}
		}}, func() time.Duration { return rtt })
		defer p.Stop()
		s.received()
		for probes.Load() == 0 {
			time.Sleep(time.Millisecond)
		}
		p.Check()
		require.EqualValues(t, 1, probes.Load(), "one is under way")
		time.Sleep(2 * rtt)
		lost.Store(true)
		p.Check()
		require.EqualValues(t, 2, probes.Load())
		time.Sleep(hintPatience + rtt*3/2)
		synctest.Wait()
		require.Equal(t, Silent, p.Health())
	})
}

// TestSlowTraffic: two packets a second are traffic, whose silence is probed, with any keep-alive.
func TestSlowTraffic(t *testing.T) {
	for name, keepAlive := range map[string]time.Duration{"off": -1, "30s": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const rtt = 10 * time.Millisecond
				s := newStamps(nil)
				p := newPulse(s, PulseConfig{KeepAlive: keepAlive, Probe: func() {}}, func() time.Duration { return rtt })
				defer p.Stop()
				for range 40 { // 20 s
					s.received()
					time.Sleep(500 * time.Millisecond)
				}
				require.True(t, s.busy())
				require.Equal(t, time.Second, p.patience())
				dark := time.Now()
				select {
				case <-p.Changed():
				case <-time.After(10 * time.Second): // the idle timeout
				}
				require.Equal(t, Silent, p.Health(), "after %v", time.Since(dark))
				require.Less(t, time.Since(dark), 3*time.Second)
			})
		})
	}
}
