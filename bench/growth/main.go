// Command growth measures how cost grows with size, and prints a table: the model's CPU and
// live heap for more and more tracks, groups and announcements, and what a frame costs with
// more and more subscriptions and readers.
//
//	go run ./bench/growth
//	go run ./bench/growth -run announcements -repeat 9
//
// The slope is that of a line through the logarithms of size and cost: 1 is a cost that
// grows with the size, 0 one that does not grow. CPU and heap of the model are the least of
// several runs, since other work on the machine only ever adds to them. What can be compared
// within one round is: then it is the median of the ratios, with its 95 % interval.
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
	"runtime"
	"text/tabwriter"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "growth:", err)
		}
		os.Exit(1)
	}
}

// section is one part of what is measured.
type section struct {
	name    string
	measure func(ctx context.Context, out io.Writer, repeat int) error
}

var sections = []section{
	{"tracks", growthOf("tracks", tracks, 1, 10, 100, 1000, 10_000)},
	{"groups", growthOf("groups", groups, 1, 10, 100, 1000, 10_000, 100_000, 1_000_000)},
	{"announcements", growthOf("announcements", announcements, 1, 10, 100, 1000, 10_000, 100_000)},
	{"readers", readers},
	{"stalled", stalled},
	{"subscriptions", subscriptions},
}

func run(ctx context.Context, args []string, out io.Writer) error {
	fs := flag.NewFlagSet("growth", flag.ContinueOnError)
	pattern := fs.String("run", "", "parts to measure, a regular expression")
	repeat := fs.Int("repeat", 9, "runs of each")
	if err := fs.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*pattern)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "%s %s/%s, %d cores; %d runs of each\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), *repeat)
	for _, s := range sections {
		if !wanted.MatchString(s.name) {
			continue
		}
		table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table)
		if err := s.measure(ctx, table, max(*repeat, 1)); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	return nil
}
