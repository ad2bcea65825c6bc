//go:build unix

package moq

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// stopEnv gives a child of TestStoppedProcess its part: to be the relay, or else where the
// relay is, and its fingerprint.
const (
	stopEnv   = "MOQ_STOPPED_CHILD"
	stopRelay = "relay"
)

// ticking writes the time, in Unix nanoseconds, 30 times a second until ctx ends.
func ticking(ctx context.Context, track *pubsub.TrackProducer) {
	ticker := time.NewTicker(time.Second / 30)
	defer ticker.Stop()
	for ctx.Err() == nil {
		_ = track.WriteNow(binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())))
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// clockOn announces a broadcast that is ticking.
func clockOn(ctx context.Context, t *testing.T, o *pubsub.Origin, path string, work *sync.WaitGroup) {
	b, err := o.CreateBroadcast(path)
	require.NoError(t, err)
	track, err := b.CreateTrack("ticks", pubsub.TrackInfo{})
	require.NoError(t, err)
	require.NoError(t, b.Announce())
	work.Go(func() { ticking(ctx, track) })
}

// ticks calls f with each time that comes, until ctx ends.
func ticks(ctx context.Context, o *pubsub.Origin, path string, f func(at int64)) {
	follower := o.Follow(path, "ticks", pubsub.FollowOptions{})
	defer follower.Close()
	for group, err := range follower.Groups(ctx) {
		if err != nil {
			return
		}
		if frame, err := group.NextFrame(ctx); err == nil {
			f(int64(binary.BigEndian.Uint64(frame.Payload)))
		}
	}
}

// report prints each time that comes, and when it came.
func report(ctx context.Context, o *pubsub.Origin, path string) {
	ticks(ctx, o, path, func(at int64) { fmt.Println("tick", at, time.Now().UnixNano()) })
}

// stoppedChild is the relay or the client: each publishes one clock and prints the other's,
// until its input ends.
func stoppedChild(t *testing.T, part string) {
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var leave func() error
	if part == stopRelay {
		hub, err := relay.New(relay.Config{})
		require.NoError(t, err)
		at, err := hub.Listen("127.0.0.1:0")
		require.NoError(t, err)
		fmt.Printf("at moqt://%s/room %s\n", at, hub.Fingerprint())
		clockOn(ctx, t, hub.Origin(), "room/down", &work)
		work.Go(func() { report(ctx, hub.Origin(), "room/up") })
		leave = hub.Close
	} else {
		url, fingerprint, _ := strings.Cut(part, " ")
		source, sink := pubsub.NewOrigin(), pubsub.NewOrigin()
		c, err := NewClient(Config{
			Publish: source, Subscribe: sink, Fingerprints: []string{fingerprint}, Backoff: Eager(),
			Hooks: Hooks{Observe: func(e Event) { fmt.Fprintln(os.Stderr, e.Time.UnixMilli(), e.Kind, e.Err) }},
		})
		require.NoError(t, err)
		clockOn(ctx, t, source, "up", &work)
		work.Go(func() { report(ctx, sink, "down") })
		c.Reconnect(ctx, url)
		leave = c.Close
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	work.Wait()
	require.NoError(t, leave())
}

// process is a child of the test.
type process struct {
	*exec.Cmd
	at    chan string   // what it is reached at, of a relay
	news  chan struct{} // a tick has come
	mu    sync.Mutex
	ticks [][2]int64 // guarded by mu; when each was written, and when it came
	story bytes.Buffer
}

// play starts a process that has a part. It ends with the test.
func play(t *testing.T, part string) *process {
	p := &process{Cmd: exec.Command(os.Args[0], "-test.run=^TestStoppedProcess$"), at: make(chan string, 1), news: make(chan struct{}, 1)}
	p.Env = append(os.Environ(), stopEnv+"="+part)
	p.Stderr = &p.story
	in, err := p.StdinPipe()
	require.NoError(t, err)
	out, err := p.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, p.Start())
	var work sync.WaitGroup
	work.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.hear(lines.Text())
		}
	})
	t.Cleanup(func() {
		_ = p.Process.Signal(syscall.SIGCONT)
		_ = in.Close()
		work.Wait()
		_ = p.Wait()
		t.Logf("%s", p.story.String())
	})
	return p
}

func (p *process) hear(line string) {
	if where, ok := strings.CutPrefix(line, "at "); ok {
		p.at <- where
	}
	var tick [2]int64
	if n, _ := fmt.Sscanf(line, "tick %d %d", &tick[0], &tick[1]); n == 2 {
		p.mu.Lock()
		p.ticks = append(p.ticks, tick)
		p.mu.Unlock()
		ring(p.news)
	}
}

// since waits for a tick that was written after a time, and returns when it came after that.
func (p *process) since(t *testing.T, at time.Time) time.Duration {
	limit := time.NewTimer(time.Minute)
	defer limit.Stop()
	for {
		p.mu.Lock()
		for _, tick := range p.ticks {
			if tick[0] > at.UnixNano() {
				p.mu.Unlock()
				return time.Duration(tick[1] - at.UnixNano())
			}
		}
		p.ticks = p.ticks[:0]
		p.mu.Unlock()
		select {
		case <-p.news:
		case <-limit.C:
			require.Fail(t, "no data")
		}
	}
}

// waited is how long the threads of a process have waited for a processor. Only Linux
// tells; elsewhere it is zero.
func (p *process) waited() (sum time.Duration) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", p.Process.Pid))
	for _, thread := range threads {
		var ran, waited time.Duration
		text, _ := os.ReadFile(thread)
		_, _ = fmt.Sscan(string(text), &ran, &waited)
		sum += waited
	}
	return sum
}

// R8, with a real process that is stopped and goes on: data flow again, both ways.
// MOQ_STOPS lists other times to stop it for, such as "30s,1m".
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	if part := os.Getenv(stopEnv); part != "" {
		stoppedChild(t, part)
		return
	}
	stops := "1s,12s"
	if more := os.Getenv("MOQ_STOPS"); more != "" {
		stops = more
	}
	for stop := range strings.SplitSeq(stops, ",") {
		d, err := time.ParseDuration(stop)
		require.NoError(t, err)
		t.Run(stop, func(t *testing.T) {
			t.Parallel()
			stopFor(t, d)
		})
	}
}

// stopFor stops a client for d, and judges how long after it went on data came down to it,
// and up from it, that were written since. What the two processes had to wait for a
// processor meanwhile is nobody's fault.
func stopFor(t *testing.T, d time.Duration) {
	hub := play(t, stopRelay)
	client := play(t, <-hub.at)
	ends := [...]*process{client, hub}
	for _, p := range ends {
		p.since(t, time.Now())
	}
	require.NoError(t, client.Process.Signal(syscall.SIGSTOP))
	<-time.NewTimer(d).C
	waited := hub.waited() + client.waited()
	woke := time.Now()
	require.NoError(t, client.Process.Signal(syscall.SIGCONT))
	t.Logf("goes on at %d", woke.UnixMilli())
	for i, p := range ends {
		back := p.since(t, woke)
		starved := hub.waited() + client.waited() - waited
		t.Logf("after %v: data %s in %v, of which %v without a processor", d, [...]string{"down", "up"}[i], back, starved)
		require.LessOrEqual(t, back-starved, backFromSleep)
	}
}
