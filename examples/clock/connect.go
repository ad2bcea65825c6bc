package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/remoq/moq"
)

// connected runs f while a client stays connected, and reports on the connection if
// it has a name. f's context ends with ctx, or when the client gives up for good,
// which then is the error.
func (o *options) connected(ctx context.Context, name string, config moq.Config, f func(context.Context) error) error {
	client, err := moq.NewClient(config)
	if err != nil {
		return err
	}
	defer client.Close()
	// Not ctx: the last words of f should still leave.
	r := client.Reconnect(context.Background(), o.url)

	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		defer cancel()
		if name != "" {
			report(ctx, o.out, name, r)
		}
		_ = r.Wait(ctx) // its error is read below
	})
	err = f(ctx)
	cancel()
	watching.Wait()
	if err != nil {
		return err
	}
	_ = client.Close() // always nil
	return r.Err()
}

// report prints a line when the connection is lost and when it is back.
func report(ctx context.Context, out io.Writer, name string, r *moq.Reconnect) {
	var lost time.Time
	var losses, generation uint64
	for state := range r.States(ctx) {
		if state.Losses > losses {
			losses, lost = state.Losses, state.Since
			fmt.Fprintf(out, "-- %s: connection lost: %v\n", name, state.Err)
		}
		if state.Phase != moq.Connected || state.Generation == generation {
			continue
		}
		generation = state.Generation
		if lost.IsZero() {
			fmt.Fprintf(out, "-- %s: connected\n", name)
		} else {
			fmt.Fprintf(out, "-- %s: back after %v, connection %d\n", name, state.Since.Sub(lost).Round(10*time.Millisecond), generation)
		}
	}
}

// lines lets several goroutines print.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
