package policy

import (
	"testing"
	"time"

	"github.com/dunglas/httpsfv"
)

func TestStatusAppend(t *testing.T) {
	const s = time.Second
	tests := []struct {
		about string
		s     Status
		want  string
	}{
		{"hit (RFC 9211 §2.1)", Status{Outcome: Hit, TTL: 431 * s, HasTTL: true}, "cacheproxy; hit; ttl=431"},
		{"ttl is rounded down", Status{Outcome: Hit, TTL: 1999 * time.Millisecond, HasTTL: true}, "cacheproxy; hit; ttl=1"},
		{"stale has a negative ttl (§2.4)", Status{Outcome: Stale, Reason: Expired, TTL: -5 * s, HasTTL: true}, "cacheproxy; hit; ttl=-5; detail=expired"},
		{"just stale", Status{Outcome: Stale, TTL: -time.Millisecond, HasTTL: true}, "cacheproxy; hit; ttl=-1"},
		{"stale, without asking the origin", Status{Outcome: Stale, Reason: QueueFull}, "cacheproxy; hit; detail=queue-full"},
		{"stale, the origin failed (§2.1)", Status{Outcome: Stale, Reason: OriginStatus, FwdStatus: 503, TTL: -9 * s, HasTTL: true},
			"cacheproxy; fwd=stale; fwd-status=503; ttl=-9; detail=origin-status"},
		{"stale, the origin did not answer", Status{Outcome: Stale, Reason: OriginTimeout}, "cacheproxy; fwd=stale; detail=origin-timeout"},
		{"revalidated (§4)", Status{Outcome: Revalidated, Reason: Expired, Stored: true, TTL: 60 * s, HasTTL: true},
			"cacheproxy; fwd=stale; fwd-status=304; stored; ttl=60"},
		{"uri-miss (§2.2)", Status{Outcome: Miss, Reason: URIMiss, FwdStatus: 200, Stored: true}, "cacheproxy; fwd=uri-miss; fwd-status=200; stored"},
		{"vary-miss (§2.2)", Status{Outcome: Miss, Reason: VaryMiss, FwdStatus: 200}, "cacheproxy; fwd=vary-miss; fwd-status=200"},
		{"stale copy replaced (§2.2)", Status{Outcome: Miss, Reason: Expired, FwdStatus: 200, Stored: true}, "cacheproxy; fwd=stale; fwd-status=200; stored"},
		{"purged copy replaced", Status{Outcome: Miss, Reason: Purged}, "cacheproxy; fwd=miss; detail=purged"},
		{"not stored", Status{Outcome: Miss, Reason: noStore, FwdStatus: 200}, "cacheproxy; fwd=miss; fwd-status=200; detail=no-store"},
		{"collapsed (§2.6)", Status{Outcome: Collapsed, Reason: URIMiss}, "cacheproxy; fwd=uri-miss; collapsed"},
		{"bypass (§2.2)", Status{Reason: Authorization}, "cacheproxy; fwd=bypass; detail=authorization"},
		{"bypass by configuration", Status{Reason: routeBypass}, "cacheproxy; fwd=bypass"},
		{"no route", Status{Reason: NoRoute, FwdStatus: 404}, "cacheproxy; fwd=bypass; fwd-status=404; detail=no-route"},
		{"request: fresh, but not for this client (§2.2)", Status{Outcome: Miss, Reason: ClientDirective, FwdStatus: 200, Stored: true},
			"cacheproxy; fwd=request; fwd-status=200; stored; detail=client-cache-control"},
		{"request, and the origin confirmed it", Status{Outcome: Revalidated, Reason: ClientDirective, Stored: true},
			"cacheproxy; fwd=request; fwd-status=304; stored; detail=client-cache-control"},
		{"partial (§2.2)", Status{Outcome: Miss, Reason: PartMiss, FwdStatus: 206, Stored: true}, "cacheproxy; fwd=partial; fwd-status=206; stored"},
		{"not collapsed although it waited (§2.6)", Status{Outcome: Miss, Reason: URIMiss, FwdStatus: 200, Apart: true},
			"cacheproxy; fwd=uri-miss; fwd-status=200; collapsed=?0"},
		{"waited in vain", Status{Reason: WaitTimeout, FwdStatus: 200, Apart: true}, "cacheproxy; fwd=miss; fwd-status=200; collapsed=?0; detail=wait-timeout"},
		{"collapsed after all", Status{Outcome: Collapsed, Reason: URIMiss, Apart: true}, "cacheproxy; fwd=uri-miss; collapsed"},
		{"a HEAD that no copy answers", Status{Reason: HeadMiss, FwdStatus: 200}, "cacheproxy; fwd=miss; fwd-status=200; detail=head-miss"},
		{"method (§2.2)", Status{Reason: methodOther}, "cacheproxy; fwd=method; detail=method-other"},
		{"write", Status{Outcome: Write, Reason: MethodUnsafe, FwdStatus: 204}, "cacheproxy; fwd=method; fwd-status=204"},
		{"write, not confirmed", Status{Outcome: Write, Reason: NotConfirmed, FwdStatus: 204}, "cacheproxy; fwd=method; fwd-status=204; detail=not-confirmed"},
		{"shed: neither hit nor forwarded", Status{Outcome: Shed, Reason: QueueFull}, "cacheproxy; detail=queue-full"},
		{"failed before the origin", Status{Outcome: Failed, Reason: StoreUnavailable}, "cacheproxy; detail=store-down"},
		{"failed at the origin", Status{Outcome: Failed, Reason: OriginTimeout}, "cacheproxy; fwd=miss; detail=origin-timeout"},
		{"a write that failed there", Status{Outcome: Write, Reason: MethodUnsafe}.Failing(Failed, OriginError), "cacheproxy; fwd=method; detail=origin-error"},
		{"a request without a route that failed there", Status{Reason: NoRoute}.Failing(Failed, OriginTimeout), "cacheproxy; fwd=bypass; detail=origin-timeout"},
		{"one that waited in vain, and failed there", Status{Reason: WaitTimeout}.Failing(Failed, OriginError), "cacheproxy; fwd=miss; detail=origin-error"},
		{"a write that got no place", Status{Outcome: Write, Reason: MethodUnsafe}.Failing(Shed, QueueFull), "cacheproxy; detail=queue-full"},
		{"observed", Status{Outcome: WouldHit, Reason: NoReason, FwdStatus: 200}, "cacheproxy; fwd=bypass; fwd-status=200; detail=would_hit"},
		{"detail as a token", Status{Outcome: Hit, Detail: "a/b:c"}, "cacheproxy; hit; detail=a/b:c"},
		{"detail that is no token", Status{Outcome: Hit, Detail: "1 b"}, `cacheproxy; hit; detail="1 b"`},
		{"key (§2.7)", Status{Outcome: Hit, Key: `a"b\c` + "\r\né"}, `cacheproxy; hit; key="a\"b\\c%0D%0A%C3%A9"`},
	}
	for _, tt := range tests {
		if got := string(tt.s.Append(nil)); got != tt.want {
			t.Errorf("%s:\n got %s\nwant %s", tt.about, got, tt.want)
		}
	}
}

