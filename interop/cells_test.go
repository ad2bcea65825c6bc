//go:build interop

package interop

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/peers"
)

// Cell is one way to combine peers: who writes, through what, who reads.
type Cell struct {
	Writer, Hub, Reader string // "ours", "clock", "python"; a hub is a relay's binary, or "python" for its server
	Carrier             string
	Version             moq.Version
}

func (c Cell) String() string {
	return fmt.Sprintf("%s→%s→%s %s %s", c.Writer, hubName(c.Hub), c.Reader, c.Carrier, c.Version)
}

func hubName(hub string) string {
	if hub == "python" {
		return "python server"
	}
	return hub[:len("moq-relay-0.17.10")]
}

// cells is every combination that can be: the August relay has no lite-06.
func cells() []Cell {
	var all []Cell
	for _, carrier := range []string{"https", "moqt"} {
		for _, version := range []moq.Version{moq.Lite06, moq.Lite05} {
			for _, pair := range [][2]string{{"ours", "ours"}, {"clock", "ours"}, {"ours", "clock"}, {"python", "ours"}, {"ours", "python"}} {
				all = append(all, Cell{pair[0], peers.MoqRelay, pair[1], carrier, version})
			}
			for _, pair := range [][2]string{{"ours", "ours"}, {"python", "ours"}, {"ours", "python"}} {
				all = append(all, Cell{pair[0], "python", pair[1], carrier, version})
			}
		}
		for _, pair := range [][2]string{{"ours", "ours"}, {"clock", "ours"}, {"ours", "clock"}, {"python", "ours"}, {"ours", "python"}} {
			all = append(all, Cell{pair[0], peers.MoqRelay14, pair[1], carrier, moq.Lite05})
		}
	}
	return all
}

// hub starts what stands between writer and reader. A Python server takes the
// part of the Python peer itself, which it then returns.
func (c Cell) hub(t *testing.T) (*Relay, *Python) {
	t.Helper()
	if c.Hub != "python" {
		return startRelay(t, peers.RelayOptions{Binary: c.Hub}), nil
	}
	switch {
	case c.Writer == "python":
		server, r := startPythonServer(t, append(writerArgs(), "publish")...)
		return r, server
	case c.Reader == "python":
		server, r := startPythonServer(t, append(readerArgs(), "subscribe")...)
		return r, server
	default:
		_, r := startPythonServer(t, "relay")
		return r, nil
	}
}

func (c Cell) writer(t *testing.T, r *Relay, server *Python) Writer {
	if c.Writer == "ours" {
		return &OurWriter{Ours: Ours{r, c.Carrier, c.Version}, forClock: c.Reader == "clock"}
	}
	if server != nil {
		return &PythonWriter{Python: server}
	}
	return &PythonWriter{connect: func(args ...string) *Python {
		return startPythonClient(t, r, c.Carrier, "publish", args...)
	}}
}

func (c Cell) reader(t *testing.T, r *Relay, server *Python, name string) Reader {
	switch {
	case c.Reader == "ours":
		return &OurReader{Ours: Ours{r, c.Carrier, c.Version}, name: name}
	case c.Reader == "clock":
		return &ClockReader{run: func(track string) *Process {
			return startClock(t, r, c.Carrier, string(c.Version), "subscribe", broadcast, track)
		}}
	case server != nil:
		return &PythonReader{Python: server}
	default:
		return &PythonReader{connect: func(args ...string) *Python {
			return startPythonClient(t, r, c.Carrier, "subscribe", args...)
		}}
	}
}

// TestCells carries 1,000 frames in 10 groups from each kind of writer to each
// kind of reader, and again to one that joins late; an unknown track is refused,
// and the end of the broadcast is seen.
func TestCells(t *testing.T) {
	var seen table
	t.Cleanup(func() {
		seen.print(t, "cells", "| writer | through | reader | carrier | version | frames | late joiner | unknown track | retraction |")
	})
	for _, c := range cells() {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			var row [3]string
			if c.Writer == "clock" {
				row = c.tick(t)
			} else {
				row = c.carry(t)
			}
			seen.add("| %s | %s | %s | %s | %s | %s | %s | %s | seen |",
				c.Writer, hubName(c.Hub), c.Reader, c.Carrier, c.Version, row[0], row[1], row[2])
		})
	}
}

// carry runs a cell, and returns what its row says of the frames, the late joiner
// and the unknown track.
func (c Cell) carry(t *testing.T) [3]string {
	r, server := c.hub(t)
	w := c.writer(t, r, server)
	early := c.reader(t, r, server, "early reader")
	late := c.reader(t, r, nil, "late reader")

	w.Announce(t)
	refusal := early.Subscribe(t)
	begun, goOn, wrote := make(chan uint64, groups), make(chan struct{}), make(chan error, 1)
	ctx := within(t, 60*time.Second)
	go func() { wrote <- w.Write(ctx, begun, goOn) }()
	sequence := []uint64{receive(t, begun, wrote)}
	for len(sequence) < holdBefore/2 {
		sequence = append(sequence, receive(t, begun, wrote))
	}
	late.Subscribe(t)
	late.Joined(t)
	close(goOn)
	require.NoError(t, <-wrote)
	for len(sequence) < groups {
		sequence = append(sequence, <-begun)
	}

	first, last := sequence[0], sequence[groups-1]
	require.Equal(t, first+groups-1, last, "the groups of a writer are numbered without a hole")
	from, to := 0, frames
	if c.Reader == "clock" {
		from, to = 1, frames+1
	}
	require.NoError(t, early.Finish(t, last).Complete(first, last, from, to))
	tail := late.Finish(t, last)
	joined, ok := tail.First()
	require.True(t, ok)
	require.Less(t, joined, first+holdBefore, "the late reader was there before these groups")
	require.NoError(t, tail.Complete(joined, last, from, to))

	w.Retract(t)
	early.Retracted(t)
	late.Retracted(t)
	return [3]string{fmt.Sprint(groups * frames), fmt.Sprintf("from group %d of %d", joined-first, groups), refusal}
}

// receive takes the number of the next group, unless the writer failed.
func receive(t *testing.T, begun <-chan uint64, wrote chan error) uint64 {
	t.Helper()
	select {
	case group := <-begun:
		return group
	case err := <-wrote:
		require.FailNow(t, "the writer ended early", "%v", err)
		return 0
	}
}
