package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// holes makes a result of P2 with these figures in milliseconds; one below zero is a
// failure.
func holes(name string, t target, figures ...int) result {
	r := result{arm: arm{row: "P2", name: name, what: "test", target: t}}
	for i, n := range figures {
		s := sample{outage: outage{number: i + 1}, hole: time.Duration(n) * time.Millisecond, back: time.Hour, rises: [2]uint64{1, 1}}
		if n < 0 {
			s.err = errors.New("never came back")
		}
		r.samples = append(r.samples, s)
	}
	return r
}

func TestSummarizeTakesTheRowsFigure(t *testing.T) {
	r := holes("hint", target{}, 300, 100, 200, 400)
	s := summarize(r, nil)
	require.Equal(t, summary{n: 4, p50: 0.2, p99: 0.4, max: 0.4}, s)
	r.arm.row = "P1"
	require.Equal(t, 3600.0, summarize(r, nil).p50)
}

func TestSummarizePairsByOutage(t *testing.T) {
	u := holes("U", target{}, 1000, -1, 2000, 4000, 1000, 1000, 1000)
	s := summarize(holes("hint", target{}, 500, 500, 500, -1, 500, 500, 250), &u)
	require.Equal(t, 6, s.n)
	require.Equal(t, 1, s.failed)
	require.True(t, s.compared)
	require.Equal(t, 0.5, s.ratio, "of 0.5, 0.25, 0.5, 0.5, 0.25: neither failure makes a pair")
	require.Equal(t, 1.0, s.upstream)
	require.False(t, s.bounded, "five pairs have no interval")

	u = holes("U", target{}, 100, 100, 100, 100, 100, 100)
	s = summarize(holes("hint", target{}, 10, 20, 30, 40, 50, 60), &u)
	require.True(t, s.bounded)
	require.InDelta(t, 0.1, s.low, 1e-9)
	require.InDelta(t, 0.6, s.high, 1e-9)
}

func TestSummarizeCountsGenerations(t *testing.T) {
	r := holes("hint", target{}, 1, 1, 1, 1)
	r.samples[0].rises = [2]uint64{1, 2}
	r.samples[2].rises = [2]uint64{0, 1}
	require.Equal(t, 2, summarize(r, nil).off)
}

func TestJudge(t *testing.T) {
	all := target{p50: 900 * time.Millisecond, p99: 2 * time.Second, ratio: 0.1}
	good := summary{n: 1, p50: 0.9, p99: 2, compared: true, ratio: 0.1, upstream: 9}
	for name, c := range map[string]struct {
		t    target
		with func(*summary)
		want string
	}{
		"at the bounds":        {all, func(*summary) {}, "met"},
		"slow":                 {all, func(s *summary) { s.p50 = 0.91 }, "MISSED p50"},
		"outlier":              {all, func(s *summary) { s.p99 = 2.01 }, "MISSED p99"},
		"no better":            {all, func(s *summary) { s.ratio = 0.11; s.p50 = 3 }, "MISSED p50, U"},
		"without U":            {all, func(s *summary) { s.compared = false }, "met but for U, not measured"},
		"slow and without U":   {all, func(s *summary) { s.compared = false; s.p50 = 1 }, "MISSED p50"},
		"one failed":           {all, func(s *summary) { s.failed = 1 }, "FAILED"},
		"nothing":              {all, func(s *summary) { *s = summary{} }, "met but for p50, p99, U, not measured"},
		"no target":            {target{}, func(*summary) {}, "-"},
		"no worse":             {target{noWorse: true}, func(s *summary) { s.p50 = 9 }, "met"},
		"worse":                {target{noWorse: true}, func(s *summary) { s.p50 = 9.1 }, "MISSED U"},
		"worse or not, no U":   {target{noWorse: true}, func(s *summary) { s.compared = false }, "met but for U, not measured"},
		"a ratio is no p50":    {target{noWorse: true}, func(s *summary) { s.ratio = 2 }, "met"},
		"no target, a failure": {target{}, func(s *summary) { s.failed = 1 }, "-"},
	} {
		s := good
		c.with(&s)
		require.Equal(t, c.want, c.t.judge(s), name)
	}
}

func TestShow(t *testing.T) {
	var out bytes.Buffer
	p2 := target{p50: 900 * time.Millisecond}
	results := []result{holes("hint", p2, 500, -1), holes("dead", p2, -1), holes("U", target{}, 1000, 1000)}
	results[0].arm.target.ratio = 0.25
	require.NoError(t, show(&out, results))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 4)
	require.Regexp(t, `^P2/hint +test +1 +1 +0\.500 s +0\.500 s +0\.500 s +0\.500x +- +0 +p50 <= 900ms, <= 0\.25 U +FAILED$`, lines[1])
	require.Regexp(t, `^P2/dead +test +0 +1 +- +- +- +- +- +0 .* FAILED$`, lines[2])
	require.Regexp(t, `^P2/U +test +2 +0 +1\.000 s .* - +-$`, lines[3], "it is not compared with itself")
}

func TestWrite(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, write(&out, []result{holes("hint", target{}, 1500, -1)}))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, "P2,hint,1,0.0000,0.0000,0.0000,1.5000,3600.0000,1,1,0,", lines[1])
	require.Contains(t, lines[2], "never came back")
	require.Equal(t, strings.Count(lines[0], ","), strings.Count(lines[1], ","))
}
