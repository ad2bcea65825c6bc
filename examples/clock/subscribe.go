package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/remoq/moq/pubsub"
)

// subscribe prints the time from a track until ctx or the track ends, whatever happens
// to the connection.
func (o *options) subscribe(ctx context.Context) error { return o.subscribeAs(ctx, "") }

func (o *options) subscribeAs(ctx context.Context, name string) error {
	origin := pubsub.NewOrigin()
	config := o.config
	config.Subscribe = origin
	return o.connected(ctx, name, config, func(ctx context.Context) error { return o.show(ctx, origin) })
}

// show prints each tick, and what was lost in between.
func (o *options) show(ctx context.Context, origin *pubsub.Origin) error {
	sub := origin.Follow(o.broadcast, o.track, pubsub.FollowOptions{})
	defer sub.Close()
	minute := ""
	for group, err := range sub.Groups(ctx) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		for _, gap := range group.Gaps() {
			fmt.Fprintf(o.out, "-- %v\n", gap)
		}
		for {
			index := group.Index()
			frame, err := group.NextFrame(ctx)
			if err != nil {
				break // its end, or the connection's: the next group tells what was lost
			}
			if index == 0 {
				minute = printable(frame.Payload)
			} else {
				fmt.Fprintf(o.out, "%s%s\n", minute, printable(frame.Payload))
			}
		}
	}
	fmt.Fprintln(o.out, "-- the publisher has ended the track")
	return nil
}

// printable keeps what a stranger publishes from steering the terminal.
func printable(text []byte) string {
	for _, b := range text {
		if b < ' ' || b > '~' {
			return strconv.QuoteToASCII(string(text))
		}
	}
	return string(text)
}
