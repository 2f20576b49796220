package model

import (
	"testing"
	"time"
)

// The model itself, where the RFC gives the figures.
func TestModel(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	s := func(n int) *time.Duration { d := time.Duration(n) * time.Second; return &d }
	get := Request{Method: "GET", Path: "/plain"}
	for _, c := range []struct {
		about string
		r     Response
		after time.Duration
		want  Kind
	}{
		{"max-age (RFC 9111 §5.2.2.1)", Response{Control: &Control{MaxAge: s(10)}}, 9 * time.Second, Fresh},
		{"over (§4.2)", Response{Control: &Control{MaxAge: s(10)}}, 10 * time.Second, Origin},
		{"s-maxage first (§4.2.1)", Response{Control: &Control{MaxAge: s(10), SMaxAge: s(20)}}, 15 * time.Second, Fresh},
		{"Age (§4.2.3)", Response{Age: 5 * time.Second, Control: &Control{MaxAge: s(10)}}, 5 * time.Second, Origin},
		{"no-cache (§5.2.2.4)", Response{Control: &Control{MaxAge: s(10), NoCache: true}}, time.Second, Origin},
		{"stale-while-revalidate (RFC 5861 §3)", Response{Control: &Control{MaxAge: s(1), StaleWhileRevalidate: s(10)}}, 5 * time.Second, Stale},
		{"not with s-maxage (§5.2.2.10)", Response{Control: &Control{SMaxAge: s(1), StaleWhileRevalidate: s(10)}}, 5 * time.Second, Origin},
	} {
		var cache Cache
		c.r.Status, c.r.Date = 200, start
		cache.Learn(Exchange{Request: get, At: start, Response: c.r})
		if got := cache.Answer(get, start.Add(c.after)); got.Kind != c.want {
			t.Errorf("%s: %+v, want %s", c.about, got, c.want)
		}
		cache.Learn(Exchange{Request: Request{Method: "PUT", Path: "/plain"}, At: start, Response: Response{Status: 204}})
		if got := cache.Answer(get, start); got.Kind != Origin {
			t.Errorf("%s: after a write (§4.4): %+v", c.about, got)
		}
	}
}
