package policy

import (
	"net/http"
	"testing"
	"time"

	"cacheproxy/policy/httpcache"
)

func TestJudgeFresh(t *testing.T) {
	const m = time.Minute
	lm := "Last-Modified: " + httpDate(-100*m)
	tests := []struct {
		about string
		route Route
		lines []string
		fresh time.Duration // after the initial age
		age   time.Duration
	}{
		{"s-maxage before max-age before Expires (RFC 9111 §4.2.1)", Route{TTL: 9 * m},
			[]string{"Cache-Control: max-age=120, s-maxage=60", "Expires: " + httpDate(3*m)}, m, 0},
		{"max-age before Expires (§5.3)", Route{}, []string{"Cache-Control: max-age=120", "Expires: " + httpDate(m)}, 2 * m, 0},
		{"Expires less Date (§4.2.1)", Route{}, []string{"Expires: " + httpDate(3*m), "Date: " + httpDate(m)}, 2 * m, 0},
		{"Expires without Date", Route{}, []string{"Expires: " + httpDate(3*m)}, 3 * m, 0},
		{"Expires: 0 is stale (§5.3)", Route{TTL: m}, []string{"Expires: 0", lm}, 0, 0},
		{"Expires in the past", Route{TTL: m}, []string{"Expires: " + httpDate(-m), lm}, 0, 0},
		{"two different Expires are stale (§4.2.1)", Route{TTL: m}, []string{"Expires: " + httpDate(m), "Expires: " + httpDate(2*m), lm}, 0, 0},
		{"Expires in another zone is invalid (RFC 9110 §5.6.7)", Route{TTL: m}, []string{"Expires: Sunday, 01-Mar-26 13:00:00 EST", lm}, 0, 0},
		{"Expires in the obsolete form (RFC 9110 §5.6.7)", Route{}, []string{"Expires: Sunday, 01-Mar-26 12:01:00 GMT"}, m, 0},
		{"Expires in the asctime form", Route{}, []string{"Expires: Sun Mar  1 12:01:00 2026"}, m, 0},
		{"invalid max-age is stale although Expires is fresh", Route{TTL: m}, []string{"Cache-Control: max-age=x", "Expires: " + httpDate(m), lm}, 0, 0},
		{"no-cache is never fresh", Route{}, []string{"Cache-Control: max-age=60, no-cache", lm}, 0, 0},
		{"no-cache, overridden", Route{Override: OverrideNoCache}, []string{"Cache-Control: max-age=60, no-cache"}, m, 0},
		{"Pragma: no-cache alone: nothing is guessed", Route{}, []string{"Pragma: no-cache", lm}, 0, 0},
		{"Pragma: no-cache alone, with more in it", Route{}, []string{"Pragma: x; no-cache", lm}, 0, 0},
		{"Pragma means nothing in a response (§5.4)", Route{TTL: m}, []string{"Pragma: no-cache", lm}, m, 0},
		{"Pragma: no-cache beside Cache-Control (§5.4)", Route{}, []string{"Pragma: no-cache", "Cache-Control: max-age=60"}, m, 0},
		{"Pragma: no-cache, overridden", Route{Override: OverrideNoCache}, []string{"Pragma: no-cache", "Expires: " + httpDate(m)}, m, 0},

		{"ttl where the origin names none", Route{TTL: m}, []string{lm}, m, 0},
		{"ttl does not beat max-age", Route{TTL: m}, []string{"Cache-Control: max-age=120"}, 2 * m, 0},
		{"max-age overridden", Route{TTL: m, Override: OverrideMaxAge}, []string{"Cache-Control: max-age=120"}, m, 0},
		{"max-age overridden, s-maxage not", Route{TTL: m, Override: OverrideMaxAge}, []string{"Cache-Control: max-age=120, s-maxage=180"}, 3 * m, 0},
		{"s-maxage overridden, max-age not", Route{TTL: m, Override: OverrideSMaxAge}, []string{"Cache-Control: max-age=120, s-maxage=180"}, 2 * m, 0},
		{"Expires overridden", Route{TTL: m, Override: OverrideExpires}, []string{"Expires: " + httpDate(3*m)}, m, 0},
		{"jitter takes off the ttl (half of 20 %)", Route{TTL: 100 * m, Jitter: 0.2}, nil, 90 * m, 0},
		{"jitter takes off whole milliseconds", Route{TTL: time.Second, Jitter: 0.3333}, nil, 834 * time.Millisecond, 0},
		{"jitter leaves what the origin said", Route{TTL: m, Jitter: 0.2}, []string{"Cache-Control: max-age=120"}, 2 * m, 0},
		{"ttl is not eaten by a clock that is behind", Route{TTL: m}, []string{"Date: " + httpDate(-time.Hour)}, m, 0},
		{"ttl counts the time in caches upstream", Route{TTL: m}, []string{"Age: 10"}, m, 10 * time.Second},

		{"heuristic: a tenth (§4.2.2)", Route{}, []string{lm}, 10 * m, 0},
		{"heuristic: from Date", Route{}, []string{"Date: " + httpDate(-50*m), lm}, 5 * m, 50 * m},
		{"heuristic: a day at most (§4.2.2)", Route{}, []string{"Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT"}, 24 * time.Hour, 0},

		{"Age (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: 30"}, m, 30 * time.Second},
		{"Age: the first member of a list counts (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: 30, 0"}, m, 30 * time.Second},
		{"Age: of several lines, too (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: 0", "Age: 70"}, m, 0},
		{"Age: where the first is no number, the field is ignored (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: abc", "Age: 20"}, m, 0},
		{"Age: nor is it looked for in the same line (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: -1, 20"}, m, 0},
		{"Age: the first may make it stale (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: 70, 0", lm}, m, 70 * time.Second},
		{"Age: of an empty list there is none", Route{}, []string{"Cache-Control: max-age=60", "Age: ,"}, m, 0},
		{"Age: what is no number is ignored (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: 30s"}, m, 0},
		{"Age: and so is the list that it begins (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: soon, 30"}, m, 0},
		{"Age: negative is ignored (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: -30"}, m, 0},
		{"Age: a fraction is ignored (§5.1)", Route{}, []string{"Cache-Control: max-age=60", "Age: 30.5"}, m, 0},
		{"Age: quoted is ignored (§5.1)", Route{}, []string{"Cache-Control: max-age=60", `Age: "30"`}, m, 0},
		{"Age: what is ignored leaves heuristics", Route{}, []string{"Age: ", lm}, 10 * m, 0},
		{"Age: not a number leaves the route's own lifetime", Route{TTL: m}, []string{"Age: soon"}, m, 0},
		{"Age: enormous is cut (§1.2.2)", Route{}, []string{"Cache-Control: max-age=60", "Age: 99999999999999999999", lm}, m, maxAge},
		{"apparent_age (§4.2.3)", Route{}, []string{"Cache-Control: max-age=60", "Date: " + httpDate(-20*time.Second)}, m, 20 * time.Second},
		{"the larger of apparent_age and Age (§4.2.3)", Route{}, []string{"Cache-Control: max-age=60", "Date: " + httpDate(-20*time.Second), "Age: 30"}, m, 30 * time.Second},
		{"Date in the future (§4.2.3)", Route{}, []string{"Cache-Control: max-age=60", "Date: " + httpDate(time.Hour)}, m, 0},
		{"Date that is none", Route{}, []string{"Cache-Control: max-age=60", "Date: yesterday"}, m, 0},
	}
	for _, tt := range tests {
		f := fetched(tt.lines...)
		f.Jitter = 0.5
		v := tt.route.Judge(f)
		// Stale ones are stored only for their validator.
		if !v.Store || v.Lifetime.Fresh != tt.fresh || v.Lifetime.InitialAge != tt.age {
			t.Errorf("%s: store %v (%s), fresh %v, initial age %v; want %v, %v", tt.about, v.Store, v.Reason,
				v.Lifetime.Fresh, v.Lifetime.InitialAge, tt.fresh, tt.age)
		}
	}
}

