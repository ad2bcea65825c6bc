// Package endurance proves, on virtual time and with real QUIC, what a program is promised
// over the long run: that every frame of a publication comes once and in order or is named
// as lost, through whatever happens to relay, sessions and paths; and that a reader who does
// not keep up costs a bounded amount of memory, and other readers nothing. It holds tests
// only, which see the library as a program does.
//
//	MOQ_FRAMES=1000000 go test -timeout 0 -v -run Integrity ./internal/endurance
//
// sets how many frames TestIntegrity publishes: 20,000 if it is not set. There is a fault
// for every 5,000 of them, at least 6 and at most 1,000.
package endurance
