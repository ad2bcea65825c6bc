// Command supervisors measures what a supervisor costs while nothing happens, and how
// the policies of its waits spread a fleet, and prints the rows P11, P12 and P13.
//
//	go run ./bench/supervisors
//	go run ./bench/supervisors -row P12 -time 20s -pairs 6
//	go run ./bench/supervisors -quick
//
// Each sample of P11 and P12 is a process of its own, this program once more: it makes
// its supervisors, lets them be, and tells what it holds and used. The relay is another
// process. Ours are compared with raw quic-go connections and with goroutines that sleep,
// sampled in turn. P13 is what `go test -run TestHerdTable .` prints, so it needs the
// source. docs/BENCHMARKS.md says how to read the tables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"time"

	"github.com/remoq/moq/bench/figures"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := start(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "supervisors:", err)
		}
		os.Exit(1)
	}
}

// start is the program, or one of the processes that it starts.
func start(ctx context.Context, args []string) error {
	switch {
	case len(args) == 1 && args[0] == serverRole:
		return serve(ctx, os.Stdout)
	case len(args) == 2 && args[0] == sampleRole:
		return answer(ctx, args[1], os.Stdout)
	}
	return run(ctx, args, os.Stdout, os.Stderr)
}

// options are the command line.
type options struct {
	row                string
	pairs              int
	waiting, connected int
	time, rest         time.Duration
	quick              bool
}

func parse(args []string, complaints io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("supervisors", flag.ContinueOnError)
	fs.SetOutput(complaints)
	fs.StringVar(&o.row, "row", "all", "P11, P12, P13 or all")
	fs.IntVar(&o.pairs, "pairs", 9, "samples of each arm; an interval needs 6")
	fs.IntVar(&o.waiting, "waiting", 10_000, "supervisors that wait")
	fs.IntVar(&o.connected, "connected", 1_000, "supervisors that are connected")
	fs.DurationVar(&o.time, "time", time.Minute, "how long CPU is measured in a sample of P12")
	fs.DurationVar(&o.rest, "rest", 6*time.Second, "how long connections are left alone before anything is measured")
	fs.BoolVar(&o.quick, "quick", false, "two short samples of a tenth of everything: does it work?")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.quick {
		o.pairs, o.waiting, o.connected, o.time, o.rest = 2, 1_000, 100, 3*time.Second, 3*time.Second
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected %q", fs.Arg(0))
	case !slices.Contains([]string{"all", "P11", "P12", "P13"}, o.row):
		return o, fmt.Errorf("there is no row %q here", o.row)
	case o.pairs < 1 || o.waiting < 1 || o.connected < 1 || o.time <= 0 || o.rest < 0:
		return o, errors.New("a number or a time is too small")
	}
	return o, nil
}

func (o options) wants(row string) bool { return o.row == "all" || o.row == row }

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	fmt.Fprint(out, figures.Machine())
	fmt.Fprintf(out, "raw QUIC and WebTransport over UDP loopback, the relay in a process of its own, %s\n", time.Now().Format(time.DateTime))
	if o.wants("P11") || o.wants("P12") {
		if err := o.costs(ctx, out, progress); err != nil {
			return err
		}
	}
	if o.wants("P13") {
		fmt.Fprintln(progress, "P13")
		policies, err := herds(ctx)
		if err != nil {
			return err
		}
		return showHerds(out, policies)
	}
	return nil
}

// costs measures and prints P11 and P12.
func (o options) costs(ctx context.Context, out, progress io.Writer) error {
	fmt.Fprintf(out, "%d supervisors wait, %d are connected; %d samples of each arm in turn, each a new process;\n"+
		"medians, and the 95 %% interval of the difference or ratio by order statistics\n\n", o.waiting, o.connected, o.pairs)
	b, err := newBench(ctx, o, progress)
	if err != nil {
		return err
	}
	defer b.close()
	var rows []row
	if o.wants("P11") {
		more, err := b.memory(ctx)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	if o.wants("P12") {
		more, err := b.processor(ctx)
		if err != nil {
			return err
		}
		rows = append(rows, more...)
	}
	if err := show(out, rows); err != nil {
		return err
	}
	if b.lost > 0 {
		fmt.Fprintf(out, "%d sessions or connections were lost meanwhile: the machine was too busy\n", b.lost)
	}
	return nil
}
