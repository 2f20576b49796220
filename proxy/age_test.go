package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// ages are ways for an answer to be kept or not. fields are of the answer, Age included where it passed another cache.
var ages = map[string]struct {
	fields  []string
	renewed []string // of the 304 that comes from the second request on; nil: it answers in full
	passed  int      // seconds in the cache before
	route   func(*policy.Route)
	status  int
}{
	"stored":                {fields: []string{"Cache-Control", "max-age=60"}},
	"stored, by the route":  {},
	"no-store":              {fields: []string{"Cache-Control", "no-store"}},
	"private":               {fields: []string{"Cache-Control", "private, max-age=60"}},
	"set-cookie":            {fields: []string{"Cache-Control", "max-age=60", "Set-Cookie", "a=1"}},
	"vary *":                {fields: []string{"Cache-Control", "max-age=60", "Vary", "*"}},
	"too large":             {fields: []string{"Cache-Control", "max-age=60", "X-Large", "1"}},
	"malformed":             {fields: []string{"Cache-Control", "max-age=60; x"}},
	"coded":                 {fields: []string{"Cache-Control", "max-age=60", "Content-Encoding", "br"}},
	"of another type":       {route: func(r *policy.Route) { r.StoreIf.ContentTypes = []string{"image/png"} }},
	"too many members":      {fields: []string{"Surrogate-Key", strings.Repeat("k ", 10) + manyKeys()}},
	"without end":           {fields: []string{"Content-Type", "text/event-stream"}},
	"no-cache":              {fields: []string{"Cache-Control", "no-cache"}},
	"stale on arrival":      {fields: []string{"Cache-Control", "max-age=0"}},
	"not found":             {status: 404, fields: []string{"Cache-Control", "max-age=60"}},
	"not found, no-store":   {status: 404, fields: []string{"Cache-Control", "no-store"}},
	"an error":              {status: 503},
	"from a cache":          {fields: []string{"Cache-Control", "max-age=60", "Age", "7"}, passed: 7},
	"from a cache, private": {fields: []string{"Cache-Control", "private", "Age", "7"}, passed: 7},
	"Age that is none":      {fields: []string{"Cache-Control", "private", "Age", "x"}},
	"Date that is none":     {fields: []string{"Cache-Control", "private", "Date", "Thu Nov 26 10:00:00 2026"}},
	"a clock behind":        {fields: []string{"Cache-Control", "private", "Date", "Sat, 01 Jan 2000 00:00:00 GMT"}},
	"renewed":               {fields: []string{"Cache-Control", "max-age=1"}, renewed: []string{"Cache-Control", "max-age=1"}},
	"renewed, not kept":     {fields: []string{"Cache-Control", "max-age=1"}, renewed: []string{"Cache-Control", "no-store"}},
	"renewed, unreadable":   {fields: []string{"Cache-Control", "max-age=1"}, renewed: []string{"Cache-Control", "private; x"}},
}

func manyKeys() string {
	var b strings.Builder
	for i := range policy.MaxMembers {
		b.WriteString("k" + strconv.Itoa(i) + " ")
	}
	return b.String()
}

