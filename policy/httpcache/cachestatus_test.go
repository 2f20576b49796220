package httpcache

import (
	"testing"
	"time"
)

func TestCacheStatus(t *testing.T) {
	for _, tt := range []struct {
		about string
		s     CacheStatus
		want  string
	}{
		{"nothing to say", CacheStatus{}, "cacheproxy"},
		{"a hit (RFC 9211 §2.1)", CacheStatus{Hit: true, TTL: 5500 * time.Millisecond, HasTTL: true}, "cacheproxy; hit; ttl=5"},
		{"a ttl below zero (§2.4)", CacheStatus{Hit: true, TTL: -time.Millisecond, HasTTL: true}, "cacheproxy; hit; ttl=-1"},
		{"what is only said of a request that went on", CacheStatus{Hit: true, ForwardStatus: 200, Stored: true, Collapsed: true}, "cacheproxy; hit"},
		{"a request that went on (§2.2)", CacheStatus{Hit: true, Forward: "miss", ForwardStatus: 200, Stored: true}, "cacheproxy; fwd=miss; fwd-status=200; stored"},
		{"with another (§2.6)", CacheStatus{Forward: "miss", Collapsed: true}, "cacheproxy; fwd=miss; collapsed"},
		{"not with another (§2.6)", CacheStatus{Forward: "miss", Apart: true}, "cacheproxy; fwd=miss; collapsed=?0"},
		{"a detail that is a token (RFC 8941 §3.3.4)", CacheStatus{Detail: "too-large"}, "cacheproxy; detail=too-large"},
		{"and one that is a string (§3.3.3)", CacheStatus{Key: `a"b`, Detail: "1 \xff"}, `cacheproxy; key="a\"b"; detail="1 %FF"`},
	} {
		if got := string(tt.s.Append(nil)); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.about, got, tt.want)
		}
	}
}
