package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"text/tabwriter"
)

// passage is what a fleet does whose relay is away for a while: percent of it, and
// seconds after the end.
type passage struct {
	Busiest float64 // 100 ms with most attempts
	Late    float64 // the same from 10 s on
	P50     float64
	P99     float64
}

// policy is how a fleet of its clients fares.
type policy struct {
	Policy      string
	Short, Long passage // outages of 3 and of 60 s
	Steady      float64 // the busiest 100 ms of an outage's second half over the mean one
}

// herds lets the package's own test drive the real pacer, which has no door for
// programs, on virtual time.
func herds(ctx context.Context) ([]policy, error) {
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-run", "^TestHerdTable$", "-v", "github.com/remoq/moq")
	out, err := test.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%v: %w\n%s", test, err, out)
	}
	return parseHerds(out)
}

func parseHerds(out []byte) ([]policy, error) {
	var all []policy
	for line := range bytes.Lines(out) {
		line, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("herd "))
		if !ok {
			continue
		}
		var p policy
		if err := json.Unmarshal(line, &p); err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		return nil, errors.New("TestHerdTable printed no policy")
	}
	return all, nil
}

// demand is one thing that a policy is asked for.
type demand struct {
	what string
	most float64
	of   func(policy) float64
}

// demands are the targets of P13.
var demands = map[string][]demand{
	"Gentle": {
		{"3 s: busiest <= 4 %", 4, func(p policy) float64 { return p.Short.Busiest }},
		{"60 s: busiest <= 4 %", 4, func(p policy) float64 { return p.Long.Busiest }},
		{"60 s: p99 <= 5 s", 5, func(p policy) float64 { return p.Long.P99 }},
		{"steady <= 1.10", 1.1, func(p policy) float64 { return p.Steady }},
	},
	"Eager": {
		{"3 s: busiest <= 25 %", 25, func(p policy) float64 { return p.Short.Busiest }},
		{"3 s: p50 <= 0.30 s", 0.3, func(p policy) float64 { return p.Short.P50 }},
		{"60 s: late <= 4 %", 4, func(p policy) float64 { return p.Long.Late }},
		{"60 s: p99 <= 5 s", 5, func(p policy) float64 { return p.Long.P99 }},
	},
}

// judge says which demands are not met.
func (p policy) judge() (asked, verdict string) {
	var all, missed []string
	for _, d := range demands[p.Policy] {
		all = append(all, d.what)
		if got := d.of(p); got > d.most {
			missed = append(missed, fmt.Sprintf("%s (%.2f)", d.what, got))
		}
	}
	switch {
	case all == nil:
		return "-", "-"
	case missed != nil:
		return strings.Join(all, ", "), "MISSED " + strings.Join(missed, ", ")
	}
	return strings.Join(all, ", "), "met"
}

// showHerds prints P13.
func showHerds(out io.Writer, policies []policy) error {
	fmt.Fprint(out, "\nP13: 100,000 clients lose their relay at once, for 3 s and for 60 s, on virtual time; busiest: most attempts in 100 ms,\n"+
		"in % of the fleet; late: the same from 10 s on; p50 and p99: back so long after the relay; steady: peak to mean\n\n")
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "row\t3 s: busiest\tp50\tp99\t60 s: busiest\tlate\tp50\tp99\tsteady\ttarget\t")
	for _, p := range policies {
		_, verdict := p.judge()
		fmt.Fprintf(table, "P13/%s\t%.1f %%\t%.2f s\t%.2f s\t%.1f %%\t%.1f %%\t%.2f s\t%.2f s\t%.2f\t%s\n",
			p.Policy, p.Short.Busiest, p.Short.P50, p.Short.P99, p.Long.Busiest, p.Long.Late, p.Long.P50, p.Long.P99, p.Steady, verdict)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "\ntargets:")
	for _, p := range policies {
		if asked, _ := p.judge(); asked != "-" {
			fmt.Fprintf(out, "P13/%s: %s\n", p.Policy, asked)
		}
	}
	return nil
}