// Whatever there is to say, it is said in a valid structured field, hit and fwd exclude each other (RFC 9211 §2.1), and
// what only a forwarded request has is not said of another.
func TestStatusIsStructuredField(t *testing.T) {
	for _, outcome := range Outcomes() {
		for reason := range reasons {
			for _, text := range []string{"", "x", "1 \"\\\x00ü"} {
				s := Status{Outcome: outcome, Reason: reason, Detail: text, Key: text, FwdStatus: 200, Stored: true, Collapsed: true, HasTTL: true, TTL: -time.Hour}
				field := string(s.Append(nil))
				list, err := httpsfv.UnmarshalList([]string{field})
				if err != nil || len(list) != 1 {
					t.Fatalf("%s: %d members, %v", field, len(list), err)
				}
				item := list[0].(httpsfv.Item)
				if item.Value != httpsfv.Token("cacheproxy") {
					t.Fatalf("%s: %v", field, item.Value)
				}
				_, hit := item.Params.Get("hit")
				_, fwd := item.Params.Get("fwd")
				_, stored := item.Params.Get("stored")
				if hit && fwd || !fwd && stored {
					t.Fatalf("%s: hit %v, fwd %v, stored %v", field, hit, fwd, stored)
				}
			}
		}
	}
}

func TestStatusDoesNotAllocate(t *testing.T) {
	dst := make([]byte, 0, 256)
	s := Status{Outcome: Miss, Reason: URIMiss, FwdStatus: 200, Stored: true, HasTTL: true, TTL: time.Minute, Key: "a\"b", Detail: "x y"}
	if n := testing.AllocsPerRun(100, func() { s.Append(dst) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
