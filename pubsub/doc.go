// Package pubsub is the model of Media over QUIC: who publishes what, and who
// reads it. It does no I/O and starts no goroutine, so it is also a complete
// publish/subscribe library within one process.
//
// An [Origin] is a table of broadcasts. A broadcast has named tracks, a track is a
// series of groups, a group an ordered run of frames. Producers write, consumers
// read:
//
//	origin := pubsub.NewOrigin()
//	broadcast, err := origin.CreateBroadcast("clock")
//	track, err := broadcast.CreateTrack("seconds", pubsub.TrackInfo{})
//	err = broadcast.Announce() // only now can others see it
//	err = track.WriteNow([]byte("12:00:00"))
//
// and elsewhere:
//
//	consumer, err := origin.Broadcast(ctx, "clock") // waits until it is announced
//	sub, err := consumer.Subscribe(ctx, "seconds", pubsub.SubscribeOptions{})
//	for group, err := range sub.Groups(ctx) {
//		for frame, err := range group.Frames(ctx) { … }
//	}
//
// [Origin.Follow] is the durable form of a subscription: it waits for the broadcast,
// subscribes, and does so again after every loss, from the live edge or from where it
// was, telling exactly what was lost. [BroadcastConsumer.Fetch] reads a single group.
//
// # Where broadcasts come from
//
// A broadcast is either made here (CreateBroadcast) or stands behind a [Route] that
// somebody attached, as a session does for each announcement of its peer. What is
// asked of attached routes comes out of a [Feed] as [Request] values; whoever accepts
// one gets a [TrackProducer] and fills it. Supplier and readers never wait for each
// other.
//
// What is made only when somebody wants it is offered in the same way: everything below a
// prefix by [Origin.Serve], and the tracks of a broadcast by [BroadcastProducer.Tracks].
//
// # Datagrams
//
// A track can also carry datagrams ([TrackProducer.WriteDatagram]): single frames that
// need not arrive, and that no group waits for. They share the groups' sequences.
//
// # What is kept
//
// The latest group of a track is always kept. Older ones are kept until they are older
// than [TrackInfo] MaxAge by their presentation times, or until a budget in bytes is used
// up: the origin's, the track's, or that of whoever supplies it ([Budget]), which the
// latest groups count against too. Of datagrams the last 64 are kept. A slow reader loses
// the oldest group first and is told which ([GroupConsumer.Gap]); it never slows down the
// others.
//
// # Iterators
//
// The end (io.EOF) ends a loop and is not yielded; any other error is yielded once,
// last. Leaving a loop early releases what it held, also the group being read.
//
// # Errors
//
// Reading stops with io.EOF at the end, with the error that a producer or a lost
// session gave, with [moqerr.ErrClosed] after one's own Close, or with ctx.Err().
// [moqerr.StreamError] carries the code that a remote reader would get.
package pubsub

// Locks, in the order in which they may nest: Feed.mu, broadcast.mu, track.mu,
// group.mu or Origin.tracksMu; Origin.mu nests inside none of them and holds none. Nothing is rung,
// closed or called while one of them is held.