func TestJudgeResponseDelay(t *testing.T) {
	f := fetched("Cache-Control: max-age=60", "Age: 10")
	f.Requested = epoch.Add(-5 * time.Second)
	if got := (&Route{}).Judge(f).Lifetime.InitialAge; got != 15*time.Second {
		t.Errorf("initial age = %v, want Age plus the delay (RFC 9111 §4.2.3)", got)
	}
	f.Requested = time.Time{}
	if got := (&Route{}).Judge(f).Lifetime.InitialAge; got != 10*time.Second {
		t.Errorf("initial age = %v without the time of the request", got)
	}
	f.Requested = epoch.Add(time.Hour)
	if got := (&Route{}).Judge(f).Lifetime.InitialAge; got != 10*time.Second {
		t.Errorf("initial age = %v with a clock set back between", got)
	}
}

func TestJudgeDate(t *testing.T) {
	l := (&Route{TTL: time.Minute}).Judge(fetched("Date: " + httpDate(-time.Minute))).Lifetime
	if !l.Date.Equal(epoch.Add(-time.Minute)) || !l.Received.Equal(epoch) {
		t.Errorf("Date %v, Received %v", l.Date, l.Received)
	}
	if l = (&Route{TTL: time.Minute}).Judge(fetched()).Lifetime; !l.Date.Equal(epoch) {
		t.Errorf("Date %v without Date, want when it was received (RFC 9110 §6.6.1)", l.Date)
	}
}

