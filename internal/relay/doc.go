// Package relay is a small MoQ relay in memory, for development, tests and examples.
//
// It is one [pubsub.Origin], an accept loop, and a session for each client: what one
// client publishes another can read, with hop ids and split horizon as between real
// relays. It keeps nothing on disk, verifies no tokens of its own, knows no cluster,
// and is not meant to face the internet; moq-relay is the one that is.
//
// This package accepts raw QUIC. Other carriers register by ALPN with
// [Relay.Handle]: package web adds WebTransport on the same UDP port.
package relay
