//go:build !race

package moq

const raced = false
