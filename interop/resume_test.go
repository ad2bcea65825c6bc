//go:build interop

package interop

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/pubsub"
)

// kills is how often each arm of TestResume loses its relay; MOQ_KILLS says otherwise.
func kills(t *testing.T) int {
	t.Helper()
	text := os.Getenv("MOQ_KILLS")
	if text == "" {
		return 2
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, "MOQ_KILLS")
	return n
}

// TestResume kills the relay under a publisher and a ResumeLast subscriber of ours, at
// random phases and for up to 4 s. With caches that outlive the outage nothing is lost: each
// frame comes once, in order, with its hash. With caches of a second, and outages that are
// longer, the gaps name exactly what did not come.
func TestResume(t *testing.T) {
	n := kills(t)
	var seen table
	t.Cleanup(func() {
		seen.print(t, "resume", "| relay 0.17.10 | carrier | version | kills | written | lost, as named | longest time without a frame |")
	})
	for _, arm := range []struct {
		name string
		keep time.Duration
		down time.Duration // at least; up to 4 s
		all  bool          // nothing may be lost
	}{{"caches of 30 s", 30 * time.Second, 200 * time.Millisecond, true}, {"caches of 1 s", time.Second, 3 * time.Second, false}} {
		for _, version := range []moq.Version{moq.Lite06, moq.Lite05} {
			for _, carrier := range []string{"https", "moqt"} {
				t.Run(fmt.Sprint(arm.name, " ", version, " ", carrier), func(t *testing.T) {
					t.Parallel()
					config := moq.Config{Backoff: moq.Eager(), Versions: []moq.Version{version}}
					p := startPair(t, startRelay(t, peers.RelayOptions{}), carrier, PairOptions{
						Info:    pubsub.TrackInfo{MaxAge: arm.keep},
						Follow:  pubsub.FollowOptions{Resume: pubsub.ResumeLast, SubscribeOptions: pubsub.SubscribeOptions{MaxAge: arm.keep}},
						Publish: config, Subscribe: config,
					})
					p.awaitFrames(t, 150, 15*time.Second)
					for range n {
						pause(t.Context(), rand.N(1500*time.Millisecond))
						p.relay.Kill()
						p.relay.Restart(t, arm.down+rand.N(4*time.Second-arm.down))
						p.awaitAfter(t, p.written(t), 40*time.Second)
					}
					// The relay lets go of a track that ends, also of what it still has to deliver.
					p.awaitThat(t, 20*time.Second, func() bool { return p.ledger.Newest().group+1 >= p.written(t).group })
					p.finish(t)
					lost := p.exact(t)
					if arm.all {
						require.Zero(t, lost)
						require.Empty(t, p.gaps)
					} else if n > 0 {
						require.NotZero(t, lost)
					}
					seen.add("| %s | %s | %s | %d | %d | %d | %.2f s |", arm.name, carrier, version, n, len(p.sent), lost, p.ledger.Hole().Seconds())
				})
			}
		}
	}
}
