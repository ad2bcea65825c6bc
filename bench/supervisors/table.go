package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/remoq/moq/bench/figures"
)

// comparison is how a row's figure comes from ours and the other arm's.
type comparison int

const (
	absolute   comparison = iota // ours
	difference                   // ours less the other's
	ratio                        // ours to the other's
)

// row is one line of the first table.
type row struct {
	name, what  string
	how         comparison
	ours, other []float64 // samples, taken in turn; other may be empty
	target      float64   // the figure at most; 0: none
	missing     bool      // there is nothing to measure yet
}

// samples are those of the figure.
func (r row) samples() []float64 {
	if r.how == absolute {
		return r.ours
	}
	var all []float64
	for i, own := range r.ours {
		if r.how == ratio {
			all = append(all, own/r.other[i])
		} else {
			all = append(all, own-r.other[i])
		}
	}
	return all
}

// format writes a figure.
func (r row) format(v float64) string {
	switch r.how {
	case difference:
		return fmt.Sprintf("%+.2f", v)
	case ratio:
		return fmt.Sprintf("%.2fx", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// asked is the target in words.
func (r row) asked() string {
	switch {
	case r.missing:
		return "there is one"
	case r.target == 0:
		return "-"
	case r.how == difference:
		return fmt.Sprintf("<= R + %g", r.target)
	case r.how == ratio:
		return fmt.Sprintf("<= %.2f R", r.target)
	default:
		return fmt.Sprintf("<= %g", r.target)
	}
}

func (r row) verdict() string {
	switch {
	case r.missing:
		return "MISSED"
	case r.target == 0:
		return "-"
	case figures.Median(r.samples()) <= r.target:
		return "met"
	default:
		return "MISSED"
	}
}

// show prints the rows.
func show(out io.Writer, rows []row) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "row\twhat\tn\tours\tother\tfigure\t95 % interval\ttarget\t")
	for _, r := range rows {
		ours, other, figure, span := "-", "-", "-", "-"
		if len(r.other) > 0 {
			other = fmt.Sprintf("%.2f", figures.Median(r.other))
		}
		if len(r.ours) > 0 {
			ours, figure = fmt.Sprintf("%.2f", figures.Median(r.ours)), r.format(figures.Median(r.samples()))
			if low, high, ok := figures.Interval(r.samples()); ok {
				span = r.format(low) + " .. " + r.format(high)
			}
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", r.name, r.what, len(r.ours), ours, other, figure, span, r.asked(), r.verdict())
	}
	return table.Flush()
}
