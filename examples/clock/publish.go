package main

import (
	"context"
	"time"

	"github.com/remoq/moq/pubsub"
)

// publish writes the time to a track until ctx ends, whatever happens to the
// connection.
func (o *options) publish(ctx context.Context) error { return o.publishAs(ctx, "") }

func (o *options) publishAs(ctx context.Context, name string) error {
	origin := pubsub.NewOrigin()
	broadcast, err := origin.CreateBroadcast(o.broadcast)
	if err != nil {
		return err
	}
	track, err := broadcast.CreateTrack(o.track, pubsub.TrackInfo{})
	if err != nil {
		return err
	}
	if err := broadcast.Announce(); err != nil {
		return err
	}
	config := o.config
	config.Publish = origin
	return o.connected(ctx, name, config, func(ctx context.Context) error {
		if err := tick(ctx, track); err != nil {
			return err
		}
		return broadcast.Close()
	})
}

// tick writes a group for each minute: first the minute, then each second. It leaves
// no group open: readers should not take the end for a loss.
func tick(ctx context.Context, track *pubsub.TrackProducer) error {
	var group *pubsub.GroupProducer
	var minute, last string
	begin := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return finish(group)
		case <-timer.C:
		}
		now := time.Now().UTC()
		timer.Reset(now.Truncate(time.Second).Add(time.Second).Sub(now))
		at, second := now.Sub(begin), now.Format("05")
		if second == last {
			continue // the clock was set back a little, and the timer came early
		}
		last = second
		if m := now.Format("2006-01-02 15:04:"); m != minute {
			if err := finish(group); err != nil {
				return err
			}
			next, err := track.AppendGroup()
			if err != nil {
				return err
			}
			if err := next.WriteFrame(pubsub.Frame{Timestamp: at, Payload: []byte(m)}); err != nil {
				return err
			}
			group, minute = next, m
		}
		if err := group.WriteFrame(pubsub.Frame{Timestamp: at, Payload: []byte(second)}); err != nil {
			return err
		}
	}
}

// finish ends a group, if there is one.
func finish(group *pubsub.GroupProducer) error {
	if group == nil {
		return nil
	}
	return group.Close()
}
