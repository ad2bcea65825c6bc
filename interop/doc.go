// Package interop runs this library against the real peers: moq-relay of both
// generations, upstream's clock, and the Python package moq-rs.
//
// It holds only tests, behind the build tag "interop". They need the pinned
// peers, which the script ci/peers installs once into a cache outside the
// repository; a peer that is missing is a failure, never a skip:
//
//	ci/peers
//	go test -tags interop ./interop
//
// The run ends with a table of what was run and seen, for docs/INTEROP.md.
package interop
