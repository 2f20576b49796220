//go:build race

package bubbles

const raceDetector = true
