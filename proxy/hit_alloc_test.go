//go:build !race

package proxy

import (
	"net/http"
	"testing"
)

// maxHitAllocs is what a hit allocates at most: the text of Age and Cache-Status, and the array that holds the two values.
const maxHitAllocs = 2

func TestHitAllocations(t *testing.T) {
	p, r := hot(t)
	s := &sink{header: http.Header{}}
	got := testing.AllocsPerRun(1000, func() {
		s.reset()
		p.ServeHTTP(s, r)
	})
	if got > maxHitAllocs {
		t.Errorf("a hit allocates %v times, want at most %d", got, maxHitAllocs)
	}
}
