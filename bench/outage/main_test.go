package main

import (
	"io"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func chosen(t *testing.T, args ...string) []string {
	t.Helper()
	o, err := parse(args, io.Discard)
	require.NoError(t, err)
	some, err := o.choose()
	require.NoError(t, err)
	var all []string
	for _, a := range some {
		all = append(all, a.String())
	}
	return all
}

func TestChoose(t *testing.T) {
	require.Equal(t, []string{"P1/eager", "P1/default", "P1/U", "P2/hint", "P2/nohint", "P2/proxy", "P2/U", "P2/U-short"}, chosen(t))
	require.Equal(t, []string{"P1/eager", "P1/default", "P1/U"}, chosen(t, "-row", "P1"))
	require.Equal(t, []string{"P1/U", "P2/proxy", "P2/U"}, chosen(t, "-arms", "U,proxy"))
	require.Equal(t, []string{"P2/hint"}, chosen(t, "-row", "P2", "-arms", "hint"))
	for _, args := range [][]string{{"-arms", "nobody"}, {"-row", "P3"}, {"-row", "P1", "-arms", "hint"}} {
		o, err := parse(args, io.Discard)
		require.NoError(t, err)
		_, err = o.choose()
		require.Error(t, err, args)
	}
}

func TestParse(t *testing.T) {
	o, err := parse([]string{"-kills", "100", "-seed", "7"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 100, o.kills)
	require.EqualValues(t, 7, o.seed)
	o, err = parse([]string{"-quick"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, quickKills, o.kills)
	for _, args := range [][]string{{"-kills", "0"}, {"-parallel", "0"}, {"extra"}, {"-nonsense"}} {
		_, err := parse(args, io.Discard)
		require.Error(t, err, args)
	}
}

func TestEveryArmHasATarget(t *testing.T) {
	for _, a := range arms() {
		ofUpstream := slices.Contains([]string{"U", "U-short"}, a.name)
		require.Equal(t, ofUpstream, a.target == target{}, a.String())
		require.NotNil(t, a.start, a.String())
	}
}
