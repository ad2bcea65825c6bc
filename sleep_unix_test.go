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
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// stopEnv tells a child of TestStoppedProcess where the relay is, and its fingerprint.
const stopEnv = "MOQ_STOPPED_CHILD"

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

// stoppedChild is the client: it publishes one clock and prints another, until its input
// ends.
func stoppedChild(t *testing.T, where string) {
	url, fingerprint, _ := strings.Cut(where, " ")
	ctx, cancel := context.WithCancel(t.Context())
	source, sink := pubsub.NewOrigin(), pubsub.NewOrigin()
	c, err := NewClient(Config{
		Publish: source, Subscribe: sink, Fingerprints: []string{fingerprint}, Backoff: Eager(),
		Hooks: Hooks{Observe: func(e Event) { fmt.Fprintln(os.Stderr, e.Time.UnixMilli(), e.Kind, e.Err) }},
	})
	require.NoError(t, err)
	var work sync.WaitGroup
	clockOn(ctx, t, source, "up", &work)
	work.Go(func() { ticks(ctx, sink, "down", func(at int64) { fmt.Println("tick", at) }) })
	c.Reconnect(ctx, url)
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	work.Wait()
	require.NoError(t, c.Close())
}

// R8, with a real process that is stopped and goes on: data flow again, both ways.
// MOQ_STOPS lists other times to stop it for, such as "30s,1m".
func TestStoppedProcess(t *testing.T) {
	t.Parallel()
	if where := os.Getenv(stopEnv); where != "" {
		stoppedChild(t, where)
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
			down, up := stopFor(t, d)
			t.Logf("after %v: data down in %v, up in %v", d, down, up)
			// Real time, which a detector that makes everything ten times slower also takes.
			require.LessOrEqual(t, down, unlessRaced(backFromSleep, 4*backFromSleep))
			require.LessOrEqual(t, up, unlessRaced(backFromSleep, 4*backFromSleep))
		})
	}
}

// stopFor stops a client for d. It returns how long after it went on data came down to it,
// and up from it, that were written since.
func stopFor(t *testing.T, d time.Duration) (down, up time.Duration) {
	hub, err := relay.New(relay.Config{})
	require.NoError(t, err)
	at, err := hub.Listen("127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var work sync.WaitGroup
	var cameDown, cameUp atomic.Int64 // the newest time
	news := make(chan struct{}, 1)
	note := func(a *atomic.Int64, at int64) {
		a.Store(max(a.Load(), at))
		ring(news)
	}
	clockOn(ctx, t, hub.Origin(), "room/down", &work)
	work.Go(func() { ticks(ctx, hub.Origin(), "room/up", func(at int64) { note(&cameUp, at) }) })

	child := exec.Command(os.Args[0], "-test.run=^TestStoppedProcess$")
	child.Env = append(os.Environ(), fmt.Sprintf("%s=moqt://%s/room %s", stopEnv, at, hub.Fingerprint()))
	in, err := child.StdinPipe()
	require.NoError(t, err)
	out, err := child.StdoutPipe()
	require.NoError(t, err)
	var story bytes.Buffer
	child.Stderr = &story
	require.NoError(t, child.Start())
	work.Go(func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if text, ok := strings.CutPrefix(lines.Text(), "tick "); ok {
				at, _ := strconv.ParseInt(text, 10, 64)
				note(&cameDown, at)
			}
		}
	})
	defer func() {
		_ = child.Process.Signal(syscall.SIGCONT)
		_ = in.Close()
		cancel()
		work.Wait()
		_ = child.Wait()
		require.NoError(t, hub.Close())
		t.Logf("%s", story.String())
	}()

	// since waits for data of both ways that were written after a time.
	since := func(at time.Time) (down, up time.Duration) {
		limit := time.NewTimer(30 * time.Second)
		defer limit.Stop()
		for down == 0 || up == 0 {
			select {
			case <-news:
			case <-limit.C:
				require.Fail(t, "no data")
			}
			if down == 0 && cameDown.Load() > at.UnixNano() {
				down = time.Since(at)
			}
			if up == 0 && cameUp.Load() > at.UnixNano() {
				up = time.Since(at)
			}
		}
		return down, up
	}
	since(time.Now())
	require.NoError(t, child.Process.Signal(syscall.SIGSTOP))
	<-time.NewTimer(d).C
	require.NoError(t, child.Process.Signal(syscall.SIGCONT))
	t.Logf("goes on at %d", time.Now().UnixMilli())
	return since(time.Now())
}
