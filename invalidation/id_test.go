package invalidation

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// Members of whatever length and order have the IDs that each has by itself.
func TestIDsOf(t *testing.T) {
	var members []policy.Member
	for _, n := range []int{1, 63, 64, 65, 100, 1000, 70, 70} {
		members = append(members, policy.NewMember(policy.KindPrefix, strings.Repeat("a", n)), policy.NewMember(policy.KindKey, strings.Repeat("b", n)))
		members = append(members, policy.NewMember(policy.KindPrefix, strings.Repeat("a", n+1)), policy.All)
	}
	var want []ID
	for _, m := range members {
		want = append(want, IDOf(m))
	}
	slices.Sort(want)
	if got := IDsOf(members); !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("%d IDs, want %d, or others", len(got), len(slices.Compact(want)))
	}
}

// The names of a path take as long as the path is, in however many segments, and no memory for each.
func TestDeepPaths(t *testing.T) {
	const length = 60_000
	for _, segments := range []int{1, 10, 100, 240, 30_000} {
		path := strings.Repeat("/"+strings.Repeat("a", length/segments-1), segments)
		members := (&policy.Route{}).Members(nil, target(path), "", nil, nil)
		if len(members) > policy.MaxMembers+10 {
			t.Errorf("%d segments: %d members, and a copy may have %d", segments, len(members), policy.MaxMembers)
		}
		var h continuedHash
		for _, m := range members {
			h.of(string(m))
		}
		if h.bytes > 12*length {
			t.Errorf("%d segments: %d bytes hashed for a path of %d", segments, h.bytes, length)
		}
	}
}

func target(path string) httpcache.Target {
	return httpcache.Target{Scheme: "http", Host: "shop.example", Path: path}
}

func BenchmarkIDsOfDeepPath(b *testing.B) {
	for _, segments := range []int{1, 240} {
		members := (&policy.Route{}).Members(nil, target(strings.Repeat("/"+strings.Repeat("a", 60_000/segments-1), segments)), "", nil, nil)
		b.Run(fmt.Sprint(segments), func(b *testing.B) {
			for b.Loop() {
				IDsOf(members)
			}
		})
	}
}
