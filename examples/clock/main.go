// Command clock publishes the time through a MoQ relay, or shows it, and stays
// connected. Without arguments it demonstrates both against a relay of its own that
// it restarts every ten seconds.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/remoq/moq"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // the second Ctrl-C does not wait for anything
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "clock:", err)
		os.Exit(1)
	}
}

// run is the program: out gets the time and what happens to the connections, logs the
// library's own messages. Being interrupted is no error.
func run(ctx context.Context, args []string, out, logs io.Writer) error {
	o, err := parse(args, out, logs)
	if err != nil || o.do == nil {
		return err
	}
	if o.runFor > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.runFor)
		defer cancel()
	}
	err = o.do(o, ctx)
	if stop, ok := errors.AsType[*moq.StopError](err); ok && stop.Attempts == 0 {
		return stop.Last // a URL that cannot be dialed: there was nothing to stop
	}
	return err
}