func TestJudgeStaleWindows(t *testing.T) {
	const s = time.Second
	route := Route{TTL: 60 * s, NegativeTTL: 60 * s, StaleWhileRevalidate: 10 * s, StaleIfError: 20 * s}
	tests := []struct {
		about    string
		override Override
		status   int
		cc       string
		swr, sie time.Duration
	}{
		{"the route's", 0, 200, "", 10 * s, 20 * s},
		{"the origin's go first (RFC 5861)", 0, 200, "max-age=60, stale-while-revalidate=1, stale-if-error=2", s, 2 * s},
		{"the origin can forbid one", 0, 200, "max-age=60, stale-while-revalidate=0", 0, 20 * s},
		{"must-revalidate (RFC 9111 §5.2.2.2)", 0, 200, "max-age=60, must-revalidate, stale-if-error=2", 0, 0},
		{"proxy-revalidate (§5.2.2.8)", 0, 200, "max-age=60, proxy-revalidate", 0, 0},
		{"s-maxage (§5.2.2.10)", 0, 200, "s-maxage=60, stale-while-revalidate=1", 0, 0},
		{"must-revalidate, overridden", OverrideMustRevalidate, 200, "max-age=60, must-revalidate", 10 * s, 20 * s},
		{"proxy-revalidate, overridden", OverrideMustRevalidate, 200, "max-age=60, proxy-revalidate", 10 * s, 20 * s},
		{"s-maxage, overridden as must-revalidate", OverrideMustRevalidate, 200, "s-maxage=60", 10 * s, 20 * s},
		{"s-maxage, itself overridden", OverrideSMaxAge, 200, "s-maxage=60", 10 * s, 20 * s},
		{"not for a 404", 0, 404, "", 0, 0},
		{"not for an error", 0, 503, "max-age=60", 0, 0},
		{"an error's own", 0, 503, "max-age=60, stale-if-error=2", 0, 2 * s},
	}
	for _, tt := range tests {
		r := route
		r.Override = tt.override
		f := fetched("Cache-Control: " + tt.cc)
		f.Status = tt.status
		v := r.Judge(f)
		l := v.Lifetime
		if !v.Store || l.StaleWhileRevalidate != tt.swr || l.StaleIfError != tt.sie {
			t.Errorf("%s: store %v (%s), windows %v, %v; want %v, %v", tt.about, v.Store, v.Reason,
				l.StaleWhileRevalidate, l.StaleIfError, tt.swr, tt.sie)
		}
	}
	all := Route{ForwardHeaders: ForwardAll, StaleIfError: 20 * s}
	for cc, sie := range map[string]time.Duration{"": 0, "public": 0, "max-age=60": 20 * s, "stale-if-error=2": 2 * s, "max-age=60, stale-if-error=2": 2 * s} {
		// What nobody gave a lifetime may be the answer of the one who asked, by fields that no key holds.
		if v := all.Judge(fetched("Cache-Control: "+cc, `ETag: "a"`)); !v.Store || v.Lifetime.StaleIfError != sie {
			t.Errorf("all fields forwarded, %q: store %v, window %v; want %v", cc, v.Store, v.Lifetime.StaleIfError, sie)
		}
	}
	l := route.Judge(fetched("Cache-Control: no-cache", `ETag: "a"`)).Lifetime
	if l.StaleIfError != 0 || l.State(epoch) != httpcache.NeedsValidation || l.Keep != 10*time.Minute {
		t.Errorf("no-cache: %+v", l)
	}
}

// maxAge is the largest number of seconds that is told apart (RFC 9111 §1.2.2).
const maxAge = (1 << 31) * time.Second

// Whatever the fields say that a lifetime is made of, ages and lifetimes stay in their bounds, and a copy never becomes
// good for more as time passes.
func FuzzLifetime(f *testing.F) {
	date := epoch.Format(http.TimeFormat)
	f.Add(date, date, date, "0", "max-age=5", int64(3))
	f.Add("", "0", "Thu, 01 Jan 1970 00:00:00 GMT", "99999999999", "s-maxage=9, stale-while-revalidate=99999999999", int64(1<<40))
	f.Add("Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "x", "-1", "stale-if-error=3, must-revalidate", int64(-5))
	f.Fuzz(func(t *testing.T, date, expires, modified, age, control string, later int64) {
		h := http.Header{"Date": {date}, "Expires": {expires}, "Last-Modified": {modified}, "Age": {age}, "Cache-Control": {control}}
		v := (&Route{}).Judge(Fetch{Method: "GET", Status: 200, Header: h, Requested: epoch, Received: epoch})
		l := v.Lifetime
		if l.InitialAge < 0 || l.InitialAge > maxAge || l.Fresh < 0 || l.Fresh > maxAge || l.Keep < 0 || l.Keep > httpcache.MaxKeep {
			t.Fatalf("%v: %+v", h, l)
		}
		wait := time.Duration(uint64(later)%uint64(2*httpcache.MaxKeep/time.Second)) * time.Second
		now, then := l.State(epoch), l.State(epoch.Add(wait))
		if then > now || l.Age(epoch.Add(wait)) < l.Age(epoch) {
			t.Fatalf("%v: %v, and %v after %v: %+v", h, now, then, wait, l)
		}
		if !v.Store && (now != httpcache.Dead || !l.Received.Equal(epoch)) {
			t.Fatalf("%v: not stored, with %+v", h, l)
		}
	})
}
