package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/remoq/moq/bench/figures"
)

// target is what an arm's figure should be; what is zero is not asked.
type target struct {
	p50, p99 time.Duration
	ratio    float64 // to upstream's, at the same outages: the median of the pairs
	noWorse  bool    // p50 at most upstream's
}

func (t target) String() string {
	var parts []string
	if t.p50 > 0 {
		parts = append(parts, fmt.Sprintf("p50 <= %v", t.p50))
	}
	if t.p99 > 0 {
		parts = append(parts, fmt.Sprintf("p99 <= %v", t.p99))
	}
	if t.ratio > 0 {
		parts = append(parts, fmt.Sprintf("<= %.3g U", t.ratio))
	}
	if t.noWorse {
		parts = append(parts, "p50 <= U's")
	}
	if parts == nil {
		return "-"
	}
	return strings.Join(parts, ", ")
}

// summary is one line of the table. Its times are in seconds.
type summary struct {
	n, failed     int // outages with a figure, and without
	p50, p99, max float64
	off           int // outages after which a generation had not risen by one

	compared  bool    // upstream's client has figures of the same outages:
	upstream  float64 // its p50
	ratio     float64 // median of the pairs
	bounded   bool    // there are pairs enough for
	low, high float64 // its interval
}

// summarize compares an arm with upstream's, which may be missing.
func summarize(r result, upstream *result) summary {
	var s summary
	var own, ratios []float64
	others := figuresOf(upstream)
	for _, sample := range r.samples {
		if sample.err != nil {
			s.failed++
			continue
		}
		figure := sample.figure(r.arm.row).Seconds()
		own = append(own, figure)
		if sample.rises != [2]uint64{1, 1} {
			s.off++
		}
		if other, ok := others[sample.outage.number]; ok {
			ratios = append(ratios, figure/other)
		}
	}
	if s.n = len(own); s.n > 0 {
		s.p50, s.p99, s.max = figures.Quantile(own, 0.5), figures.Quantile(own, 0.99), figures.Quantile(own, 1)
	}
	if s.compared = len(ratios) > 0; s.compared {
		s.upstream, s.ratio = figures.Quantile(slices.Collect(maps.Values(others)), 0.5), figures.Median(ratios)
		s.low, s.high, s.bounded = figures.Interval(ratios)
	}
	return s
}

// figuresOf returns the figures of a result, by outage.
func figuresOf(r *result) map[int]float64 {
	all := make(map[int]float64)
	if r == nil {
		return all
	}
	for _, s := range r.samples {
		if s.err == nil {
			all[s.outage.number] = s.figure(r.arm.row).Seconds()
		}
	}
	return all
}

// judge tells whether a target is met, and else what is not.
func (t target) judge(s summary) string {
	var missed, open []string
	check := func(asked, known, met bool, what string) {
		switch {
		case asked && !known:
			open = append(open, what)
		case asked && !met:
			missed = append(missed, what)
		}
	}
	check(t.p50 > 0, s.n > 0, s.p50 <= t.p50.Seconds(), "p50")
	check(t.p99 > 0, s.n > 0, s.p99 <= t.p99.Seconds(), "p99")
	check(t.ratio > 0, s.compared, s.ratio <= t.ratio, "U")
	check(t.noWorse, s.compared, s.p50 <= s.upstream, "U")
	switch {
	case t == target{}:
		return "-"
	case s.failed > 0:
		return "FAILED"
	case missed != nil:
		return "MISSED " + strings.Join(missed, ", ")
	case open != nil:
		return "met but for " + strings.Join(open, ", ") + ", not measured"
	}
	return "met"
}

// show prints the rows.
func show(out io.Writer, results []result) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "row\twhat\tn\tfailed\tp50\tp99\tmax\tto U\t95 % interval\tsessions off\ttarget\t")
	for _, r := range results {
		s := summarize(r, upstreamOf(results, r.arm))
		ratio, span := "-", "-"
		if s.compared {
			ratio = fmt.Sprintf("%.3fx", s.ratio)
		}
		if s.bounded {
			span = fmt.Sprintf("%.3fx .. %.3fx", s.low, s.high)
		}
		times := "-\t-\t-"
		if s.n > 0 {
			times = fmt.Sprintf("%.3f s\t%.3f s\t%.3f s", s.p50, s.p99, s.max)
		}
		fmt.Fprintf(table, "%v\t%s\t%d\t%d\t%s\t%s\t%s\t%d\t%v\t%s\n",
			r.arm, r.arm.what, s.n, s.failed, times, ratio, span, s.off, r.arm.target, r.arm.target.judge(s))
	}
	return table.Flush()
}

// upstreamOf returns what the arm is compared with: nil if it was not measured, and for
// itself.
func upstreamOf(results []result, a arm) *result {
	for i, r := range results {
		if r.arm.row == a.row && r.arm.name == upstreamName && a.name != upstreamName {
			return &results[i]
		}
	}
	return nil
}

// write writes every sample.
func write(out io.Writer, results []result) error {
	w := csv.NewWriter(out)
	lines := [][]string{{"row", "arm", "outage", "phase_s", "down_s", "dark_s", "hole_s", "back_s", "publisher_sessions", "subscriber_sessions", "repeated_frames", "error"}}
	for _, r := range results {
		for _, s := range r.samples {
			problem := ""
			if s.err != nil {
				problem = s.err.Error()
			}
			lines = append(lines, []string{
				r.arm.row, r.arm.name, strconv.Itoa(s.outage.number), seconds(s.outage.phase), seconds(s.outage.down), seconds(s.dark),
				seconds(s.hole), seconds(s.back), strconv.FormatUint(s.rises[0], 10), strconv.FormatUint(s.rises[1], 10), strconv.Itoa(s.twice), problem,
			})
		}
	}
	return errors.Join(w.WriteAll(lines), w.Error())
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 4, 64) }
