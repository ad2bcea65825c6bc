package pubsub

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestArenaCopies(t *testing.T) {
	var a arena
	var kept [][]byte
	total := 0
	for i := range 5000 {
		p := bytes.Repeat([]byte{byte(i)}, i%700)
		c, allocated := a.copy(p)
		total += allocated
		kept = append(kept, c)
		clear(p)
	}
	size := 0
	for i, c := range kept {
		require.Equal(t, bytes.Repeat([]byte{byte(i)}, i%700), append([]byte{}, c...))
		require.Equal(t, len(c), cap(c), "appending to one must not reach the next")
		size += len(c)
	}
	require.GreaterOrEqual(t, total, size)
	require.Less(t, total, size+2*arenaLast)
}

func TestArenaGrowth(t *testing.T) {
	var a arena
	_, n := a.copy(make([]byte, 10))
	require.Equal(t, arenaFirst, n)
	_, n = a.copy(make([]byte, 10))
	require.Zero(t, n)
	_, n = a.copy(make([]byte, arenaFirst))
	require.Equal(t, 4*arenaFirst, n)
	_, n = a.copy(make([]byte, arenaLarge))
	require.Equal(t, arenaLarge, n, "a large payload has memory of its own")
	_, n = a.copy(make([]byte, 3*arenaFirst))
	require.Zero(t, n, "and leaves the block alone")
}
