//go:build interop

package interop

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/peers"
)

// startClock runs upstream's clock: role is "publish" or "subscribe".
func startClock(t *testing.T, r *Relay, carrier, version, role, broadcast, track string) *Process {
	t.Helper()
	return start(t, "clock "+role, peer(t, peers.Clock),
		"--connect", r.URL(carrier), "--connect-version", version,
		"--connect-tls-fingerprint", r.Certificate.Fingerprint, "--connect-websocket-enabled=false",
		"--broadcast", broadcast, "--track", track, role)
}

// Ticks checks the lines of a clock: each is later than the one before. A clock that
// oversleeps leaves seconds out by itself.
type Ticks struct{ times []time.Time }

// Add takes "2006-01-02 15:04:05".
func (c *Ticks) Add(t *testing.T, line string) {
	t.Helper()
	at, err := time.Parse(time.DateTime, line)
	require.NoError(t, err)
	if n := len(c.times); n > 0 {
		require.True(t, at.After(c.times[n-1]), "%v came after %v", at, c.times[n-1])
	}
	c.times = append(c.times, at)
}

// contain reports whether all of part stands here, without a hole.
func (c *Ticks) contain(part Ticks) bool {
	first := slices.Index(c.times, part.times[0])
	return first >= 0 && first+len(part.times) <= len(c.times) && slices.Equal(part.times, c.times[first:first+len(part.times)])
}

// read takes lines until n ticks were there.
func (c *Ticks) read(t *testing.T, n int, next func(ctx context.Context) (string, error)) {
	t.Helper()
	for ctx := within(t, time.Duration(n+10)*time.Second); len(c.times) < n; {
		line, err := next(ctx)
		require.NoError(t, err)
		c.Add(t, line)
	}
}

// clockLines puts what our reader gets of a clock together as upstream's prints it.
type clockLines struct {
	head string
	out  chan string
}

func (c *clockLines) take(_ uint64, index int, content []byte) error {
	if index == 0 {
		c.head = string(content)
		return nil
	}
	c.out <- c.head + string(content)
	return nil
}

func (c *clockLines) next(ctx context.Context) (string, error) {
	select {
	case line := <-c.out:
		return line, nil
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// tick runs a cell whose writer is upstream's clock, which writes a frame a
// second and a group a minute. It is ended by a signal, so its relay sees a loss.
func (c Cell) tick(t *testing.T) [3]string {
	r, _ := c.hub(t)
	writer := startClock(t, r, c.Carrier, string(c.Version), "publish", broadcast, track)
	read := func(name string) (*OurReader, *clockLines, string) {
		lines := &clockLines{out: make(chan string, 1000)}
		reader := &OurReader{Ours: Ours{r, c.Carrier, c.Version}, name: name, take: lines.take}
		return reader, lines, reader.Subscribe(t)
	}

	// Upstream's reader beside ours: what it prints is what ours must have.
	control := startClock(t, r, c.Carrier, string(c.Version), "subscribe", broadcast, track)
	var upstream, before, after Ticks
	upstream.read(t, 1, control.Line)
	early, lines, refusal := read("early reader")
	before.read(t, 5, lines.next)
	late, lines2, _ := read("late reader")
	after.read(t, 2, lines2.next)
	before.read(t, 8, lines.next)
	after.read(t, 4, lines2.next)
	upstream.read(t, 13, control.Line)
	require.True(t, upstream.contain(before), "upstream's reader has %v, ours %v", upstream.times, before.times)
	require.True(t, upstream.contain(after), "upstream's reader has %v, our late one %v", upstream.times, after.times)
	if joined := after.times[0]; joined.Second() != 0 {
		require.Equal(t, before.times[0], joined, "the live group is replayed from its first frame")
	}

	writer.Terminate()
	early.Retracted(t)
	late.Retracted(t)
	require.Error(t, <-early.done, "a lost writer is no clean end")
	return [3]string{"1 a second", "from the group's first frame", refusal}
}

// awaitLog waits until the log says one of texts.
func (p *Process) awaitLog(ctx context.Context, texts ...string) bool {
	says := func() bool {
		log := p.Log()
		return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(log, text) })
	}
	for !says() {
		select {
		case <-ctx.Done():
			return false
		case <-p.Done():
			return says()
		default:
			pause(ctx, 20*time.Millisecond)
		}
	}
	return true
}
