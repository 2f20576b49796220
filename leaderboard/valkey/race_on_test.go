//go:build race

package valkey

// raceEnabled says that the tests run with the race detector, which makes them slow. test/norace runs without it what that need not see.
const raceEnabled = true
