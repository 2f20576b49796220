package instance

import "testing"

func TestUserAgent(t *testing.T) {
	for build, want := range map[string]string{
		"v1.2.3": "cacheproxy/1.2.3", "(devel)": "cacheproxy/devel", "unknown": "cacheproxy/unknown", "": "cacheproxy",
		"v0.0.0-20261126214453-0ee2da044f5c+dirty": "cacheproxy/0.0.0-20261126214453-0ee2da044f5c+dirty",
	} {
		if got := userAgent(build); got != want {
			t.Errorf("%q: %s, want %s (RFC 9110 §10.1.5)", build, got, want)
		}
	}
}
