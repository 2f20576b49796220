//go:build !race

package proxy

func unlessRace(n int) int { return n }
