// Package figures is what the programs of bench share: how samples become a figure, and
// what a figure depends on.
package figures

import (
	"math"
	"slices"
)

// Median returns the middle of v, which is not empty.
func Median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// Quantile returns the smallest of v, which is not empty, that is at least as large as
// the fraction q of them: the nearest rank. Of 40 samples the 0.99 quantile is the
// largest.
func Quantile(v []float64, q float64) float64 {
	s := slices.Sorted(slices.Values(v))
	rank := int(math.Ceil(q*float64(len(s)) - 1e-9)) // 0.07 * 100 is a little more than 7
	return s[min(max(rank, 1), len(s))-1]
}

// Interval returns the narrowest pair of order statistics between which the median of
// the population lies with at least 95 % confidence, whatever its distribution. With
// fewer than six values there is none, and ok is false.
func Interval(v []float64) (low, high float64, ok bool) {
	n := len(v)
	below := 0.0 // P(fewer than k+1 of n values lie below the median)
	k := -1
	for {
		p := math.Exp(logChoose(n, k+1) - float64(n)*math.Ln2)
		if 2*(below+p) > 0.05 {
			break
		}
		below += p
		k++
	}
	if k < 0 {
		return 0, 0, false
	}
	s := slices.Sorted(slices.Values(v))
	return s[k], s[n-1-k], true
}

func logChoose(n, k int) float64 {
	return logFactorial(n) - logFactorial(k) - logFactorial(n-k)
}

func logFactorial(n int) float64 {
	v, _ := math.Lgamma(float64(n + 1))
	return v
}
