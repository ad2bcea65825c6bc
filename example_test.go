package moq_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/remoq/moq"
	"github.com/remoq/moq/internal/relay"
	"github.com/remoq/moq/pubsub"
)

// developmentRelay stands for the relay that you have.
func developmentRelay() (url, fingerprint string, stop func()) {
	r, err := relay.New(relay.Config{})
	if err != nil {
		log.Fatal(err)
	}
	addr, err := r.Listen("127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	return "moqt://" + addr.String() + "/anon", r.Fingerprint(), func() { _ = r.Close() }
}

// A publisher and a subscriber that meet at a relay. Both stay connected until their
// context ends; neither has any code for that.
func Example() {
	url, fingerprint, stop := developmentRelay()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	// The publisher.
	mine := pubsub.NewOrigin()
	broadcast, err := mine.CreateBroadcast("greetings")
	if err != nil {
		log.Fatal(err)
	}
	track, err := broadcast.CreateTrack("text", pubsub.TrackInfo{})
	if err != nil {
		log.Fatal(err)
	}
	if err := broadcast.Announce(); err != nil {
		log.Fatal(err)
	}
	publisher, err := moq.NewClient(moq.Config{Publish: mine, Fingerprints: []string{fingerprint}})
	if err != nil {
		log.Fatal(err)
	}
	defer publisher.Close()
	publisher.Reconnect(ctx, url)
	if err := track.WriteNow([]byte("hello")); err != nil {
		log.Fatal(err)
	}

	// The subscriber.
	theirs := pubsub.NewOrigin()
	subscriber, err := moq.NewClient(moq.Config{Subscribe: theirs, Fingerprints: []string{fingerprint}})
	if err != nil {
		log.Fatal(err)
	}
	defer subscriber.Close()
	subscriber.Reconnect(ctx, url)
	sub := theirs.Follow("greetings", "text", pubsub.FollowOptions{})
	defer sub.Close()
	for group, err := range sub.Groups(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		for frame, err := range group.Frames(ctx) {
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(string(frame.Payload))
		}
		break
	}
	// Output: hello
}

// One attempt, without a supervisor: what went wrong is the error.
func ExampleClient_Connect() {
	client, err := moq.NewClient(moq.Config{Subscribe: pubsub.NewOrigin()})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	_, err = client.Connect(context.Background(), "ftp://relay.example.com")
	var config *moq.ConfigError
	fmt.Println(errors.As(err, &config), config.Field)
	// Output: true URL
}

// A supervisor that has ended for good tells why.
func ExampleReconnect_Wait() {
	url, fingerprint, stop := developmentRelay()
	stop() // nobody is there
	client, err := moq.NewClient(moq.Config{
		Fingerprints: []string{fingerprint},
		Backoff:      moq.Backoff{Initial: 50 * time.Millisecond, FirstTimeout: 200 * time.Millisecond},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	err = client.Reconnect(context.Background(), url).Wait(context.Background())
	fmt.Println(errors.Is(err, moq.ErrGaveUp))
	// Output: true
}
