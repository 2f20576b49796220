package policy

import (
	"testing"
	"time"

	"cacheproxy/policy/httpcache"
)

func TestTargeted(t *testing.T) {
	both, this := []string{httpcache.TargetCDN, httpcache.TargetSurrogate}, []string{httpcache.TargetThis, httpcache.TargetCDN}
	tests := []struct {
		about   string
		targets []string
		lines   []string
		want    Reason        // NoReason: stored
		fresh   time.Duration // where it is stored
	}{
		{"none of them", both, []string{"Cache-Control: max-age=60"}, NoReason, 60 * time.Second},
		{"CDN-Cache-Control instead of Cache-Control (RFC 9213 §2.2)", both, []string{"Cache-Control: max-age=60", "CDN-Cache-Control: max-age=5"}, NoReason, 5 * time.Second},
		{"instead of no-store", both, []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=5"}, NoReason, 5 * time.Second},
		{"instead of Expires", both, []string{"CDN-Cache-Control: max-age=5", "Expires: 0"}, NoReason, 5 * time.Second},
		{"no lifetime in it: Expires does not count", both, []string{"CDN-Cache-Control: public", "Expires: " + httpDate(time.Hour)}, noFreshness, 0},
		{"not instead of anything where it is not heeded", []string{httpcache.TargetSurrogate}, []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=5"}, noStore, 0},
		{"no-store", both, []string{"Cache-Control: max-age=60", "CDN-Cache-Control: no-store"}, noStore, 0},
		{"private", both, []string{"Cache-Control: max-age=60", "CDN-Cache-Control: private"}, private, 0},
		{"private with fields", both, []string{"Cache-Control: max-age=60", `CDN-Cache-Control: max-age=5, private="x"`}, private, 0},
		{"no-cache", both, []string{"Cache-Control: max-age=60", "CDN-Cache-Control: no-cache"}, noFreshness, 0},
		{"a directive taken back", both, []string{"CDN-Cache-Control: no-store=?0, max-age=5"}, NoReason, 5 * time.Second},
		{"parameters say nothing", both, []string{"CDN-Cache-Control: max-age=5;x=1"}, NoReason, 5 * time.Second},
		{"the last of two counts (RFC 9651 §4.2.2)", both, []string{"CDN-Cache-Control: max-age=60, max-age=5"}, NoReason, 5 * time.Second},
		{"two lines are one dictionary", both, []string{"CDN-Cache-Control: max-age=5", "CDN-Cache-Control: private"}, private, 0},
		{"malformed is ignored whole (RFC 9213 §2.1)", both, []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=5, &&&"}, noStore, 0},
		{"a number as a string is ignored whole", both, []string{"Cache-Control: no-store", `CDN-Cache-Control: max-age="5"`}, noStore, 0},
		{"a negative number", both, []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=-5"}, noStore, 0},
		{"a number that is a list", both, []string{"Cache-Control: no-store", "CDN-Cache-Control: max-age=(5)"}, noStore, 0},
		{"upper case is no key (RFC 9651 §3.2)", both, []string{"Cache-Control: no-store", "CDN-Cache-Control: MAX-AGE=5"}, noStore, 0},
		{"empty", both, []string{"Cache-Control: no-store", "CDN-Cache-Control: "}, noStore, 0},

		{"the first of the list (RFC 9213 §2)", this, []string{"CDN-Cache-Control: max-age=60", "CacheProxy-Cache-Control: max-age=5"}, NoReason, 5 * time.Second},
		{"the next where the first is malformed", this, []string{"CDN-Cache-Control: max-age=60", "CacheProxy-Cache-Control: &"}, NoReason, 60 * time.Second},
		{"the next where the first is empty", this, []string{"CDN-Cache-Control: max-age=60", "CacheProxy-Cache-Control: "}, NoReason, 60 * time.Second},
		{"the first forbids", this, []string{"CDN-Cache-Control: max-age=60", "CacheProxy-Cache-Control: no-store"}, noStore, 0},

		{"Surrogate-Control instead of Cache-Control (Edge Architecture §2)", both, []string{"Cache-Control: no-store", "Surrogate-Control: max-age=5"}, NoReason, 5 * time.Second},
		{"after CDN-Cache-Control", both, []string{"CDN-Cache-Control: max-age=5", "Surrogate-Control: max-age=60"}, NoReason, 5 * time.Second},
		{"for this cache", both, []string{"Surrogate-Control: max-age=5;cacheproxy"}, NoReason, 5 * time.Second},
		{"for another", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: max-age=5;other, no-store;other"}, NoReason, 60 * time.Second},
		{"for several", both, []string{"Surrogate-Control: no-store;other; cacheproxy"}, noStore, 0},
		{"shorter for this cache", both, []string{"Surrogate-Control: max-age=60, max-age=5;cacheproxy"}, NoReason, 5 * time.Second},
		{"names in any case", both, []string{"Surrogate-Control: MaX-aGe=5"}, NoReason, 5 * time.Second},
		{"with a stale extension", both, []string{"Surrogate-Control: max-age=5+60"}, NoReason, 5 * time.Second},
		{"an extension that is none", both, []string{"Surrogate-Control: max-age=5+x"}, noFreshness, 0},
		{"no-store", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: no-store"}, noStore, 0},
		{"nothing about storing", both, []string{"Cache-Control: max-age=60", `Surrogate-Control: content="ESI/1.0"`}, NoReason, 60 * time.Second},
		{"a number that is none is zero", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: max-age=x"}, noFreshness, 0},
		{"no number", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: max-age"}, noFreshness, 0},
		{"space before =", both, []string{"Cache-Control: max-age=1", "Surrogate-Control: max-age =100"}, cacheControlMalformed, 0},
		{"a restriction behind a space", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: max-age=60 no-store"}, cacheControlMalformed, 0},
		{"a restriction where a surrogate is named", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: max-age=60;no-store"}, cacheControlMalformed, 0},
		{"a quote that never ends", both, []string{"Cache-Control: max-age=60", `Surrogate-Control: content="a, no-store`}, cacheControlMalformed, 0},
		{"a quoted-string with a comma", both, []string{`Surrogate-Control: content="a, \"no store, b", max-age=5`}, NoReason, 5 * time.Second},
		{"what cannot be read for another", both, []string{"Surrogate-Control: max-age=5, x y;other"}, NoReason, 5 * time.Second},
		{"Cache-Control cannot be read, and does not count", both, []string{"Cache-Control: x; private", "CDN-Cache-Control: max-age=5"}, NoReason, 5 * time.Second},
		{"neither can be read", both, []string{"Cache-Control: max-age=60; private", "CDN-Cache-Control: max-age=5 private"}, cacheControlMalformed, 0},
		{"a semicolon, and nobody behind it", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: no-store;"}, cacheControlMalformed, 0},
		{"the same after a lifetime", both, []string{"Surrogate-Control: max-age=60, no-store;"}, cacheControlMalformed, 0},
		{"a restriction between semicolons", both, []string{"Surrogate-Control: max-age=60;no-store;"}, cacheControlMalformed, 0},
		{"a lifetime behind a restriction's semicolon", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: no-store; max-age=60"}, cacheControlMalformed, 0},
		{"a space before the semicolon", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: no-store ;"}, cacheControlMalformed, 0},
		{"a lifetime for nobody", both, []string{"Cache-Control: max-age=600", "Surrogate-Control: max-age=60;"}, cacheControlMalformed, 0},
		{"a restriction behind this cache's name", both, []string{"Surrogate-Control: max-age=60;cacheproxy;no-store"}, cacheControlMalformed, 0},
		{"a directive of the grammar behind a semicolon", both, []string{"Surrogate-Control: max-age=60;content"}, cacheControlMalformed, 0},
		{"what is no name behind a semicolon", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: no-store;a=b"}, cacheControlMalformed, 0},
		{"no name between two semicolons", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: no-store;;other"}, cacheControlMalformed, 0},
		{"a restriction in capitals", both, []string{"Surrogate-Control: max-age=60;NO-STORE"}, cacheControlMalformed, 0},
		{"private, which is of Cache-Control", both, []string{"Surrogate-Control: max-age=60, private"}, noStore, 0},
		{"no-cache, which is of Cache-Control", both, []string{"Cache-Control: max-age=60", "Surrogate-Control: no-cache"}, noStore, 0},
		{"a space before this cache's name", both, []string{"Surrogate-Control: max-age=5 ; cacheproxy"}, NoReason, 5 * time.Second},
		{"a semicolon in a quoted-string", both, []string{`Surrogate-Control: content="a;b", max-age=5`}, NoReason, 5 * time.Second},
		{"no-store for another", both, []string{"Surrogate-Control: max-age=5, no-store;x"}, NoReason, 5 * time.Second},
		{"not heeded", []string{httpcache.TargetCDN}, []string{"Cache-Control: no-store", "Surrogate-Control: max-age=5"}, noStore, 0},

		{"cookies are judged as ever", both, []string{"CDN-Cache-Control: max-age=5", "Set-Cookie: a=1"}, setCookie, 0},
	}
	for _, tt := range tests {
		v := (&Route{Targets: tt.targets}).Judge(fetched(tt.lines...))
		if v.Reason != tt.want || v.Lifetime.Fresh != tt.fresh {
			t.Errorf("%s: %q, fresh for %v; want %q, %v", tt.about, v.Reason, v.Lifetime.Fresh, tt.want, tt.fresh)
		}
	}
	f := fetched("Surrogate-Control: max-age=60")
	f.Authorized = true
	if v := (&Route{Targets: both}).Judge(f); v.Reason != authorizedShare {
		t.Errorf("an answer to credentials: %q", v.Reason)
	}
	lenient := &Route{Targets: both, Override: OverrideMalformed}
	if v := lenient.Judge(fetched("Surrogate-Control: content=ESI/1.0, max-age=5")); v.Reason != NoReason || v.Lifetime.Fresh != 5*time.Second {
		t.Errorf("overridden: %q, fresh for %v", v.Reason, v.Lifetime.Fresh)
	}
	if v := lenient.Judge(fetched("Surrogate-Control: max-age=5 no-store")); v.Reason != noStore {
		t.Errorf("overridden, what is hidden forbids all the same: %q", v.Reason)
	}
	f.Header = header("CDN-Cache-Control: max-age=60, public", "Cache-Control: private")
	if v := (&Route{Targets: both}).Judge(f); v.Reason != NoReason {
		t.Errorf("an answer to credentials that is public for this cache: %q", v.Reason)
	}
}
