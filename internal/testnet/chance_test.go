package testnet

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// arrivals sends count packets of size bytes, a millisecond apart, and returns the numbers of
// those that came, in the order in which they did. Those that came in pieces are -1.
func arrivals(t *testing.T, count, size int, set func(*Network)) []int {
	t.Helper()
	var came []int
	synctest.Test(t, func(t *testing.T) {
		n := New(t, 10*time.Millisecond)
		from, to := n.Socket(), n.Socket()
		n.Reseed(7)
		set(n)
		done := make(chan struct{})
		go func() {
			defer close(done)
			buf := make([]byte, 1500)
			for {
				k, _, err := to.ReadFrom(buf)
				if err != nil { // it was closed
					return
				}
				number := int(binary.BigEndian.Uint32(buf))
				if !bytes.Equal(buf[:k], packet(number, size)) {
					number = -1
				}
				came = append(came, number)
			}
		}()
		for i := range count {
			_, err := from.WriteTo(packet(i, size), to.LocalAddr())
			require.NoError(t, err)
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		require.NoError(t, to.Close())
		<-done
	})
	return came
}

func packet(number, size int) []byte {
	b := bytes.Repeat([]byte{byte(number)}, size)
	binary.BigEndian.PutUint32(b, uint32(number))
	return b
}

func TestNothingHappensByItself(t *testing.T) {
	came := arrivals(t, 100, 100, func(*Network) {})
	require.Len(t, came, 100)
	require.True(t, slices.IsSorted(came))
}

func TestLoseRuns(t *testing.T) {
	came := arrivals(t, 1000, 100, func(n *Network) { n.LoseRuns(0.02, 5) })
	require.Less(t, len(came), 970)
	require.Greater(t, len(came), 800)
	for i, at := range came[1:] {
		if lost := at - came[i] - 1; at < 990 {
			require.Zero(t, lost%5, "%d in a row before %d", lost, at)
		}
	}
}

func TestLoseEndsWithItsShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New(t, 0)
		from, to := AddrOf(n.Socket()), AddrOf(n.Socket())
		n.LoseRuns(1, 5)
		require.True(t, n.loses(from, to))
		n.Lose(0)
		n.Lose(1e-9)
		require.False(t, n.loses(from, to))
	})
}

func TestDuplicate(t *testing.T) {
	came := arrivals(t, 1000, 100, func(n *Network) { n.Duplicate(0.1) })
	require.InDelta(t, 1100, len(came), 40)
	require.Len(t, slices.Compact(slices.Clone(came)), 1000, "the second comes right behind the first")
}

func TestReorder(t *testing.T) {
	came := arrivals(t, 1000, 100, func(n *Network) { n.Reorder(0.1, 5*time.Millisecond) })
	require.Len(t, came, 1000)
	require.False(t, slices.IsSorted(came))
	for i, number := range came {
		require.InDelta(t, i, number, 6, "it is late by 5 packets at most")
	}
	slices.Sort(came)
	require.Len(t, slices.Compact(came), 1000)
}

func TestCorrupt(t *testing.T) {
	came := arrivals(t, 1000, 100, func(n *Network) { n.Corrupt(0.1) })
	require.Len(t, came, 1000)
	broken := 0
	for _, number := range came {
		if number == -1 {
			broken++
		}
	}
	require.InDelta(t, 100, broken, 40)
}

func TestMTU(t *testing.T) {
	require.Empty(t, arrivals(t, 10, 1251, func(n *Network) { n.MTU(1250) }))
	require.Len(t, arrivals(t, 10, 1250, func(n *Network) { n.MTU(1250) }), 10)
	require.Len(t, arrivals(t, 10, 1400, func(n *Network) { n.MTU(1250); n.MTU(0) }), 10)
}

// TestChanceRepeats: the same seed does the same to the same packets.
func TestChanceRepeats(t *testing.T) {
	all := func(n *Network) {
		n.LoseRuns(0.02, 3)
		n.Duplicate(0.1)
		n.Reorder(0.1, 5*time.Millisecond)
		n.Corrupt(0.1)
	}
	first := arrivals(t, 300, 100, all)
	require.Equal(t, first, arrivals(t, 300, 100, all))
	require.NotEqual(t, first, arrivals(t, 300, 100, func(n *Network) { all(n); n.Reseed(8) }))
}
