package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/quic-go/quic-go"

	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/internal/relay/web"
)

const (
	serverRole = "serve"
	// rawProtocol is the ALPN of arm R, whose connections the server leaves alone.
	rawProtocol = "bench-raw"
)

// serve runs the server of all arms until ctx ends: the embedded relay. It prints its
// address and its certificate's fingerprint.
func serve(ctx context.Context, out io.Writer) (err error) {
	r, err := relay.New(relay.Config{})
	if err != nil {
		return err
	}
	r.Handle(rawProtocol, func(conn *quic.Conn) {
		select {
		case <-conn.Context().Done():
		case <-r.Context().Done():
			_ = conn.CloseWithError(0, "")
		}
	})
	stop := web.Enable(r)
	defer func() { err = errors.Join(err, stop(), r.Close()) }()
	addr, err := r.Listen("127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintln(out, addr, r.Fingerprint())
	<-ctx.Done()
	return nil
}
