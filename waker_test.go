package moq

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// count returns how many wait.
func (w *waker) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting
}

// A machine that has slept while supervisors waited rouses them.
func TestWakerRouses(t *testing.T) {
	for _, test := range []struct {
		name   string
		jump   time.Duration
		roused int
	}{
		{"slept", time.Hour, 1},
		{"slept for long", 72 * time.Hour, 1},
		{"just long enough", minSleep + 1, 1},
		{"too short", minSleep, 0},
		{"the clock was set back", -24 * time.Hour, 0},
		{"nothing", 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				clock, roused := new(wall), 0
				w := newWaker(clock.now, func() { roused++ })
				w.asleep(1)
				time.Sleep(10*lookEvery - 1)
				clock.jump(test.jump)
				time.Sleep(lookEvery)
				synctest.Wait()
				require.Equal(t, test.roused, roused)
				time.Sleep(100 * lookEvery)
				synctest.Wait()
				require.Equal(t, test.roused, roused, "once")
				w.stop()
			})
		})
	}
}

// A sleep that falls between a look's reading of the clock and what comes after is seen by the next.
func TestSleepWithinALook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, looks, roused := new(wall), 0, 0
		w := newWaker(func() time.Time {
			now := clock.now()
			if looks++; looks == 4 {
				clock.jump(time.Hour)
			}
			return now
		}, func() { roused++ })
		w.asleep(1)
		time.Sleep(10*lookEvery - 1)
		synctest.Wait()
		require.Equal(t, 1, roused)
		w.stop()
	})
}

// Nobody waits: it looks no more. Whoever begins to wait later is not roused for what was
// before.
func TestWakerRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock, looks := new(wall), 0
		w := newWaker(func() time.Time { looks++; return clock.now() }, func() { t.Error("nobody slept") })
		time.Sleep(time.Hour)
		require.Zero(t, looks)
		w.asleep(1)
		w.asleep(1)
		w.asleep(-1)
		time.Sleep(10*lookEvery + 1)
		synctest.Wait()
		require.Greater(t, looks, 10)
		w.asleep(-1)
		time.Sleep(lookEvery)
		synctest.Wait()
		rested := looks
		time.Sleep(time.Hour)
		require.Equal(t, rested, looks)

		clock.jump(time.Hour)
		w.asleep(1)
		time.Sleep(10 * lookEvery)
		synctest.Wait()
		w.stop()
		w.stop()
		w.look() // the timer had fired just then
		rested = looks
		time.Sleep(time.Hour)
		require.Equal(t, rested, looks)
	})
}

// The whole of it: the wait ends when the machine is awake again, although no timer says so.
func TestSleepEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := newWall(t)
		c, err := NewClient(Config{Backoff: Backoff{Initial: time.Hour}, Resolve: noSuchHost})
		require.NoError(t, err)
		r := c.Reconnect(t.Context(), "moqt://relay")
		time.Sleep(time.Minute)
		require.Equal(t, Waiting, r.State().Phase)
		require.Equal(t, 1, r.State().Attempt)
		clock.jump(8 * time.Hour)
		time.Sleep(lookEvery)
		synctest.Wait()
		require.Equal(t, 2, r.State().Attempt)
		require.Equal(t, Waiting, r.State().Phase, "and then it waits as before")
		time.Sleep(time.Minute)
		require.Equal(t, 2, r.State().Attempt)
		r.Pause()
		time.Sleep(time.Minute)
		require.Zero(t, c.waker.count(), "a pause is no wait")
		r.Resume()
		time.Sleep(time.Second)
		require.Equal(t, 1, c.waker.count())
		require.NoError(t, c.Close())
		require.Zero(t, c.waker.count())
	})
}