// No answer is older than the time since the origin was asked for it and the age that it came with, whatever becomes of it
// and whatever the client asks.
func TestAgeIsNeverMoreThanTheTime(t *testing.T) {
	asks := map[string][]string{
		"GET": nil, "HEAD": nil, "If-None-Match": {"If-None-Match", `"e"`}, "*": {"If-None-Match", "*"},
		"If-Modified-Since": {"If-Modified-Since", "Fri, 31 Dec 1999 23:59:59 GMT"},
		"Range":             {"Range", "bytes=0-3"}, "ranges": {"Range", "bytes=0-3,90-93"},
		"If-Range": {"Range", "bytes=0-3", "If-Range", `"e"`}, "no-cache": {"Cache-Control", "no-cache"},
		"Range and If-None-Match": {"Range", "bytes=0-3", "If-None-Match", `"e"`},
	}
	for name, c := range ages {
		for _, held := range []httpcache.Coding{httpcache.Identity, httpcache.Gzip} {
			t.Run(name+", "+held.String(), func(t *testing.T) {
				var asked atomic.Int64
				made := map[string]time.Time{} // by X-Serial; the bubble has one goroutine at a time between requests
				backend := func(n int64, w http.ResponseWriter, r *http.Request) bool {
					h := w.Header()
					h.Set("X-Serial", strconv.FormatInt(n, 10))
					made[h.Get("X-Serial")] = time.Now()
					set("ETag", `"e"`, "Last-Modified", "Fri, 31 Dec 1999 23:00:00 GMT")(n, w, r)
					if r.Header.Get("If-None-Match") != "" && c.renewed != nil {
						set(c.renewed...)(n, w, r)
						w.WriteHeader(http.StatusNotModified)
						return false
					}
					for i := 0; i < len(c.fields); i += 2 {
						h.Set(c.fields[i], c.fields[i+1])
					}
					if c.status != 0 {
						w.WriteHeader(c.status)
					}
					size := 4 << 10
					if h.Get("X-Large") != "" {
						size = 2 << 20
					}
					_, _ = w.Write([]byte(strings.Repeat("text ", size/5)))
					return false
				}
				route := routeFor(t, "all", func(r *policy.Route) {
					r.Compression, r.Client, r.StaleWhileRevalidate, r.StaleIfError = held, policy.HonorClient, 2*time.Second, time.Minute
					if c.route != nil {
						c.route(r)
					}
				}, "/")
				inBubble(t, counted(&asked, backend), rigOptions{}, route, func(b *bubble) {
					for what, header := range asks {
						method, target := "GET", "/"+strings.ToLower(strings.ReplaceAll(what, " ", "-"))
						if what == "HEAD" {
							method = what
						}
						for _, wait := range []time.Duration{0, 0, 2 * time.Second, 90 * time.Second} {
							b.pass(wait)
							a := b.do(method, target, header...)
							synctest.Wait()
							if a.status != 304 && what == "If-None-Match" && c.status == 0 && held == httpcache.Identity || a.status == 0 || a.status == 502 {
								t.Errorf("%s: %d, %v", what, a.status, a.header["Cache-Status"])
							}
							lines := a.header["Age"]
							if len(lines) == 0 || lines[0] == "x" { // the origin's own
								continue
							}
							age, err := strconv.Atoi(lines[0])
							most := time.Since(made[a.header.Get("X-Serial")]) + time.Duration(c.passed)*time.Second
							if err != nil || len(lines) > 1 || age < 0 || time.Duration(age)*time.Second > most {
								t.Errorf("%s: %d, Age %q of what was made %v ago; %q", what, a.status, lines, most, a.header["Cache-Status"])
							}
						}
					}
				})
			})
		}
	}
}

// Where neither Last-Modified nor Date can be read, what a client has is as old as the answer is new (RFC 9111 §4.3.2).
func TestNoFalseNotModified(t *testing.T) {
	for _, date := range []string{"Thu Nov 26 10:00:00 2026 +0000", "2026-11-26T10:00:00Z", "Thu, 26 Nov 2026 10:00:00 UTC", "0", " "} {
		for _, control := range []string{"no-store", "private, max-age=60", "max-age=60", "max-age=60; x", "no-cache"} {
			var asked atomic.Int64
			inBubble(t, counted(&asked, set("Date", date, "Cache-Control", control)), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
				before := time.Now().Add(-time.Hour).UTC().Format(http.TimeFormat)
				for range 2 {
					for _, method := range []string{"GET", "HEAD"} {
						b.do(method, "/a", "If-Modified-Since", before).want(t, method+", Date "+date+", "+control, 200, "*", "")
					}
					if a := b.do("GET", "/a", "If-Modified-Since", before, "Range", "bytes=0-0"); a.status == 304 {
						t.Errorf("range, Date %s, %s: %d", date, control, a.status)
					}
				}
			})
		}
	}
}
