package policy

import (
	"testing"

	"cacheproxy/policy/httpcache"
)

func TestAnswersCredentials(t *testing.T) {
	tests := []struct {
		about string
		lines string
		want  bool
	}{
		{"public (RFC 9111 §3.5)", "Cache-Control: max-age=60, public", true},
		{"s-maxage", "Cache-Control: s-maxage=60", true},
		{"must-revalidate", "Cache-Control: max-age=60, must-revalidate", true},
		{"neither", "Cache-Control: max-age=60", false},
		{"proxy-revalidate does not permit it", "Cache-Control: max-age=60, proxy-revalidate", false},
		{"a public that is none", "Cache-Control: public=1", false},
		{"s-maxage that is no number", "Cache-Control: s-maxage=x", false},
		{"one s-maxage of two that is no number", "Cache-Control: s-maxage=60, s-maxage=x", false},
		{"the other of two", "Cache-Control: s-maxage=x, s-maxage=60", false},
		{"must-revalidate with an argument that it does not take", "Cache-Control: max-age=60, must-revalidate=x", false},
		{"no field", "X: 1", false},
	}
	for _, tt := range tests {
		if got := (&Route{}).AnswersCredentials(header(tt.lines)); got != tt.want {
			t.Errorf("%s: %v", tt.about, got)
		}
	}
	if (&Route{Targets: []string{httpcache.TargetCDN}}).AnswersCredentials(header("Cache-Control: public", "CDN-Cache-Control: max-age=1")) {
		t.Error("Cache-Control is for others (RFC 9213 §2.2)")
	}
}

func TestCredentialsHeader(t *testing.T) {
	client := header("Authorization: x", "X-Any: 1", "X-Original-Url: /other", "If-None-Match: *", "Range: bytes=0-1")
	h, ok := (&Route{ForwardHeaders: ForwardAll}).CredentialsHeader(client, nil)
	if !ok || h.Get("Authorization") != "x" || h.Get("X-Any") != "1" || h.Get("X-Original-Url") != "/other" || len(h) != 3 {
		t.Errorf("%v, %v", h, ok)
	}
	if _, ok := (&Route{}).CredentialsHeader(client, nil); ok {
		t.Error("a fill that forwards a part of what a client with credentials sent")
	}
}
