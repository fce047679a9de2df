//go:build race

package harness

// Race says that tests run with the race detector; the programs are then built
// with it too.
const Race = true
