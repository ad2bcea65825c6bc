//go:build race

package moq

// raced says that the race detector watches, which makes everything ten times slower: tests
// that repeat themselves to find figures do so less often. The figures are those of the
// plain run.
const raced = true
