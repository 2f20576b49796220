//go:build race

package proxy

// unlessRace is how often a property is tried: n times, and fewer with the race detector, which takes six times as long for each and
// finds a race of these single clients at the first. test/norace tries n times.
func unlessRace(n int) int { return max(1, n/6) }
