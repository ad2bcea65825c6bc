// Package transport carries a MoQ session: one connection, its streams and its
// datagrams, over one of two carriers. Raw QUIC negotiates the protocol by ALPN;
// WebTransport by a header of the CONNECT request (moq-lite.md §1.2, §1.3).
//
// Use [ParseURL] to make a [Target], [Dialer.Dial] to connect to it, and [NewQUIC]
// for a connection that a server accepted. The result is a [Conn] either way, and
// above it nothing needs to know the carrier: stream and close codes are mapped
// here, and the cause of a death keeps its type.
//
// The package knows no MoQ message. quic-go says on the standard logger when the
// kernel's UDP buffers are small; nothing else is logged.
package transport
