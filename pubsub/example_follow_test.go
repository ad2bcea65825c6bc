package pubsub_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/remoq/moq/pubsub"
)

// publisher stands for whoever is far away: it numbers its groups, and keeps all or none.
type publisher struct {
	next uint64
	keep bool
}

// serve connects the publisher to an origin, as a session does, and writes n groups of a
// single frame a second apart, after those that a reader who asks for them can have. The
// newest one leaves first.
func (p *publisher) serve(origin *pubsub.Origin, n uint64) *pubsub.Requests {
	route, _ := origin.Attach(pubsub.Route{Prefix: "clock", Hops: []uint64{42}})
	first, end := p.next, p.next+n
	p.next = end
	go func() {
		request, err := route.Next(context.Background())
		if err != nil {
			return
		}
		if start := request.Demand().Start; start != nil && p.keep {
			first = *start
		}
		track, _ := request.Accept(pubsub.TrackInfo{})
		track.StartAt(first)
		write := func(sequence uint64) {
			group, _ := track.CreateGroup(sequence)
			_ = group.WriteFrame(pubsub.Frame{
				Timestamp: time.Duration(sequence) * time.Second,
				Payload:   fmt.Appendf(nil, "tick %d", sequence),
			})
			_ = group.Close()
		}
		write(end - 1)
		for sequence := first; sequence < end-1; sequence++ {
			write(sequence)
		}
	}()
	return route
}

// read prints groups until the one with sequence last.
func read(follower *pubsub.Follower, last uint64) {
	for {
		group, err := follower.NextGroup(context.Background())
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, gap := range group.Gaps() {
			fmt.Println(gap)
		}
		for {
			frame, err := group.NextFrame(context.Background())
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				fmt.Println(err)
				break
			}
			fmt.Printf("%s\n", frame.Payload)
		}
		if group.Sequence() == last {
			return
		}
	}
}

// ResumeLive goes on with what is live after an outage, and says what was lost.
func ExampleFollowOptions_resumeLive() {
	origin, clock := pubsub.NewOrigin(), &publisher{}
	follower := origin.Follow("clock", "seconds", pubsub.FollowOptions{Resume: pubsub.ResumeLive})
	defer follower.Close()

	session := clock.serve(origin, 1)
	read(follower, 0)
	session.Close(errors.New("network down"))
	clock.next += 2 // it goes on without us
	session = clock.serve(origin, 1)
	read(follower, 3)
	session.Close(nil)
	// Output:
	// tick 0
	// lost groups 1 to 2 from frame 0 of the first
	// tick 3
}

// ResumeLast goes on where it was, as long as the publisher or a relay keeps that.
func ExampleFollowOptions_resumeLast() {
	origin, clock := pubsub.NewOrigin(), &publisher{keep: true}
	follower := origin.Follow("clock", "seconds", pubsub.FollowOptions{Resume: pubsub.ResumeLast})
	defer follower.Close()

	session := clock.serve(origin, 1)
	read(follower, 0)
	session.Close(errors.New("network down"))
	clock.next += 2
	session = clock.serve(origin, 1)
	read(follower, 3)
	session.Close(nil)
	// Output:
	// tick 0
	// tick 1
	// tick 2
	// tick 3
}

// Within bounds how far back ResumeLast goes: who was away for long catches up with the end.
func ExampleFollowOptions_within() {
	origin, clock := pubsub.NewOrigin(), &publisher{keep: true}
	follower := origin.Follow("clock", "seconds", pubsub.FollowOptions{
		Resume: pubsub.ResumeLast, Within: 2 * time.Second,
	})
	defer follower.Close()

	session := clock.serve(origin, 1)
	read(follower, 0)
	session.Close(errors.New("network down"))
	clock.next += 5
	session = clock.serve(origin, 1)
	read(follower, 6)
	session.Close(nil)
	// Output:
	// tick 0
	// lost groups 1 to 3 from frame 0 of the first
	// tick 4
	// tick 5
	// tick 6
}

// Another process goes on under the same identity: readers take the two for one.
func ExampleOriginOptions() {
	old := pubsub.NewOrigin()
	broadcast, _ := old.CreateBroadcast("clock")
	track, _ := broadcast.CreateTrack("seconds", pubsub.TrackInfo{})
	_ = broadcast.Announce()
	_ = track.WriteNow([]byte("tick 0"))

	heir := pubsub.NewOriginWith(pubsub.OriginOptions{
		Identity: old.Identity(), FirstSequence: old.NextSequence(),
	})
	broadcast, _ = heir.CreateBroadcast("clock")
	track, _ = broadcast.CreateTrack("seconds", pubsub.TrackInfo{})
	_ = broadcast.Announce()
	group, _ := track.AppendGroup()
	fmt.Println(heir.Identity() == old.Identity(), group.Sequence())
	// Output:
	// true 1
}

// A group that no subscription brings.
func ExampleBroadcastConsumer_Fetch() {
	ctx := context.Background()
	origin := pubsub.NewOrigin()
	broadcast, _ := origin.CreateBroadcast("clock")
	track, _ := broadcast.CreateTrack("seconds", pubsub.TrackInfo{})
	_ = broadcast.Announce()
	_ = track.WriteNow([]byte("tick"))
	_ = track.WriteNow([]byte("tock"))

	consumer, _ := origin.Lookup("clock", 0)
	group, err := consumer.Fetch(ctx, "seconds", 0, pubsub.FetchOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer group.Close()
	frame, _ := group.NextFrame(ctx)
	fmt.Printf("%s\n", frame.Payload)
	_, err = consumer.Fetch(ctx, "seconds", 9, pubsub.FetchOptions{})
	fmt.Println(err)
	// Output:
	// tick
	// moq: stream reset by us: not found (0x33)
}
