package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/policy"
)

// What cannot be sent on for what it is itself is answered with 400 on every way, without the server of clients before this. It is a write
// that was not made, and its copies stay.
func TestRequestsThatCannotBeSentOn(t *testing.T) {
	var asked atomic.Int64
	r := newRig(t, func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("Cache-Control", "max-age=600")
		io.WriteString(w, "x")
	}, rigOptions{},
		routeFor(t, "aside", func(r *policy.Route) { r.TTL = time.Hour }, "GET /aside/", "POST /aside/"),
		routeFor(t, "through", func(r *policy.Route) { r.Policy, r.TTL, r.FenceHold = policy.WriteThrough, time.Hour, time.Minute }, "GET /through/", "POST /through/"),
		routeFor(t, "bypass", func(r *policy.Route) { r.Policy = policy.Bypass }, "/bypass/"),
		routeFor(t, "observe", func(r *policy.Route) { r.Mode = policy.Observe }, "/observe/"))
	r.do("GET", "/aside/1")
	r.do("GET", "/through/1")
	kept(t, r, 2)
	before := asked.Load()
	for _, path := range []string{"/aside/1", "/through/1", "/bypass/1", "/observe/1", "/unmatched"} {
		for name, spoil := range map[string]func(*http.Request){
			"method":  func(r *http.Request) { r.Method = "a b" },
			"trailer": func(r *http.Request) { r.Trailer = http.Header{"X y": nil} },
		} {
			req := httptest.NewRequestWithContext(t.Context(), "POST", r.front.URL+path, strings.NewReader("content"))
			req.RequestURI, req.ContentLength = path, -1
			spoil(req)
			w := httptest.NewRecorder()
			if r.proxy.ServeHTTP(w, req); w.Code != http.StatusBadRequest {
				t.Errorf("%s of a request for %s: %d %s", name, path, w.Code, w.Body)
			}
		}
	}
	if n := asked.Load() - before; n > 0 {
		t.Errorf("the origin was asked %d times", n)
	}
	for _, path := range []string{"/aside/1", "/through/1"} {
		if got := r.do("GET", path); !strings.Contains(got.header.Get("Cache-Status"), "hit") {
			t.Errorf("%s afterwards: %v", path, got.header)
		}
	}
}
