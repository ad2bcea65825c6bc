//go:build interop

package interop

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/peers"
)

// These tests prove the peers and this harness without our library: what fails
// here is not its fault.

func TestProofPythonThroughRelay(t *testing.T) {
	for _, binary := range []string{peers.MoqRelay, peers.MoqRelay14} {
		for _, carrier := range []string{"https", "moqt"} {
			t.Run(binary[:len("moq-relay-0.17")]+" "+carrier, func(t *testing.T) {
				t.Parallel()
				r := startRelay(t, peers.RelayOptions{Binary: binary})
				reader := startPythonClient(t, r, carrier, "subscribe", "--path", "a/b", "--unknown", "nope")
				writer := startPythonClient(t, r, carrier, "publish", "--path", "a/b", "--frames", "20")
				reader.AwaitNamed(t, 10*time.Second, "subscribed")
				unknown := reader.AwaitNamed(t, 10*time.Second, "unknown")
				require.NotNil(t, unknown.Error, "a track that nobody makes was found")
				writer.Say(t, "go")
				first := writer.AwaitNamed(t, 10*time.Second, "group").Group
				writer.AwaitNamed(t, 20*time.Second, "finished")
				reader.AwaitNamed(t, 10*time.Second, "track_end")
				require.NoError(t, reader.Ledger.Complete(first, first+9, 0, 20))
				writer.Say(t, "retract")
				reader.Await(t, 10*time.Second, func(e Event) bool { return e.Event == "announce" && !e.Active && e.Path == "a/b" })
			})
		}
	}
}

// The negative control with real peers: a frame that was spoiled or left out at
// its source is seen at the other end of the relay.
func TestProofOfTheNegativeControl(t *testing.T) {
	for flag, says := range map[string]string{"--damage": "SHA-256", "--drop": "frame 8 of group 2 was delivered as number 7"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t, peers.RelayOptions{})
			reader := startPythonClient(t, r, "https", "subscribe")
			writer := startPythonClient(t, r, "https", "publish", "--frames", "10", flag, "2", "7")
			reader.AwaitNamed(t, 10*time.Second, "subscribed")
			writer.Say(t, "go")
			first := writer.AwaitNamed(t, 10*time.Second, "group").Group
			require.Zero(t, first)
			reader.AwaitNamed(t, 10*time.Second, "track_end")
			require.ErrorContains(t, reader.Ledger.Complete(first, first+9, 0, 10), says)
		})
	}
}

func TestProofClockThroughRelay(t *testing.T) {
	for _, carrier := range []string{"https", "moqt"} {
		t.Run(carrier, func(t *testing.T) {
			t.Parallel()
			r := startRelay(t, peers.RelayOptions{})
			startClock(t, r, carrier, "moq-lite-06", "publish", "clock", "seconds")
			reader := startClock(t, r, carrier, "moq-lite-06", "subscribe", "clock", "seconds")
			new(Ticks).read(t, 3, reader.Line)
			unknown := startClock(t, r, carrier, "moq-lite-06", "subscribe", "clock", "nope")
			code, err := unknown.ExitCode(within(t, 10*time.Second))
			require.NoError(t, err)
			require.NotZero(t, code, "a track that nobody makes was found")
		})
	}
}

func TestProofRelayRestartsOnItsPort(t *testing.T) {
	t.Parallel()
	r := startRelay(t, peers.RelayOptions{})
	for _, end := range []func(){r.Kill, r.Terminate} {
		end()
		_, err := r.Serves(within(t, time.Second))
		require.Error(t, err, "the relay is still there")
		r.Restart(t, 50*time.Millisecond) // fails unless the certificate is the same
	}
}

func TestProofAuthServerIsAsked(t *testing.T) {
	t.Parallel()
	auth := startAuthServer(t)
	r := startRelay(t, peers.RelayOptions{AuthURL: auth.URL})
	client := func(token string) *Python {
		return startPython(t, "publish", "--url", r.tokenURL("https", token), "--fingerprint", r.Certificate.Fingerprint)
	}
	client("good").AwaitNamed(t, 10*time.Second, "announced")
	refused := client("bad").AwaitNamed(t, 10*time.Second, "error")
	require.NotNil(t, refused.Error)
	require.Contains(t, fmt.Sprint(refused.Error), "UNAUTHORIZED")

	asked := auth.Asked("/anon")
	require.Len(t, asked, 2)
	require.Equal(t, "connect", asked[0].Event)
	require.Equal(t, "jwt=good", asked[0].Query)

	auth.SetDown(true)
	_, err := peers.Get(within(t, 10*time.Second), "http://"+r.Addr+"/announced")
	require.ErrorContains(t, err, fmt.Sprint("status ", http.StatusBadGateway))
}
