// Command outage measures what an application sees when its relay goes away and comes
// back, and prints the rows P1 and P2.
//
//	ci/peers relay python
//	go run ./bench/outage
//	go run ./bench/outage -row P1 -kills 100 -csv p1.csv
//	go run ./bench/outage -quick -arms hint,U
//
// A real moq-relay on loopback is ended and started again, under a publisher and a
// subscriber with 100 frames a second. P1 ends it with SIGTERM for 0.2 to 4.5 s; the
// figure is the time from when it answers again to the first frame. P2 ends it with
// SIGKILL for 0.2 s; the figure is the hole in the frames. U is upstream's own client
// under the same outages. docs/BENCHMARKS.md says how to read the table.
//
// It ends with status 1 if anything went wrong: clients that are not back 60 s after
// their relay, one that gave up, a frame that came twice.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/remoq/moq/bench/figures"
	"github.com/remoq/moq/internal/peers"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "outage:", err)
		}
		os.Exit(1)
	}
}

// quickKills are enough to see that everything works.
const quickKills = 3

// options are the command line.
type options struct {
	row, arms, csv  string
	kills, parallel int
	seed            uint64
}

func parse(args []string, complaints io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("outage", flag.ContinueOnError)
	fs.SetOutput(complaints)
	fs.StringVar(&o.row, "row", "all", "P1, P2 or all")
	fs.StringVar(&o.arms, "arms", "", "arms to run, with commas between them: eager, default, hint, nohint, proxy, U, U-short (default all)")
	fs.StringVar(&o.csv, "csv", "", "a file for every sample")
	fs.IntVar(&o.kills, "kills", 40, "outages of each arm")
	fs.IntVar(&o.parallel, "parallel", 2, "how many arms may have an outage at a time")
	fs.Uint64Var(&o.seed, "seed", rand.Uint64(), "of the outages' phases and lengths")
	quick := fs.Bool("quick", false, fmt.Sprintf("%d outages of each arm", quickKills))
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if *quick {
		o.kills = quickKills
	}
	switch {
	case fs.NArg() > 0:
		return o, fmt.Errorf("unexpected %q", fs.Arg(0))
	case o.kills < 1:
		return o, errors.New("-kills must be positive")
	case o.parallel < 1:
		return o, errors.New("-parallel must be positive")
	}
	return o, nil
}

// choose returns the arms that were asked for.
func (o options) choose() ([]arm, error) {
	all := arms()
	names := strings.FieldsFunc(o.arms, func(r rune) bool { return r == ',' })
	for _, name := range names {
		if !slices.ContainsFunc(all, func(a arm) bool { return a.name == name }) {
			return nil, fmt.Errorf("there is no arm %q", name)
		}
	}
	chosen := slices.DeleteFunc(all, func(a arm) bool {
		return o.row != "all" && a.row != o.row || len(names) > 0 && !slices.Contains(names, a.name)
	})
	if len(chosen) == 0 {
		return nil, fmt.Errorf("no arm is called that in row %q", o.row)
	}
	return chosen, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	chosen, err := o.choose()
	if err != nil {
		return err
	}
	if err := describe(ctx, out); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d outages of each arm, %d arms at a time, -seed %d, %s\n\n", o.kills, o.parallel, o.seed, time.Now().Format(time.DateTime))

	n := newRunner(o.parallel, progress)
	var results []result
	for _, row := range []string{"P1", "P2"} {
		of := slices.DeleteFunc(slices.Clone(chosen), func(a arm) bool { return a.row != row })
		if len(of) > 0 && ctx.Err() == nil {
			results = append(results, n.row(ctx, of, plan(row, o.kills, o.seed))...)
		}
	}
	problems := []error{show(out, results)}
	if o.csv != "" {
		problems = append(problems, save(o.csv, results))
	}
	if ctx.Err() != nil {
		problems = append(problems, errInterrupted)
	}
	if wrong := n.wrong(); wrong > 0 {
		problems = append(problems, fmt.Errorf("%d errors, see above", wrong))
	}
	return errors.Join(problems...)
}

func save(path string, results []result) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f, results), f.Close())
}

// describe prints what the figures depend on.
func describe(ctx context.Context, out io.Writer) error {
	relay, err := answer(ctx, peers.MoqRelay, "--version")
	if err != nil {
		return err
	}
	packages, err := answer(ctx, peers.Python, "-c",
		`from importlib.metadata import version; print("Python moq-rs", version("moq-rs"), "with moq-ffi", version("moq-ffi"))`)
	if err != nil {
		return err
	}
	fmt.Fprint(out, figures.Machine())
	fmt.Fprintf(out, "%s; U: %s; WebTransport over loopback\n", relay, packages)
	return nil
}

func answer(ctx context.Context, peer string, args ...string) (string, error) {
	path, err := peers.Path(peer)
	if err != nil {
		return "", err
	}
	b, err := exec.CommandContext(ctx, path, args...).Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", peer, err)
	}
	return strings.TrimSpace(string(b)), nil
}
