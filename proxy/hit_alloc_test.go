//go:build !race

package proxy

import (
	"net/http"
	"testing"

	"cacheproxy/policy"
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

// A copy that is held compressed costs no more allocations where it goes out as it is held, and one where it is unpacked.
func TestCompressedHitAllocations(t *testing.T) {
	p, r := hot(t, func(r *policy.Route) { r.Compression = policy.Zstd })
	s := &sink{header: http.Header{}}
	for accept, most := range map[string]float64{"gzip, deflate, br, zstd": maxHitAllocs, "gzip": maxHitAllocs + 1} {
		r.Header.Set("Accept-Encoding", accept)
		got := testing.AllocsPerRun(1000, func() {
			s.reset()
			p.ServeHTTP(s, r)
		})
		if got > most {
			t.Errorf("%q: a hit allocates %v times, want at most %v", accept, got, most)
		}
		if coded := s.header.Get("Content-Encoding") == "zstd"; coded != (most == maxHitAllocs) {
			t.Errorf("%q: %v", accept, s.header)
		}
	}
}
