// Package session is the protocol engine: one MoQ session over one
// [transport.Conn], for the dialing and for the accepting side, on every version
// that package wire speaks.
//
// A session has two halves that do not know each other. The publisher answers what
// the peer asks of the Publish origin: announcements, tracks, subscriptions. The
// subscriber attaches what the peer announces to the Subscribe origin as routes, and
// asks the peer for the tracks that readers of that origin want. Both are ordinary
// users of package pubsub: everything that must outlive the session is kept there.
//
// Goroutines: acceptStreams and acceptGroups hand each stream of the peer's to a
// goroutine of its own, so that no stream waits behind another. The subscriber adds
// readAnnouncements and serveRequests, and two goroutines for each track that is
// subscribed to; the publisher two for each subscription, and one for each group that is
// still open. At the session's end conclude waits for all of them.
package session
