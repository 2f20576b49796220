package httpcache

import (
	"reflect"
	"testing"
)

// What is written down can be said again as it was said, and nothing else is said for it.
func TestNegotiation(t *testing.T) {
	said := header("Accept: text/html", "Accept: */*;q=0.1", "Accept-Language: de-CH, de;q=0.9", "Accept-Encoding:", "Origin: http://a", "X-Tenant: 7", "Via: 1.1 a")
	again := header("Accept: text/csv", "Accept-Charset: utf-8", "X-Tenant: 8")
	Negotiate(again, Negotiation(said))
	want := header("Accept: text/html", "Accept: */*;q=0.1", "Accept-Language: de-CH, de;q=0.9", "Accept-Encoding:", "Accept-Charset: utf-8", "Origin: http://a", "X-Tenant: 8")
	if !reflect.DeepEqual(again, want) {
		t.Errorf("got %v, want %v", again, want)
	}
	if got := Negotiation(header("X-Tenant: 7")); got != "" {
		t.Errorf("of nothing %q", got)
	}
	for _, text := range []string{"Cookie: a=1\n", "Accept", "\n", "Authorization: x\nX: y\n"} {
		h := header()
		if Negotiate(h, text); len(h) > 0 {
			t.Errorf("%q says %v", text, h)
		}
	}
}
