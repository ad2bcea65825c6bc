package moq

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
)

// backFromSleep is within what time data flow again.
const backFromSleep = 3 * time.Second

// wall is a clock on the wall. A machine that sleeps is one whose wall clock jumps forward:
// its monotonic clock, and with it its timers, stand still.
type wall struct{ ahead atomic.Int64 }

// newWall is the one of all clients that are made from now on.
func newWall(t *testing.T) *wall {
	w, real := new(wall), wallClock
	wallClock = w.now
	t.Cleanup(func() { wallClock = real })
	return w
}

func (w *wall) now() time.Time { return time.Now().Round(0).Add(time.Duration(w.ahead.Load())) }

func (w *wall) jump(d time.Duration) { w.ahead.Add(int64(d)) }

// sleep lets the client's machine sleep, which for the client is no time at all. A relay
// forgets sessions that it has not heard for its idle timeout.
func (b *bed) sleep(t *testing.T, w *wall, d time.Duration) {
	if d >= 10*time.Second {
		require.NoError(t, b.up.Kill())
		b.start()
	}
	w.jump(d)
}

// quiet is a reader to whom nothing comes.
var quiet = traffic{name: "reading nothing", read: true}

var sleeps = []time.Duration{time.Second, 9 * time.Second, 11 * time.Second, 72 * time.Hour}

// R8: after a sleep the session is replaced if the relay has forgotten it, and left alone
// if not.
func TestSleepWhileConnected(t *testing.T) {
	for _, load := range []traffic{quiet, loads[0], loads[1], loads[3]} {
		for _, d := range sleeps {
			t.Run(fmt.Sprintf("%s/%v", load.name, d), func(t *testing.T) {
				for phase := range unlessRaced(2, 1) {
					onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
						w := newWall(t)
						_, c, sockets := b.laden(t, load, "moqt", Config{Backoff: Eager()})
						defer c.stop()
						time.Sleep(15*time.Second + time.Duration(phase)*1711*time.Millisecond)
						b.sleep(t, w, d)
						woke := time.Now()
						c.write()
						back := c.since(woke)
						require.LessOrEqual(t, back, backFromSleep)
						if d < 10*time.Second {
							time.Sleep(5 * time.Second)
							require.Len(t, sockets.seen(), 1, "it was left alone")
						}
					})
				}
			})
		}
	}
}

// Where an idle session is asked seldom, whatever is sent after a sleep has it asked.
func TestSleepBetweenKeepAlives(t *testing.T) {
	idle := &quic.Config{MaxIdleTimeout: time.Minute}
	seldom := QUICOptions{KeepAlive: 25 * time.Second, MaxIdleTimeout: time.Minute}
	for phase := range 2 {
		onBed(t, relay.Config{QUIC: idle}, func(t *testing.T, b *bed) {
			w := newWall(t)
			_, c, _ := b.laden(t, loads[0], "moqt", Config{Backoff: Eager(), QUIC: seldom})
			defer c.stop()
			time.Sleep(time.Minute + time.Duration(phase)*4111*time.Millisecond)
			b.sleep(t, w, time.Hour)
			woke := time.Now()
			c.write()
			require.LessOrEqual(t, c.since(woke), backFromSleep)
		})
	}
}

// One that waits for the next attempt notices it within 2 s.
func TestSleepWhileWaiting(t *testing.T) {
	for _, d := range sleeps[1:] {
		t.Run(d.String(), func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				w := newWall(t)
				r, c, _ := b.laden(t, loads[1], "moqt", Config{Backoff: Backoff{Initial: time.Hour}})
				defer c.stop()
				time.Sleep(time.Second)
				require.NoError(t, b.up.Close())
				time.Sleep(time.Minute)
				require.Equal(t, Waiting, r.State().Phase)
				b.start()
				w.jump(d)
				back := c.since(time.Now())
				require.LessOrEqual(t, back, backFromSleep)
			})
		})
	}
}

// A clock that is set, on a path that is well, reconnects nothing.
func TestClockJumps(t *testing.T) {
	for _, load := range []traffic{quiet, loads[0], loads[1], loads[3]} {
		t.Run(load.name, func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				w := newWall(t)
				r, c, sockets := b.laden(t, load, "moqt", Config{})
				defer c.stop()
				for _, jump := range []time.Duration{time.Second, -time.Second, 24 * time.Hour, -24 * time.Hour, -24 * time.Hour, 72 * time.Hour} {
					time.Sleep(2711 * time.Millisecond)
					w.jump(jump)
				}
				time.Sleep(10 * time.Second)
				require.Equal(t, uint64(1), r.State().Generation)
				require.Len(t, sockets.seen(), 1)
				require.LessOrEqual(t, c.sent.Load()-c.came.Load(), int64(load.rate))
			})
		})
	}
}
