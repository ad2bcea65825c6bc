package moq

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// traffic is what a session carries while it is watched.
type traffic struct {
	name string
	rate int // frames a second; 0: idle
	read bool
	slow time.Duration // for this time not more than 30 a second, since each costs the test
	late time.Duration // nothing is written for so long
}

var loads = []traffic{
	{name: "idle"},
	{name: "publishing 30 a second", rate: 30},
	{name: "publishing 1000 a second", rate: 1000},
	{name: "reading 30 a second", rate: 30, read: true},
	{name: "reading 1000 a second", rate: 1000, read: true},
}

// watchedClient connects a client under test that carries the traffic, beside another one
// that is its counterpart. It returns the sockets that the first one makes.
func (b *bed) watchedClient(t *testing.T, load traffic, config Config) (*Reconnect, *sockets) {
	ctx, cancel := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		busy.Wait()
	})
	source, sink := pubsub.NewOrigin(), pubsub.NewOrigin()
	clock, err := source.CreateBroadcast("clock")
	require.NoError(t, err)
	track, err := clock.CreateTrack("ticks", pubsub.TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, clock.Announce())
	publish, subscribe := config, config
	publish.Publish, subscribe.Subscribe = source, sink
	d := new(sockets)
	watched := &publish
	if load.read {
		watched = &subscribe
	}
	watched.ListenPacket = d.listenOn(b.net)
	reader := b.client(subscribe).Reconnect(t.Context(), b.url())
	writer := b.client(publish).Reconnect(t.Context(), b.url())
	if load.rate > 0 {
		began := time.Now()
		busy.Go(func() {
			time.Sleep(load.late)
			for ctx.Err() == nil {
				_ = track.WriteNow(make([]byte, 100))
				rate := min(load.rate, 30)
				if now := time.Since(began); now > load.slow && now < load.slow+3*time.Second {
					rate = load.rate
				}
				time.Sleep(time.Second / time.Duration(rate))
			}
		})
		follower := sink.Follow("clock", "ticks", pubsub.FollowOptions{})
		busy.Go(func() {
			defer follower.Close()
			for _, err := range follower.Groups(ctx) {
				if err != nil {
					return
				}
			}
		})
	}
	for _, r := range []*Reconnect{reader, writer} {
		_, err := r.Session(t.Context())
		require.NoError(t, err)
	}
	if load.read {
		return reader, d
	}
	return writer, d
}

// P3: how soon a black hole is noticed. Times are from the last packet that came.
func TestDetectsBlackHole(t *testing.T) {
	t.Parallel()
	const keepAlive = defaultKeepAlive
	for _, rtt := range []time.Duration{time.Millisecond, 50 * time.Millisecond, 300 * time.Millisecond, 1500 * time.Millisecond} {
		for _, load := range loads {
			t.Run(fmt.Sprintf("%v/%s", rtt, load.name), func(t *testing.T) {
				t.Parallel()
				hedge := max(3*time.Second, keepAlive+2*rtt)
				if load.rate > 0 {
					hedge = max(500*time.Millisecond, 3*rtt)
				}
				down := max(5*time.Second, keepAlive+4*rtt)
				warm := 10*time.Second + 6*rtt // until only its own traffic is remembered
				load.slow = warm - 300*time.Millisecond
				for phase := range unlessRaced(2, 1) {
					onPath(t, rtt/2, relay.Config{}, func(t *testing.T, b *bed) {
						r, d := b.watchedClient(t, load, Config{Backoff: Eager()})
						time.Sleep(warm + time.Duration(phase)*617*time.Millisecond + rand.N(time.Second))
						require.Len(t, d.seen(), 1, "it was left alone")
						b.net.Dark(true)
						for state := range r.States(t.Context()) {
							if state.Losses > 0 {
								break
							}
						}
						lost, all := time.Now(), d.seen()
						last := all[0].heard()
						require.LessOrEqual(t, all[1].made.Sub(last), hedge, "second dial")
						require.LessOrEqual(t, lost.Sub(last), down, "down")
						t.Logf("dial %v of %v, down %v of %v", all[1].made.Sub(last), hedge, lost.Sub(last), down)
					})
				}
			})
		}
	}
}

// A relay that is slow for a moment is not dialed again by everybody who has nothing to say:
// also a young session, which has exchanged no more than its first words, is idle.
func TestIdleSessionsAreNotHasty(t *testing.T) {
	for _, age := range []time.Duration{100 * time.Millisecond, time.Second, 20 * time.Second} {
		t.Run(age.String(), func(t *testing.T) {
			onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
				r, d := b.watchedClient(t, loads[0], Config{})
				time.Sleep(age)
				last := d.seen()[0].heard()
				b.net.Dark(true)
				time.Sleep(time.Until(last.Add(defaultKeepAlive - 300*time.Millisecond)))
				b.net.Dark(false)
				time.Sleep(10 * time.Second)
				require.Len(t, d.seen(), 1)
				require.Equal(t, uint64(1), r.State().Generation)
			})
		})
	}
}

// Traffic that has just begun is watched as closely as any other, however long nobody had
// anything to say before.
func TestDetectsBlackHoleEarly(t *testing.T) {
	t.Parallel()
	for _, late := range []time.Duration{0, 2600 * time.Millisecond, 20 * time.Second, 4 * time.Minute} {
		for _, load := range []traffic{loads[1], loads[3]} {
			t.Run(fmt.Sprintf("%s after %v", load.name, late), func(t *testing.T) {
				onBed(t, relay.Config{}, func(t *testing.T, b *bed) {
					load.late = late
					r, d := b.watchedClient(t, load, Config{Backoff: Eager()})
					time.Sleep(late + 1500*time.Millisecond)
					require.Len(t, d.seen(), 1)
					b.net.Dark(true)
					for state := range r.States(t.Context()) {
						if state.Losses > 0 {
							break
						}
					}
					all := d.seen()
					require.LessOrEqual(t, all[1].made.Sub(all[0].heard()), 500*time.Millisecond)
				})
			})
		}
	}
}
