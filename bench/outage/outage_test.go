package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPlanDependsOnTheSeedOnly(t *testing.T) {
	require.Equal(t, plan("P1", 50, 7), plan("P1", 50, 7))
	require.Equal(t, plan("P2", 50, 7)[:10], plan("P2", 10, 7), "more outages begin with the same ones")
	require.NotEqual(t, plan("P2", 50, 7), plan("P2", 50, 8))
}

func TestPlanSpreads(t *testing.T) {
	const n = 2000
	for row, least := range map[string]time.Duration{"P1": 200 * time.Millisecond, "P2": 200 * time.Millisecond} {
		var phases, downs [10]int
		for i, o := range plan(row, n, 1) {
			require.Equal(t, i+1, o.number)
			require.GreaterOrEqual(t, o.down, least)
			require.Equal(t, row == "P1", o.graceful)
			phases[o.phase*10/time.Second]++
			if row == "P1" {
				downs[(o.down-least)*10/(4300*time.Millisecond)]++
			} else {
				require.Equal(t, least, o.down)
			}
		}
		for _, count := range phases {
			require.InDelta(t, n/10, count, n/40, "phases are uniform in a second")
		}
		for _, count := range downs {
			if row == "P1" {
				require.InDelta(t, n/10, count, n/40, "lengths are uniform")
			}
		}
	}
}

func TestWrong(t *testing.T) {
	require.NoError(t, sample{}.wrong(true))
	require.ErrorContains(t, sample{twice: 3}.wrong(true), "3 frames came twice")
	require.NoError(t, sample{twice: 3}.wrong(false), "upstream's application subscribes anew, within a group")
}
