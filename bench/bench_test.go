package main

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/pubsub"
)

// TestTable runs the whole program with the least of everything.
func TestTable(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-pairs", "1", "-time", "1ms"}, &out, io.Discard))
	head, table, ok := strings.Cut(out.String(), "\n\n")
	require.True(t, ok, "a blank line between the environment and the table")
	require.Regexp(t, `quic-go v\d+\.\d+\.\d+`, head)
	require.Regexp(t, `(?s)rmem .+ wmem .+GSO (true|false)`, head)
	require.Contains(t, head, "both ends in this process")
	lines := strings.Split(strings.TrimSpace(table), "\n")
	require.Len(t, lines, 1+len(rows()))
	for i, r := range rows() {
		require.Regexp(t, "^"+regexp.QuoteMeta(r.name)+` .*\d.* (met|MISSED)$`, strings.TrimSpace(lines[i+1]))
	}
}

func TestFlags(t *testing.T) {
	quiet := func(args ...string) error { return run(t.Context(), args, io.Discard, io.Discard) }
	require.ErrorIs(t, quiet("-pairs", "0"), errPairs)
	require.ErrorContains(t, quiet("-run", "no such row"), "no row matches")
	require.Error(t, quiet("-run", "("))
	require.Error(t, quiet("-time", "fast"))

	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-run", "P6/64/delay", "-pairs", "6", "-time", "1ms"}, &out, io.Discard))
	require.Regexp(t, `P6/64/delay .* us +[+-]\d+ us +[+-]\d+ us \.\. [+-]\d+ us +<= 1000 +met`, out.String())
	require.NotContains(t, out.String(), "P7")
}

func TestTarget(t *testing.T) {
	require.True(t, target{2, false}.met(2))
	require.False(t, target{2, false}.met(1.99))
	require.True(t, target{4, true}.met(4))
	require.False(t, target{4, true}.met(4.01))
}

// What each combination of ends counts is whole groups, each once.
func TestEndsDeliver(t *testing.T) {
	tiny := load{size: 16, frames: 3, step: time.Millisecond, batch: 2, window: 2}
	one := load{size: 16, frames: 1, step: time.Millisecond, batch: 2, window: 2}
	for name, s := range map[string]setup{
		"raw":         {load: tiny},
		"gathered":    {load: tiny, gather: coalesced},
		"publish":     {load: tiny, from: ours},
		"owned":       {load: tiny, from: ours, own: true},
		"receive":     {load: tiny, to: ours},
		"append":      {load: tiny, to: ours, append: true},
		"both":        {load: tiny, from: ours, to: ours},
		"raw one":     {load: one},
		"publish one": {load: one, from: ours},
		"receive one": {load: one, to: ours},
		"both one":    {load: one, from: ours, to: ours},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := open(t.Context(), s)
			require.NoError(t, err)
			defer a.close()
			require.NoError(t, a.flood(func(sent int) bool { return sent < 5 }))
			require.EqualValues(t, 10, a.seen.groups.Load())
			require.EqualValues(t, 45, a.seen.sum.Load())
		})
	}
}

// A receiver that took anything would measure nothing.
func TestReceiversCheck(t *testing.T) {
	l := load{size: 16, frames: 2, step: time.Millisecond, batch: 1, window: 2}
	for name, to := range map[string]end{"raw": raw, "ours": ours} {
		t.Run(name+" wrong number", func(t *testing.T) {
			a, err := open(t.Context(), setup{load: l, to: to})
			require.NoError(t, err)
			defer a.close()
			require.NoError(t, a.seen.start())
			require.NoError(t, a.sender.begin(0))
			require.NoError(t, a.sender.frame(0))
			require.NoError(t, a.sender.frame(7))
			require.NoError(t, a.sender.end())
			a.next = 1
			require.ErrorContains(t, a.why(a.seen.finish(a.next)), "frame 7 came instead of 1")
		})
		t.Run(name+" short group", func(t *testing.T) {
			a, err := open(t.Context(), setup{load: l, to: to})
			require.NoError(t, err)
			defer a.close()
			require.NoError(t, a.seen.start())
			require.NoError(t, a.sender.begin(0))
			require.NoError(t, a.sender.frame(0))
			require.NoError(t, a.sender.end())
			require.ErrorContains(t, a.why(a.seen.finish(1)), "EOF")
		})
	}
}

func TestTallyFindsDuplicates(t *testing.T) {
	l := load{size: 16, frames: 1, batch: 1, window: 2}
	seen := newTally(t.Context(), l, false)
	require.NoError(t, seen.start())
	require.NoError(t, seen.start())
	seen.group(0)
	seen.group(0)
	require.ErrorContains(t, seen.finish(2), "add up to 0 instead of 1")
	require.ErrorContains(t, seen.finish(3), "2 groups came instead of 3")
}

// A sender that waits for a receiver ends with the arm.
func TestArmEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	a, err := open(ctx, setup{load: long(64), from: ours, to: ours})
	require.NoError(t, err)
	defer a.close()
	flooded := make(chan error, 1)
	go func() { flooded <- a.flood(func(int) bool { return true }) }()
	cancel()
	require.ErrorIs(t, <-flooded, context.Canceled)
}

func TestLoads(t *testing.T) {
	for _, size := range []int{64, 128, 1024} {
		l := long(size)
		require.LessOrEqual(t, l.frames, 8192)
		require.LessOrEqual(t, l.frames*l.size, 1<<20)
		// What is under way must not become too old, or it is rightly thrown away.
		ahead := time.Duration((l.window+1)*l.batch*l.frames) * l.step
		require.Less(t, ahead, pubsub.DefaultMaxAge)
	}
	l := single(groupSize)
	require.Less(t, time.Duration((l.window+1)*l.batch)*l.step, pubsub.DefaultMaxAge)
}
