// Package wire is the byte codec of moq-lite: it turns messages into bytes and bytes
// into messages, and does no I/O of its own, starts no goroutine and logs nothing.
//
// Every message is a plain struct with a method Append, which writes it with its own
// framing, and a function Parse…, which reads one body that was already cut by its
// length. A [Reader] does the cutting. What differs between versions of the protocol
// is listed in one place, the layouts of layout.go; a field that a version lacks is
// left out by Append and zero after Parse.
//
// Everything that comes from a peer is distrusted: each malformed message is an
// [*Error] that names the message and the field, memory grows only with bytes that
// have arrived, and nothing panics. After an error the message returned with it is
// not to be used. Append in turn trusts its caller and panics on a number that the
// wire cannot hold.
//
// Section numbers (§) in this package are those of moq-lite.md.
package wire
