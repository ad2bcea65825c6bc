// Command bench measures what the library costs on top of quic-go, and prints a table.
//
//	go run ./bench
//	go run ./bench -run 'P6/64' -pairs 21 -time 1s
//
// Each row has two arms: ours, and R, which is raw quic-go that puts the same bytes on
// the same streams. They are sampled in turn, A-B-A-B, on connections of their own that
// live as long as the row. Only the ratio, or the difference, of neighbouring samples
// counts; the absolute figures are medians and an illustration. docs/BENCHMARKS.md says
// how to read the table.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"text/tabwriter"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
		os.Exit(1)
	}
}

var errPairs = errors.New("-pairs must be positive")

func run(ctx context.Context, args []string, out, complaints io.Writer) error {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(complaints)
	pairs := fs.Int("pairs", 15, "samples of each arm; an interval needs 6")
	pattern := fs.String("run", "", "rows to measure, a regular expression")
	d := fs.Duration("time", 250*time.Millisecond, "length of a sample")
	if err := fs.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	if *pairs < 1 {
		return errPairs
	}
	if err := describe(ctx, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d pairs of %v, after one to warm up; median, and its 95 %% interval by order statistics\n\n", *pairs, *d)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "row\twhat\tours\tR\tunit\tfigure\t95 % interval\ttarget\t")
	found := false
	for _, r := range rows() {
		if !wanted.MatchString(r.name) {
			continue
		}
		found = true
		fmt.Fprintln(complaints, r.name)
		res, err := r.compare(ctx, *pairs, *d)
		if err != nil {
			return errors.Join(err, table.Flush())
		}
		fmt.Fprintln(table, r.line(res))
	}
	if !found {
		return fmt.Errorf("no row matches %q", *pattern)
	}
	return table.Flush()
}
