package main

import (
	"context"
	"time"

	"github.com/remoq/moq/bench/figures"
)

// delay sends frames one at a time for about d, each once the one before has arrived,
// and returns the median time from the write to the receiver's sight, in microseconds.
func (a *arm) delay(d time.Duration) (float64, error) {
	begin := time.Now()
	var took []float64
	wrote := begin
	err := a.why(func() error {
		for len(took) == 0 || time.Since(begin) < d {
			if err := a.seen.start(); err != nil {
				return err
			}
			wrote = time.Now()
			if err := a.group(func() error {
				select {
				case <-a.seen.single:
				case <-a.seen.ctx.Done():
					return context.Cause(a.seen.ctx)
				}
				took = append(took, float64(time.Since(wrote).Nanoseconds())/1e3)
				wrote = time.Now()
				return nil
			}); err != nil {
				return err
			}
		}
		return a.seen.finish(a.next)
	}())
	if err != nil {
		return 0, err
	}
	return figures.Median(took), nil
}
