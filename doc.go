// Package moq is a client for Media over QUIC (moq-lite) that stays connected: give it
// a URL and an origin, and your broadcasts and subscriptions outlive every outage.
//
// Make an origin with package pubsub, and a [Client] with [NewClient]. Then call
// [Client.Reconnect], which returns at once and keeps a session alive until it is
// closed:
//
//	origin := pubsub.NewOrigin()
//	client, err := moq.NewClient(moq.Config{Publish: origin})
//	if err != nil {
//		return err // names the setting
//	}
//	r := client.Reconnect(ctx, "https://relay.example.com/anon")
//	// … create a broadcast in origin, announce it, write …
//	<-r.Closed()
//	return r.Err()
//
// [Client.Connect] makes one attempt instead, for one [Session].
//
// # What is retried
//
// A session is used once. When it ends, for whatever reason, a new one is dialed, and
// the origins of [Config] are wired to it: what was published is announced again.
// Every attempt is paced by [Backoff]. The supervisor ends by itself only if the
// credential was refused ([ErrRefused]), if the server answered with a status that is
// final or the URL is malformed ([ErrStopped]), or if the time to give up has come
// ([ErrGaveUp]). All of them come as a *[StopError] with the first and last cause.
//
// # Rules that hold everywhere
//
// Zero means the default, negative means off or never. A context ends a call, and
// Close ends an object and waits for everything that it started. The path and query
// of a URL may be credentials, and appear in no error, log record or state.
package moq
