package moq

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/testnet"
)

// overChange is within what time a change of the network is got over, with a hint.
const overChange = time.Second

// R9: a router that forgets us every 5 s costs nothing.
func TestRebinding(t *testing.T) {
	t.Parallel()
	for _, scheme := range []string{"moqt", "https"} {
		for _, load := range []traffic{loads[0], loads[1], loads[3]} {
			for _, loss := range []float64{0, 0.03} {
				t.Run(fmt.Sprintf("%s/%s/loss %v", scheme, load.name, loss), func(t *testing.T) {
					onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
						r, c, sockets := b.laden(t, load, scheme, Config{})
						time.Sleep(time.Second)
						missed := c.sent.Load() - c.came.Load() // before it was subscribed
						b.net.Lose(loss)
						for range unlessRaced(12, 4) {
							time.Sleep(5 * time.Second)
							b.net.Rebind(testnet.AddrOf(sockets.seen()[0]))
						}
						b.net.Lose(0)
						time.Sleep(5 * time.Second)
						c.cancel()
						time.Sleep(time.Second)
						require.Equal(t, uint64(1), r.State().Generation)
						if loss == 0 {
							require.Len(t, sockets.seen(), 1, "it was not even suspected")
						}
						require.LessOrEqual(t, c.sent.Load()-c.came.Load(), missed)
						c.stop()
					})
				})
			}
		}
	}
}

// got returns how long after a change all is well again: a frame has come that was written
// since or, where ours is the end that writes, a session is there and was heard. What reads
// at the relay waits there until it gives up the old session.
func got(r *Reconnect, c *cargo, s *sockets, load traffic, at time.Time, inFlight time.Duration) time.Duration {
	c.write()
	if load.read {
		return c.since(at)
	}
	heard := func(s *stampedSocket) bool { return s.closed().IsZero() && s.heard().After(at.Add(inFlight)) }
	for r.State().Phase != Connected || !slices.ContainsFunc(s.seen(), heard) {
		time.Sleep(5 * time.Millisecond)
	}
	return time.Since(at)
}

// The machine loses its network, in one of the ways below, and gets it back.
func TestNetworkReturns(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *bed, gone bool){
		"no route":   func(b *bed, gone bool) { b.net.Cut(b.at.Addr(), gone) },
		"black hole": func(b *bed, gone bool) { b.net.Dark(gone) },
	} {
		for _, load := range []traffic{quiet, loads[0], loads[1], loads[3]} {
			for _, d := range []time.Duration{time.Second, 3 * time.Second, 8 * time.Second, 20 * time.Second, time.Minute} {
				t.Run(fmt.Sprintf("%s/%s/%v", name, load.name, d), func(t *testing.T) {
					for range unlessRaced(2, 1) {
						onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
							r, c, sockets := b.laden(t, load, "moqt", Config{})
							defer c.stop()
							time.Sleep(15 * time.Second)
							change(b, true)
							time.Sleep(d)
							change(b, false)
							at := time.Now()
							r.Check()
							require.LessOrEqual(t, got(r, c, sockets, load, at, 0), overChange)
						})
					}
				})
			}
		}
	}
}

// The machine changes to another network: nothing comes to the old address any more. It
// takes a probe, a dial and its gate, of 60 ms and five round trips together, and two or three
// for the new subscription; on a busy session what was in flight hides the change for 0.3 s.
func TestNetworkChanges(t *testing.T) {
	t.Parallel()
	for _, load := range []traffic{quiet, loads[0], loads[1], loads[3]} {
		for _, trip := range []time.Duration{time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond} {
			t.Run(fmt.Sprintf("%s/%v", load.name, trip), func(t *testing.T) {
				onPath(t, trip/2, relay.Config{}, func(t *testing.T, b *bed) {
					r, c, sockets := b.laden(t, load, "moqt", Config{})
					defer c.stop()
					time.Sleep(16 * time.Second) // when no probe is on its way
					b.net.Silence(testnet.AddrOf(sockets.seen()[0]).Addr(), true)
					at := time.Now()
					r.Check()
					require.LessOrEqual(t, got(r, c, sockets, load, at, trip/2), overChange)
					require.Equal(t, uint64(2), r.State().Generation)
				})
			})
		}
	}
}
