//go:build !race

package invalidation

const raceEnabled = false
