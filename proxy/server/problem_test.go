package server

import (
	"net/http/httptest"
	"testing"
)

// RFC 9457 §3, and RFC 9110 §12.5.1 for who gets it.
func TestError(t *testing.T) {
	const text = "the upstream could not be reached\nrequest id: r-1\n"
	const json = `{"title":"Bad Gateway","status":502,"detail":"the upstream could not be reached","request_id":"r-1"}` + "\n"
	for _, c := range []struct {
		accept []string
		want   string
	}{
		{nil, text},
		{[]string{""}, text},
		{[]string{"*/*"}, text},
		{[]string{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}, text},
		{[]string{"application/json"}, json},
		{[]string{"application/problem+json"}, json},
		{[]string{"application/vnd.api+json;v=1"}, json},
		{[]string{"application/json, text/plain, */*"}, json},
		{[]string{"text/plain, application/json"}, text},
		{[]string{"text/html;q=0.5, application/json;q=0.9"}, json},
		{[]string{"application/json;q=0.5, text/html"}, text},
		{[]string{"text/html;q=0.5", "APPLICATION/JSON"}, json},
		{[]string{"application/json;q=0"}, text},
		{[]string{"application/json;q=x"}, text},
		{[]string{"application/*"}, text},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)
		r.Header["Accept"] = c.accept
		w.Header().Set("Cache-Control", "no-store")
		Error(w, r, 502, "the upstream could not be reached", "r-1")
		if got := w.Body.String(); got != c.want || w.Code != 502 || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %q", c.accept, w.Code, got)
		}
		if got := w.Header().Get("Content-Type") == "application/problem+json"; got != (c.want == json) {
			t.Errorf("%q: %v", c.accept, w.Header())
		}
	}
}
