package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/remoq/moq/internal/peers"
)

// bench takes samples against one server.
type bench struct {
	options
	program  string
	server   *peers.Process
	addr     string
	pin      string
	progress io.Writer
	lost     int // sessions, in all samples
}

// newBench starts the server. The caller closes the bench.
func newBench(ctx context.Context, o options, progress io.Writer) (*bench, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	server, err := peers.Start("server", program, serverRole)
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, program: program, server: server, progress: progress}
	line, err := server.Line(ctx)
	if err != nil {
		b.close()
		return nil, fmt.Errorf("%w\n%s", err, server.Log())
	}
	b.addr, b.pin, _ = strings.Cut(line, " ")
	return b, nil
}

func (b *bench) close() { b.server.Kill() }

// readings are those of the arms, in order.
type readings map[string][]reading

// rounds samples the arms in turn. The window is that of CPU; 0: it is not measured.
func (b *bench) rounds(ctx context.Context, row string, n int, window time.Duration, arms ...string) (readings, error) {
	all := make(readings)
	for i := range n {
		for _, arm := range arms {
			r, err := b.sample(ctx, arm, window)
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", row, arm, err)
			}
			all[arm] = append(all[arm], r)
			fmt.Fprintf(b.progress, "%s %d/%d %s: %.2f goroutines, heap %.1f KB, stacks %.1f KB, %.3f %% of a core, %.2f packets/s, %d lost\n",
				row, i+1, n, arm, r.Goroutines, r.Heap/1024, r.Stack/1024, 100*r.CPU, r.Sent, r.Lost)
			b.lost += r.Lost
		}
	}
	return all, nil
}

// sample lets a new process take one.
func (b *bench) sample(ctx context.Context, arm string, window time.Duration) (reading, error) {
	o := order{Arm: arm, N: b.connected, Rest: b.rest, Window: window, Addr: b.addr, Fingerprint: b.pin}
	if arm == waiting || arm == sleeping {
		o.N = b.waiting
	}
	var r reading
	args, err := json.Marshal(o)
	if err != nil {
		return r, err
	}
	p, err := peers.Start(arm, b.program, sampleRole, string(args))
	if err != nil {
		return r, err
	}
	defer p.Kill()
	line, err := p.Line(ctx)
	if err == io.EOF {
		<-p.Done() // it has something to say
	}
	if err == nil {
		err = json.Unmarshal([]byte(line), &r)
	}
	if err == nil {
		_, err = p.ExitCode(ctx) // what it had is gone, and the server knows
	}
	if err != nil {
		return r, fmt.Errorf("%w\n%s", err, p.Log())
	}
	return r, nil
}

func (rs readings) of(arm string, figure func(reading) float64) []float64 {
	var all []float64
	for _, r := range rs[arm] {
		all = append(all, figure(r))
	}
	return all
}

func goroutines(r reading) float64 { return r.Goroutines }
func kilobytes(r reading) float64  { return (r.Heap + r.Stack) / 1024 }
func processor(r reading) float64  { return 100 * r.CPU }
func packets(r reading) float64    { return r.Sent }

// memory measures P11.
func (b *bench) memory(ctx context.Context) ([]row, error) {
	rs, err := b.rounds(ctx, "P11", b.pairs, 0, sleeping, waiting, raw, connected, origins, overWeb)
	if err != nil {
		return nil, err
	}
	rows := []row{
		{name: "P11/waiting", what: "goroutines, beside a sleeping one", ours: rs.of(waiting, goroutines), other: rs.of(sleeping, goroutines), target: 1},
		{name: "P11/waiting", what: "heap and stacks, KB, beside a sleeping goroutine", ours: rs.of(waiting, kilobytes), other: rs.of(sleeping, kilobytes), target: 4},
	}
	for _, arm := range []struct{ name, what string }{
		{connected, "raw QUIC"}, {origins, "raw QUIC, Publish and Subscribe"}, {overWeb, "WebTransport"},
	} {
		rows = append(rows,
			row{name: "P11/" + arm.name, what: arm.what + ": goroutines", how: difference, ours: rs.of(arm.name, goroutines), other: rs.of(raw, goroutines), target: 2},
			row{name: "P11/" + arm.name, what: arm.what + ": heap and stacks, KB", how: difference, ours: rs.of(arm.name, kilobytes), other: rs.of(raw, kilobytes), target: 8},
		)
	}
	return append(rows, row{name: "P11/socket", what: "an option for one UDP socket for all", missing: true}), nil
}

// fewest is how many samples of the waiting there are at most: they are compared with
// nothing.
const fewest = 3

// processor measures P12.
func (b *bench) processor(ctx context.Context) ([]row, error) {
	alone, err := b.rounds(ctx, "P12", min(b.pairs, fewest), b.time, waiting)
	if err != nil {
		return nil, err
	}
	rs, err := b.rounds(ctx, "P12", b.pairs, b.time, raw, connected)
	if err != nil {
		return nil, err
	}
	return []row{
		{name: "P12/waiting", what: "CPU of all, % of a core", ours: alone.of(waiting, processor), target: 0.5},
		{name: "P12/connected", what: "CPU of all, % of a core", how: ratio, ours: rs.of(connected, processor), other: rs.of(raw, processor), target: 1.1},
		{name: "P12/connected", what: "packets sent by each, a second", how: ratio, ours: rs.of(connected, packets), other: rs.of(raw, packets)},
	}, nil
}
