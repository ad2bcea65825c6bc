package main

import (
	"context"
	"fmt"
	"io"

	"github.com/remoq/moq/bench/figures"
)

// describe prints what the figures depend on.
func describe(ctx context.Context, out io.Writer) error {
	p, err := newPair(ctx)
	if err != nil {
		return err
	}
	gso := p.near.ConnectionState().GSO
	p.close()
	fmt.Fprint(out, figures.Machine())
	fmt.Fprintf(out, "%s over raw QUIC and UDP loopback, GSO %t, both ends in this process\n", version, gso)
	return nil
}
