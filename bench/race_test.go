//go:build race

package main

// raceFactor makes room for what the race detector allocates, and for pools, quic-go's and
// ours: it throws away what is put back into them at random. One more allocation for each
// frame still shows.
const raceFactor = 12
