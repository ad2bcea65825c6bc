package main

import (
	"context"
	"fmt"
	"time"

	"github.com/remoq/moq/bench/figures"
)

// result is a row's samples: ours, base and figures go together by index.
type result struct{ ours, base, figures []float64 }

// compare opens both arms, warms each up once, and samples them in turn, a pair at a
// time.
func (r row) compare(ctx context.Context, pairs int, d time.Duration) (res result, err error) {
	var arms [2]*arm
	for i, s := range []setup{r.ours, r.base} {
		if arms[i], err = open(ctx, s); err != nil {
			return res, fmt.Errorf("%s: %w", r.name, err)
		}
		defer arms[i].close()
	}
	for i := range pairs + 1 {
		var got [2]float64
		for j, a := range arms {
			if got[j], err = r.measure(a, d); err != nil {
				return res, fmt.Errorf("%s: %w", r.name, err)
			}
		}
		if i == 0 {
			continue // both have ramped up now
		}
		res.ours = append(res.ours, got[0])
		res.base = append(res.base, got[1])
		res.figures = append(res.figures, r.figure.combine(got[0], got[1]))
	}
	return res, nil
}

// line is the row as the table shows it.
func (r row) line(res result) string {
	mid := figures.Median(res.figures)
	span := "-"
	if low, high, ok := figures.Interval(res.figures); ok {
		span = fmt.Sprintf(r.figure.result+" .. "+r.figure.result, low, high)
	}
	verdict := "met"
	if !r.target.met(mid) {
		verdict = "MISSED"
	}
	return fmt.Sprintf("%s\t%s\t"+r.figure.sample+"\t"+r.figure.sample+"\t%s\t"+r.figure.result+"\t%s\t%s\t%s",
		r.name, r.what, figures.Median(res.ours), figures.Median(res.base), r.figure.unit, mid, span, r.target, verdict)
}
