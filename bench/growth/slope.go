package main

import (
	"fmt"
	"math"

	"github.com/remoq/moq/bench/figures"
)

// slope fits a line through the logarithms of x and y, all positive.
func slope(x, y []float64) float64 {
	var sx, sy, sxx, sxy float64
	n := float64(len(x))
	for i := range x {
		a, b := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy = sx+a, sy+b, sxx+a*a, sxy+a*b
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// verdict compares a figure with the most that it should be.
func verdict(got, most float64) string {
	return fmt.Sprintf("target %g: %s", most, metIf(got <= most))
}

func metIf(ok bool) string {
	if ok {
		return "met"
	}
	return "missed"
}

// judge is verdict for what was measured several times. If the interval of its median has the
// target within it, nothing is shown.
func judge(v []float64, most float64) string {
	said := verdict(figures.Median(v), most)
	if low, high, ok := figures.Interval(v); !ok || low <= most && most < high {
		said += ", not for sure"
	}
	return said
}

// spread says the median of ratios, with its interval if there are enough for one.
func spread(v []float64) string {
	s := fmt.Sprintf("%.2fx", figures.Median(v))
	if low, high, ok := figures.Interval(v); ok {
		s += fmt.Sprintf(" [%.2f, %.2f]", low, high)
	}
	return s
}
