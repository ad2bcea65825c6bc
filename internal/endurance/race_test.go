//go:build race

package endurance

// raced says that the race detector watches, which makes everything ten times slower: the
// tests are smaller then.
const raced = true
