package transport

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A connection is not given up without having been asked when there was just time for the
// answer: its path may have healed since the probe before.
func TestPulseAsksLast(t *testing.T) {
	for _, rtt := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond, 1500 * time.Millisecond} {
		t.Run(rtt.String(), func(t *testing.T) {
			var last atomic.Int64 // of virtual time
			var end time.Time
			watch := func(probed func(s *stamps)) Health {
				s := newStamps(nil)
				p := newPulse(s, PulseConfig{KeepAlive: 3 * time.Second, Probe: func() { probed(s) }}, func() time.Duration { return rtt })
				defer p.Stop()
				s.received()
				limit := time.After(20 * time.Second)
				for p.Health() != Dead {
					select {
					case <-p.Changed():
					case <-limit:
						return p.Health()
					}
				}
				end = time.Now()
				return Dead
			}
			synctest.Test(t, func(t *testing.T) {
				require.Equal(t, Dead, watch(func(*stamps) { last.Store(time.Now().UnixNano()) }))
				require.Equal(t, hintPatience+rtt*3/2, end.Sub(time.Unix(0, last.Load())))
			})
			synctest.Test(t, func(t *testing.T) {
				health := watch(func(s *stamps) {
					if time.Now().UnixNano() < last.Load() {
						return // it was dark until then
					}
					time.AfterFunc(rtt+25*time.Millisecond, s.received)
				})
				require.NotEqual(t, Dead, health)
				time.Sleep(10 * time.Second) // for the answers
			})
		})
	}
}
