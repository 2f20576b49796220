package httpcache

import (
	"testing"
	"time"
)

func TestRequestDirectives(t *testing.T) {
	const s = time.Second
	life := func(fresh, swr, sie time.Duration) Lifetime {
		return Lifetime{Received: epoch, Fresh: fresh, StaleWhileRevalidate: swr, StaleIfError: sie, Keep: time.Hour}
	}
	forbidden := life(10*s, 0, 0)
	forbidden.MustRevalidate = true
	unchecked := life(10*s, 0, 0)
	unchecked.NoCache = true
	tests := []struct {
		about   string
		request string
		l       Lifetime
		age     time.Duration
		want    Freshness
	}{
		{"nothing", "", life(10*s, 0, 0), 5 * s, Fresh},
		{"what caches do not know", "Cache-Control: x", life(10*s, 0, 0), 5 * s, Fresh},
		{"no-cache (RFC 9111 §5.2.1.4)", "Cache-Control: no-cache", life(10*s, 0, 0), 5 * s, NeedsValidation},
		{"no-cache of a stale copy", "Cache-Control: no-cache", life(10*s, 20*s, 20*s), 15 * s, NeedsValidation},
		{"Pragma (§5.4)", "Pragma: no-cache", life(10*s, 0, 0), 5 * s, NeedsValidation},
		{"malformed: the freshest answer", `Cache-Control: max-age="5`, life(10*s, 0, 0), 5 * s, NeedsValidation},
		{"malformed: what it permits does not count", "Cache-Control: max-stale, stale-if-error=60, x y", life(10*s, 0, 0), 15 * s, NeedsValidation},
		{"malformed: what is hidden counts", "Cache-Control: max-stale=60; no-cache", life(10*s, 0, 0), 5 * s, NeedsValidation},
		{"malformed Pragma", "Pragma: x; no-cache", life(10*s, 0, 0), 5 * s, NeedsValidation},
		{"max-age, young enough (§5.2.1.1)", "Cache-Control: max-age=5", life(10*s, 0, 0), 5 * s, Fresh},
		{"max-age, too old", "Cache-Control: max-age=5", life(10*s, 0, 0), 6 * s, NeedsValidation},
		{"max-age, stale: not wished without max-stale", "Cache-Control: max-age=60", life(10*s, 20*s, 0), 15 * s, NeedsValidation},
		{"max-age that is no number", "Cache-Control: max-age=x", life(10*s, 0, 0), s, NeedsValidation},
		{"min-fresh, fresh enough (§5.2.1.3)", "Cache-Control: min-fresh=5", life(10*s, 0, 0), 5 * s, Fresh},
		{"min-fresh, not fresh enough", "Cache-Control: min-fresh=6", life(10*s, 0, 0), 5 * s, NeedsValidation},
		{"min-fresh, the larger of two", "Cache-Control: min-fresh=6, min-fresh=1", life(10*s, 0, 0), 5 * s, NeedsValidation},
		{"min-fresh and max-stale", "Cache-Control: min-fresh=1, max-stale", life(10*s, 0, 0), 15 * s, NeedsValidation},
		{"max-stale, stale enough (§5.2.1.2)", "Cache-Control: max-stale=5", life(10*s, 0, 0), 15 * s, StaleServable},
		{"max-stale, too stale", "Cache-Control: max-stale=5", life(10*s, 0, 0), 16 * s, NeedsValidation},
		{"max-stale, too stale for it though not for the origin", "Cache-Control: max-stale=5", life(10*s, 20*s, 0), 16 * s, NeedsValidation},
		{"max-stale, any", "Cache-Control: max-stale", life(10*s, 0, 0), 30 * time.Minute, StaleServable},
		{"max-stale that is no number", "Cache-Control: max-stale=x", life(10*s, 0, 0), 11 * s, NeedsValidation},
		{"max-stale of a fresh copy", "Cache-Control: max-stale=5", life(10*s, 0, 0), 5 * s, Fresh},
		{"max-stale and max-age, too old", "Cache-Control: max-stale, max-age=5", life(10*s, 0, 0), 15 * s, NeedsValidation},
		{"max-stale does not lift must-revalidate (§5.2.2.2)", "Cache-Control: max-stale", forbidden, 15 * s, NeedsValidation},
		{"max-stale does not lift no-cache (§5.2.2.4)", "Cache-Control: max-stale", unchecked, 5 * s, NeedsValidation},
		{"stale-if-error, where the origin does not allow it (RFC 5861 §4)", "Cache-Control: stale-if-error=5", life(10*s, 0, 0), 15 * s, StaleOnError},
		{"stale-if-error, too stale", "Cache-Control: stale-if-error=5", life(10*s, 0, 0), 16 * s, NeedsValidation},
		{"stale-if-error, and the origin allows more", "Cache-Control: stale-if-error=5", life(10*s, 20*s, 0), 16 * s, StaleServable},
		{"stale-if-error of a fresh copy", "Cache-Control: stale-if-error=5", life(10*s, 0, 0), 5 * s, Fresh},
		{"stale-if-error and max-age", "Cache-Control: stale-if-error=5, max-age=1", life(10*s, 0, 0), 5 * s, StaleOnError},
		{"stale-if-error and no-cache", "Cache-Control: stale-if-error=5, no-cache", life(10*s, 0, 0), 11 * s, NeedsValidation},
		{"stale-if-error does not lift must-revalidate (RFC 9111 §5.2.2.2)", "Cache-Control: stale-if-error=60", forbidden, 15 * s, NeedsValidation},
		{"nor no-cache (§5.2.2.4)", "Cache-Control: stale-if-error=60", unchecked, 5 * s, NeedsValidation},
		{"stale-if-error that is no number", "Cache-Control: stale-if-error=x", life(10*s, 0, 0), 11 * s, NeedsValidation},
		{"nothing wakes the dead", "Cache-Control: max-stale, stale-if-error=9999", life(10*s, 0, 0), time.Hour, Dead},
	}
	for _, tt := range tests {
		w := ParseRequestDirectives(header(tt.request))
		now := epoch.Add(tt.age)
		if got := w.Use(tt.l, tt.l.State(now), now); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.about, got, tt.want)
		}
	}
	for _, field := range []string{"no-store", "max-age=0; no-store", "no-store max-age=0"} {
		if w := ParseRequestDirectives(header("Cache-Control: " + field)); !w.NoStore {
			t.Errorf("%s (§5.2.1.5)", field)
		}
	}
	if w := ParseRequestDirectives(header("Cache-Control: max-age=9", "Pragma: no-cache")); w.NoCache {
		t.Error("Pragma beside Cache-Control (§5.4)")
	}
}

// The directives of a request never make a copy good for more than the origin allows together with max-stale or stale-if-error.
func FuzzRequestDirectives(f *testing.F) {
	f.Add("no-cache", int64(10), int64(5), true, false)
	f.Add("max-stale=5, max-age=3", int64(10), int64(12), false, true)
	f.Fuzz(func(t *testing.T, field string, fresh, age int64, must, noCache bool) {
		w := ParseRequestDirectives(header("Cache-Control: " + field))
		l := Lifetime{
			Received: epoch, Fresh: time.Duration(uint32(fresh)) * time.Second, Keep: time.Hour, MustRevalidate: must, NoCache: noCache,
		}
		now := epoch.Add(time.Duration(uint32(age)) * time.Second)
		state := l.State(now)
		got := w.Use(l, state, now)
		wished := w.HasMaxStale || w.StaleIfError > 0 && got == StaleOnError
		if got > state && (!wished || must || noCache || state == Dead || got == Fresh) {
			t.Fatalf("%q makes %v of %v (%+v)", field, got, state, l)
		}
	})
}
