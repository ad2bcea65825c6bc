package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/remoq/moq"
)

const usage = `clock [flags]             demonstrate: a relay, a publisher and a subscriber; the relay is restarted every ten seconds
clock [flags] publish     publish the time
clock [flags] subscribe   print the time that somebody publishes

Names and format are those of upstream's clock example: the two understand each other.

  clock -url https://localhost:4443/anon -broadcast clock -insecure subscribe

Flags:
`

// options are what the arguments say.
type options struct {
	do func(*options, context.Context) error // nil: nothing, help was asked for

	url, broadcast, track string
	runFor                time.Duration
	config                moq.Config

	up, down time.Duration // of the demonstration's relay
	out      io.Writer     // may be used concurrently
}

// parse reads flags and the verb, in any order.
func parse(args []string, out, logs io.Writer) (*options, error) {
	o := &options{out: &lines{w: out}, up: 10 * time.Second, down: 1500 * time.Millisecond}
	fs := flag.NewFlagSet("clock", flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the error says it
	fs.Usage = func() {}
	fs.StringVar(&o.url, "url", "", "the relay: `https://host:port/path` (WebTransport) or moqt://host:port/path (QUIC)")
	fs.StringVar(&o.broadcast, "broadcast", "clock", "`name` of the broadcast, relative to the URL's path")
	fs.StringVar(&o.track, "track", "seconds", "`name` of the track")
	fs.DurationVar(&o.runFor, "for", 0, "end after this long, such as 30s; 0: when interrupted")
	insecure := fs.Bool("insecure", false, "do not verify the relay's certificate")
	fingerprint := fs.String("fingerprint", "", "`hex` SHA-256 of the relay's certificate, instead of verifying its chain")
	version := fs.String("version", "", "speak this `version` only, such as moq-lite-05")
	level := fs.String("log-level", "", "debug, info, warn or error (default info; the demonstration logs nothing by default)")
	if err := o.config.Backoff.RegisterFlags(fs); err != nil {
		return nil, err
	}

	verb, err := "", fs.Parse(args)
	if err == nil && fs.NArg() > 0 {
		verb = fs.Arg(0)
		err = fs.Parse(fs.Args()[1:])
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		fs.SetOutput(out)
		fmt.Fprint(out, usage)
		fs.PrintDefaults()
		return o, nil
	case err != nil:
		return nil, fmt.Errorf("%w (clock -h explains the flags)", err)
	case fs.NArg() > 0:
		return nil, fmt.Errorf("%q is too much: clock takes one verb", fs.Arg(0))
	}
	if err := o.choose(verb); err != nil {
		return nil, err
	}
	if *insecure {
		o.config.TLS = &tls.Config{InsecureSkipVerify: true} // asked for by its flag
	}
	if *fingerprint != "" {
		o.config.Fingerprints = []string{*fingerprint}
	}
	if *version != "" {
		o.config.Versions = []moq.Version{moq.Version(*version)}
	}
	return o, o.log(*level, logs)
}

// choose finds what to do.
func (o *options) choose(verb string) error {
	switch {
	case verb == "publish":
		o.do = (*options).publish
	case verb == "subscribe":
		o.do = (*options).subscribe
	case verb != "":
		return fmt.Errorf("%q is neither publish nor subscribe", verb)
	case o.url != "":
		return errors.New("what to do with -url? Say publish or subscribe")
	default:
		o.do = (*options).demonstrate
		return nil
	}
	if o.url == "" {
		return errors.New("-url is missing")
	}
	return nil
}

func (o *options) log(level string, to io.Writer) error {
	if level == "" {
		if o.url == "" {
			return nil // the demonstration's status lines say it
		}
		level = "info"
	}
	var threshold slog.Level
	if err := threshold.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("-log-level: %q is none of debug, info, warn and error", level)
	}
	o.config.Logger = slog.New(slog.NewTextHandler(to, &slog.HandlerOptions{Level: threshold}))
	return nil
}
