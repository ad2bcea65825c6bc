//go:build !race

package endurance

const raced = false
