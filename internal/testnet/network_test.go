package testnet

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var loaded = time.Now()

// TestClockStandsAboveZero: quic-go counts time from when the process began.
func TestClockStandsAboveZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		New(t, time.Millisecond)
		require.Positive(t, time.Since(loaded))
	})
}

// TestAddressIsTakenAgain: what comes while another socket takes an address finds none or one that
// can receive, which the race detector sees.
func TestAddressIsTakenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(t, time.Millisecond)
		at := netip.MustParseAddrPort("10.1.0.1:4443")
		from, to := n.Socket(), n.At(at)
		n.LimitDown(at.Addr(), 8000, time.Minute)
		for range 300 {
			for range 3 {
				_, err := from.WriteTo(make([]byte, 10), net.UDPAddrFromAddrPort(at))
				require.NoError(t, err)
			}
			require.NoError(t, to.Close())
			time.Sleep(10 * time.Millisecond) // the first leaves
			to = n.At(at)
			time.Sleep(time.Second)
		}
	})
}
