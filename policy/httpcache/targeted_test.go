package httpcache

import (
	"net/http"
	"testing"
)

func TestOfferSurrogate(t *testing.T) {
	h := header(`Surrogate-Capability: cdn="Surrogate/1.0"`)
	OfferSurrogate(h, []string{TargetCDN, TargetSurrogate})
	if got := h["Surrogate-Capability"]; len(got) != 2 || got[1] != `cacheproxy="Surrogate/1.0"` {
		t.Errorf("%q", got)
	}
	h = http.Header{}
	OfferSurrogate(h, []string{TargetCDN})
	if len(h) > 0 {
		t.Errorf("offered although it is not heeded: %v", h)
	}
}

// What Surrogate-Control says is read as it stands or not at all: the answer is never fresh for longer than some number in
// it says, and no-store for everybody always counts.
func FuzzTargeted(f *testing.F) {
	for _, seed := range []string{"max-age=5", "max-age=5+6;cacheproxy, no-store;x", `content="ESI/1.0"`, "max-age=99999999999", "max-age=5;no-store", `a="\",max-age=5`, "a=(1 2);b, max-age=?1"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, cdn, surrogate string) {
		for _, h := range []http.Header{{"Cdn-Cache-Control": {cdn}}, {"Surrogate-Control": {surrogate}}} {
			d, ok := ParseTargeted([]string{TargetCDN, TargetSurrogate}, h, true)
			if d.MaxAge < 0 || d.MaxAge > maxDelta || !ok && (d.HasMaxAge || d.NoStore) {
				t.Fatalf("%v: %+v, %v", h, d, ok)
			}
		}
	})
}
