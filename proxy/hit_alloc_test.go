//go:build !race

package proxy

import (
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// maxHitAllocs is what a hit allocates at most: the text of Age and Cache-Status, and the array that holds the two values.
const maxHitAllocs = 2

func TestHitAllocations(t *testing.T) {
	for name, change := range map[string]func(*policy.Route){
		"as usual": func(*policy.Route) {},
		"with conditions": func(r *policy.Route) {
			r.Where = map[policy.Placeholder]*regexp.Regexp{{Kind: policy.FromHeader, Name: "X-App"}: regexp.MustCompile("(?:app)?")}
			r.Clients = []netip.Prefix{netip.MustParsePrefix(peer)}
		},
		"with other fields for clients": func(r *policy.Route) {
			r.SetFields, r.RemoveFields = http.Header{"Cache-Control": {"no-cache"}}, []string{"X-Powered-By"}
		},
	} {
		p, r := hot(t, change)
		s := &sink{header: http.Header{}}
		got := testing.AllocsPerRun(1000, func() {
			s.reset()
			p.ServeHTTP(s, r)
		})
		if cache := s.header.Get("Cache-Status"); got > maxHitAllocs || !strings.Contains(cache, "; hit") {
			t.Errorf("%s: a hit allocates %v times, want at most %d: %s", name, got, maxHitAllocs, cache)
		}
	}
}

// Other instances cost a hit no allocation, whether or not there is news of what they purge.
func TestHitAllocationsWithALease(t *testing.T) {
	for name, lease := range map[string]time.Duration{"held": time.Hour, "lapsed": time.Nanosecond} {
		p, r := hot(t, func(r *policy.Route) { r.OnLeaseLoss, r.LeaseLossMax = policy.LeaseLossServeStale, time.Hour })
		p.lease = invalidation.NewLease(time.Now())
		p.lease.Extend(time.Now().Add(lease))
		s := &sink{header: http.Header{}}
		got := testing.AllocsPerRun(1000, func() {
			s.reset()
			p.ServeHTTP(s, r)
		})
		if got > maxHitAllocs {
			t.Errorf("%s: a hit allocates %v times, want at most %d", name, got, maxHitAllocs)
		}
		if cache := s.header.Get("Cache-Status"); !strings.Contains(cache, "; hit") || strings.Contains(cache, "lease-lapsed") != (name == "lapsed") {
			t.Errorf("%s: Cache-Status %q", name, cache)
		}
	}
}

// A copy that is held compressed costs no more allocations where it goes out as it is held, and one where it is unpacked.
func TestCompressedHitAllocations(t *testing.T) {
	p, r := hot(t, func(r *policy.Route) { r.Compression = httpcache.Zstd })
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
