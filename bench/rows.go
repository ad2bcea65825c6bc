package main

import (
	"fmt"
	"time"
)

// row is one line of the table: two arms, and what is compared.
type row struct {
	name, what string
	ours, base setup
	measure    func(a *arm, d time.Duration) (float64, error)
	figure     figure
	target     target
}

// figure is how two samples, one of each arm, make one figure.
type figure struct {
	unit    string
	sample  string // how an arm's own sample is printed
	result  string
	combine func(ours, base float64) float64
}

// target is what a figure should be: at least, or at most.
type target struct {
	bound float64
	most  bool
}

func (t target) met(v float64) bool {
	if t.most {
		return v <= t.bound
	}
	return v >= t.bound
}

func (t target) String() string {
	if t.most {
		return fmt.Sprintf("<= %g", t.bound)
	}
	return fmt.Sprintf(">= %g", t.bound)
}

var (
	times = figure{"frames/s", "%.0f", "%.2fx", func(ours, base float64) float64 { return ours / base }}
	added = figure{"us", "%.0f", "%+.0f us", func(ours, base float64) float64 { return ours - base }}
)

// extra is a difference in allocations for one of n parts of a group.
func extra(unit string, n float64) figure {
	return figure{"allocs/group", "%.1f", "%+.3f/" + unit, func(ours, base float64) float64 { return (ours - base) / n }}
}

const (
	coalesced = 16 << 10
	// small is the payload of the rows that have one size only.
	small = 128
	// groupSize is the payload of a group of one frame: with its head, less than a packet.
	groupSize = 1024
	// lone is how many frames a group has of which each is waited for.
	lone = 256
	// noise is how far a difference of allocations counts as none: quic-go's own vary
	// with how the traffic falls into packets.
	noise = 0.02
)

// rows are the table.
func rows() []row {
	var all []row
	for _, size := range []int{64, 128, 1024} {
		all = append(all, frameRows(size)...)
	}
	all = append(all, groupRows()...)
	return append(all, allocRows()...)
}

// frameRows are P6 for one size.
func frameRows(size int) []row {
	name := fmt.Sprintf("P6/%d", size)
	l := long(size)
	both := setup{load: l, from: ours, to: ours}
	ping := setup{load: l, single: true}
	ping.frames = lone
	pong := ping
	pong.from, pong.to = ours, ours
	return []row{
		{name + "/each", "against R, one write a frame", both, setup{load: l}, (*arm).rate, times, target{2, false}},
		{name + "/16KiB", "against R, 16 KiB a write", both, setup{load: l, gather: coalesced}, (*arm).rate, times, target{0.85, false}},
		{name + "/delay", "delay of a lone frame, less R's", pong, ping, (*arm).delay, added, target{1000, true}},
	}
}

// groupRows are P7: each half of ours against a raw other half, and both.
func groupRows() []row {
	l := single(groupSize)
	base := setup{load: l}
	rate := target{0.9, false}
	return []row{
		{"P7/publish", "our publisher, R's receiver", setup{load: l, from: ours}, base, (*arm).rate, times, rate},
		{"P7/receive", "R's publisher, our receiver", setup{load: l, to: ours}, base, (*arm).rate, times, rate},
		{"P7/both", "our publisher, our receiver", setup{load: l, from: ours, to: ours}, base, (*arm).rate, times, rate},
	}
}

// allocRows are P8, less the allocations of R that gathers 16 KiB.
func allocRows() []row {
	l, g := long(small), single(groupSize)
	base := setup{load: l, gather: coalesced}
	frames, blocks := float64(l.frames), float64(l.frames*l.size)/(64<<10)
	return []row{
		{"P8/WriteOwned", "publish, a frame", setup{load: l, from: ours, own: true}, base, (*arm).allocs, extra("frame", frames), target{noise, true}},
		{"P8/WriteFrame", "publish, 64 KiB of frames", setup{load: l, from: ours}, base, (*arm).allocs, extra("64 KiB", blocks), target{1, true}},
		{"P8/AppendFrame", "receive, a frame", setup{load: l, gather: coalesced, to: ours, append: true}, base, (*arm).allocs, extra("frame", frames), target{noise, true}},
		{"P8/NextFrame", "receive, a frame", setup{load: l, gather: coalesced, to: ours}, base, (*arm).allocs, extra("frame", frames), target{1, true}},
		{"P8/publish", "publish, a group of one frame", setup{load: g, from: ours}, setup{load: g}, (*arm).allocs, extra("group", 1), target{4, true}},
		{"P8/receive", "receive, a group of one frame", setup{load: g, to: ours}, setup{load: g}, (*arm).allocs, extra("group", 1), target{4, true}},
	}
}
