//go:build race

package main

// raceFactor makes room for what the race detector allocates, and for pools, which it
// empties at random.
const raceFactor = 3
