// Package netwatch tells when the machine's network has changed, so that a connection
// can be tried at once instead of waiting for its timeouts.
//
// [Watch] is all there is. It works on Linux; elsewhere the connection's own silence
// has to do.
package netwatch

import "time"

// gathering is how long changes are collected for one call: an interface that comes up
// brings its addresses and routes with it.
const gathering = 100 * time.Millisecond

// Watch calls changed, on a goroutine of its own, after an address of the machine came,
// went or changed, after an interface with such an address came up or went down, and
// after a default route was set or removed. What happens within 100 ms of the first
// change is one call. Loopback and addresses that reach no further than the link do not
// count.
//
// stop ends it and waits: changed is not running afterwards and will not be called
// again. It may be called more than once, concurrently, but not by changed. While
// changed runs nothing is lost.
//
// Where the system cannot tell, changed is never called, ok is false, and stop does
// nothing.
func Watch(changed func()) (stop func(), ok bool) { return watch(changed) }
