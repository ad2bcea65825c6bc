package pubsub_test

import (
	"context"
	"fmt"
	"time"

	"github.com/remoq/moq/pubsub"
)

// Publish and read within one process.
func Example() {
	ctx := context.Background()
	origin := pubsub.NewOrigin()
	broadcast, _ := origin.CreateBroadcast("clock")
	track, _ := broadcast.CreateTrack("seconds", pubsub.TrackInfo{})
	_ = broadcast.Announce()

	consumer, _ := origin.Broadcast(ctx, "clock")
	sub, _ := consumer.Subscribe(ctx, "seconds", pubsub.SubscribeOptions{})

	group, _ := track.AppendGroup()
	for i := range 3 {
		_ = group.WriteFrame(pubsub.Frame{Timestamp: time.Duration(i) * time.Second, Payload: fmt.Appendf(nil, "12:00:0%d", i)})
	}
	_ = group.Close()
	_ = broadcast.Close()

	for group, err := range sub.Groups(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		for frame, err := range group.Frames(ctx) {
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Printf("group %d at %v: %s\n", group.Sequence(), frame.Timestamp, frame.Payload)
		}
	}
	// Output:
	// group 0 at 0s: 12:00:00
	// group 0 at 1s: 12:00:01
	// group 0 at 2s: 12:00:02
}

// Announcements: the present set, then a mark, then changes.
func ExampleOrigin_Announced() {
	origin := pubsub.NewOrigin()
	first, _ := origin.CreateBroadcast("room/alice")
	_ = first.Announce()
	for a, err := range origin.Announced(context.Background(), "room") {
		switch {
		case err != nil:
			fmt.Println(err)
			return
		case a.Synced:
			fmt.Println("that is all for now")
			first.Unannounce()
		case a.Active:
			fmt.Println("joined:", a.Path)
		default:
			fmt.Println("left:", a.Path)
			return
		}
	}
	// Output:
	// joined: room/alice
	// that is all for now
	// left: room/alice
}

// Follow waits for the broadcast, and goes on after losses.
func ExampleOrigin_Follow() {
	ctx := context.Background()
	origin := pubsub.NewOrigin()
	follower := origin.Follow("clock", "seconds", pubsub.FollowOptions{Resume: pubsub.ResumeLive})
	defer follower.Close()

	broadcast, _ := origin.CreateBroadcast("clock")
	track, _ := broadcast.CreateTrack("seconds", pubsub.TrackInfo{})
	_ = broadcast.Announce()
	_ = track.WriteNow([]byte("tick"))
	_ = track.Close()

	for group, err := range follower.Groups(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		if gap := group.Gap(); gap != nil {
			fmt.Println(gap)
		}
		for frame, err := range group.Frames(ctx) {
			if err != nil {
				fmt.Println(err)
				break
			}
			fmt.Printf("%s\n", frame.Payload)
		}
	}
	// Output:
	// tick
}

// A route from elsewhere, answered by hand: what a session does for its peer.
func ExampleOrigin_Attach() {
	ctx := context.Background()
	origin := pubsub.NewOrigin()
	requests, _ := origin.Attach(pubsub.Route{Prefix: "far", Hops: []uint64{42}})
	defer requests.Close(nil)

	done := make(chan struct{})
	go func() {
		defer close(done)
		request, _ := requests.Next(ctx)
		track, _ := request.Accept(pubsub.TrackInfo{})
		_ = track.WriteNow(fmt.Appendf(nil, "%s of %s", request.Track(), request.Path()))
		_ = track.Close()
	}()

	broadcast, _ := origin.Lookup("far/away", 0)
	sub, _ := broadcast.Subscribe(ctx, "news", pubsub.SubscribeOptions{})
	group, _ := sub.NextGroup(ctx)
	frame, _ := group.NextFrame(ctx)
	<-done
	fmt.Printf("%s\n", frame.Payload)
	// Output:
	// news of far/away
}

// Broadcasts and tracks that are made when somebody asks for them.
func ExampleOrigin_Serve() {
	ctx := context.Background()
	origin := pubsub.NewOrigin()
	rooms, err := origin.Serve("rooms")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		for {
			request, err := rooms.Next(ctx)
			if err != nil {
				return // closed
			}
			if request.Track() != "chat" {
				request.Reject(nil) // not found
				continue
			}
			track, err := request.Accept(pubsub.TrackInfo{})
			if err == nil {
				_ = track.WriteNow([]byte("welcome to " + request.Path()))
			}
		}
	}()

	room, err := origin.Broadcast(ctx, "rooms/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	chat, err := room.Subscribe(ctx, "chat", pubsub.SubscribeOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for group, err := range chat.Groups(ctx) {
		if err != nil {
			fmt.Println(err)
			return
		}
		frame, _ := group.NextFrame(ctx)
		fmt.Printf("%s\n", frame.Payload)
		break
	}
	_, err = room.Subscribe(ctx, "video", pubsub.SubscribeOptions{})
	fmt.Println(err)
	rooms.Close(nil)
	// Output:
	// welcome to rooms/7
	// moq: stream reset by us: not found (0x33)
}
