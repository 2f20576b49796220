//go:build race

package proxy

// A test with the race detector takes six times as long, and finds a race of single clients at the first try: it tries a sixth of
// what it tries without. test/norace tries all.
const underRace = 6

// unlessRace is how often a property is tried: n times, and fewer with the race detector.
func unlessRace(n int) int { return max(1, n/underRace) }

// allUnlessRace tells of the rows of a table, in turn, which are tried: all of them, and one in six with the race detector.
func allUnlessRace() func() bool {
	row := -1
	return func() bool { row++; return row%underRace == 0 }
}
