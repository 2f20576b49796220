package instance

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"cacheproxy/config"
	"cacheproxy/observe"
	"cacheproxy/proxy/upstream"
)

// Errors of an API have lines that say what was asked, a few a minute, and the number of the others is told also when they have ended.
func TestErrorsWithoutALineAreCounted(t *testing.T) {
	var log bytes.Buffer
	u := &upstreams{log: slog.New(slog.NewTextHandler(&log, nil))}
	f, now := u.failingOf("shop"), time.Unix(1e9, 0)
	asked := httptest.NewRequest("PUT", "http://10.0.0.1/", nil)
	asked.URL.Opaque, asked.URL.RawQuery = "/products/17", "token=secret"
	res := &http.Response{StatusCode: 500, Request: asked}
	for range 12 {
		u.failingOf("shop").add(res, "product", now)
	}
	lines := func(text string) int { return strings.Count(log.String(), text) }
	if n := lines("upstream=shop"); n != 5 || lines("route=product method=PUT path=/products/17 ") != 5 || lines("secret") > 0 {
		t.Errorf("%d lines, want five with route, method and path:\n%s", n, log.String())
	}
	const told = "upstream=shop more_since_last=7"
	if f.rest(now.Add(50 * time.Second)); lines(told) != 0 {
		t.Errorf("it is told within the minute in which lines may come that tell it:\n%s", log.String())
	}
	f.rest(now.Add(time.Minute))
	f.rest(now.Add(2 * time.Minute))
	if n := lines(told); n != 1 {
		t.Errorf("the seven others are told %d times, want once:\n%s", n, log.String())
	}
}

// The errors of an upstream that is removed are told as well, and then nothing is kept of it.
func TestErrorsOfARemovedUpstream(t *testing.T) {
	var log bytes.Buffer
	u := &upstreams{log: slog.New(slog.NewTextHandler(&log, nil)), metrics: observe.NewMetrics("")}
	options := upstream.Options{Name: "shop", URL: &url.URL{Scheme: "http", Host: "127.0.0.1:1"}}
	u.replace(u.next(&config.Snapshot{Upstreams: []upstream.Options{options}}, nil))
	res := &http.Response{StatusCode: 500, Request: httptest.NewRequest("GET", "/", nil)}
	f, now := u.failures["shop"], time.Unix(1e9, 0)
	for range 7 {
		f.add(res, "product", now)
	}
	u.replace(nil)
	f.add(res, "product", now) // of a request that was on its way
	if u.look(now.Add(59 * time.Second)); strings.Contains(log.String(), "more_since_last=3") || u.failures["shop"] == nil {
		t.Errorf("told or dropped within the minute:\n%s", log.String())
	}
	u.look(now.Add(time.Minute))
	if !strings.Contains(log.String(), "upstream=shop more_since_last=3") || len(u.failures) > 0 {
		t.Errorf("%d kept, log:\n%s", len(u.failures), log.String())
	}
	u.failingOf("shop").removed = true
	if u.next(&config.Snapshot{Upstreams: []upstream.Options{options}}, nil); u.failures["shop"].removed {
		t.Error("an upstream that comes back is dropped before it is in force")
	}
}
