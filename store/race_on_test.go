//go:build race

package store

// raceEnabled says that the tests run with the race detector, which makes them slow and counts allocations of its own.
const raceEnabled = true
