//go:build interop

package interop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
	"github.com/remoq/moq/pubsub"
)

// TestIdle: an idle session is probed before each keep-alive. Every peer answers, and none
// minds: the session is never thought silent.
func TestIdle(t *testing.T) {
	const quiet = 12 * time.Second // four probes, and longer than any idle timeout
	for _, hub := range []string{peers.MoqRelay, peers.MoqRelay14, "python"} {
		for _, carrier := range []string{"https", "moqt"} {
			t.Run(hubName(hub)+" "+carrier, func(t *testing.T) {
				t.Parallel()
				r, _ := Cell{Hub: hub}.hub(t)
				provider := new(Provider)
				hooks := provider.hooks()
				hooks.Credentials = nil
				client := newClient(t, r, "client", moq.Config{Subscribe: pubsub.NewOrigin(), Hooks: hooks})
				idle := client.Reconnect(t.Context(), r.URL(carrier))
				session, err := idle.Session(within(t, 5*time.Second))
				require.NoError(t, err)
				pause(t.Context(), quiet)

				require.NoError(t, session.Err())
				require.Equal(t, []moq.EventKind{moq.EventConnected}, provider.kinds())
				sent := idle.Stats().PacketsSent
				t.Logf("%d packets sent, %d received", sent, idle.Stats().PacketsReceived)
			})
		}
	}
}
