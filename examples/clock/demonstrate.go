package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/relay/web"
)

// demonstrate runs a relay, a publisher and a subscriber that meet over QUIC only,
// restarts the relay every ten seconds, and says what became of the connections.
func (o *options) demonstrate(ctx context.Context) error {
	cert, err := relay.NewCertificate("localhost", "127.0.0.1")
	if err != nil {
		return err
	}
	h := &hub{cert: cert}
	addr, err := h.start("127.0.0.1:0")
	defer func() { h.stop() }() // last: the clients leave before
	if err != nil {
		return err
	}
	o.url = "https://" + addr.String() + "/demo"
	o.config.TLS, o.config.Fingerprints = nil, []string{relay.Fingerprint(cert)}
	fmt.Fprintf(o.out, "-- relay: up on %s; a publisher and a subscriber meet there; Ctrl-C ends\n", addr)

	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	var parts sync.WaitGroup
	for _, part := range []func() error{
		func() error { return o.publishAs(running, "publisher") },
		func() error { return o.subscribeAs(running, "subscriber") },
		func() error { return o.flap(running, h, addr.String()) },
	} {
		parts.Go(func() {
			if err := part(); err != nil {
				fail(err)
			}
		})
	}
	parts.Wait()
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(running)
}

// flap restarts the relay again and again, until ctx ends.
func (o *options) flap(ctx context.Context, h *hub, addr string) error {
	timer := time.NewTimer(o.up)
	defer timer.Stop()
	for down := false; ; down = !down {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		if down {
			if _, err := h.start(addr); err != nil {
				return fmt.Errorf("the relay cannot start again: %w", err)
			}
			fmt.Fprintln(o.out, "-- relay: up again")
			timer.Reset(o.up)
			continue
		}
		fmt.Fprintf(o.out, "-- relay: down for %v\n", o.down)
		h.stop()
		timer.Reset(o.down)
	}
}

// hub is the relay, which comes and goes on one port.
type hub struct {
	cert tls.Certificate
	stop func()
}

func (h *hub) start(addr string) (net.Addr, error) {
	h.stop = func() {}
	r, err := relay.New(relay.Config{TLS: &tls.Config{Certificates: []tls.Certificate{h.cert}, MinVersion: tls.VersionTLS13}})
	if err != nil {
		return nil, err
	}
	stopWeb := web.Enable(r)
	h.stop = func() { // on the way out: nothing to do about an error
		_ = r.Close()
		_ = stopWeb()
	}
	return r.Listen(addr)
}
