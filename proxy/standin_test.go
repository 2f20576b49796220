package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
)

// failing is an origin that answers with "good" until it fails, and then with "bad".
type failing struct {
	status atomic.Int64 // 0: it does not fail
	asked  atomic.Int64
	good   []string // header fields
	bad    []string
}

func (o *failing) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.asked.Add(1)
	w.Header().Set("Content-Type", "text/plain")
	status, body, header := int(o.status.Load()), "bad", o.bad
	if status == 0 {
		status, body, header = 200, "good", o.good
	}
	set(header...)(0, w, r)
	if w.Header().Get("X-Large") != "" {
		body = strings.Repeat(body, 1<<20)
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// read is one request and what is wanted of it.
type read struct {
	after  time.Duration
	before func(b *bubble)
	method string
	header []string
	status int
	body   string
	cache  string // in Cache-Status, at whose end is "$"
}

// An error never takes the place of a copy that may stand in for it, though it says for how long it may be kept.
func TestErrorsDisplaceNoCopyThatMayStandIn(t *testing.T) {
	const s = time.Second
	onError := func(r *policy.Route) { r.TTL, r.StaleIfError, r.Key = 10*s, time.Hour, template(t, "a") }
	whileFresh := func(r *policy.Route) { onError(r); r.StaleWhileRevalidate = time.Hour }
	none := func(r *policy.Route) { r.TTL, r.Key = 10*s, template(t, "a") }
	ahead := func(r *policy.Route) {
		r.Policy, r.TTL, r.MinHits, r.RefreshAt, r.Key = policy.RefreshAhead, 100*s, 1, 0.2, template(t, "a")
	}
	honor := func(r *policy.Route) { onError(r); r.Client = policy.HonorClient }
	stands := read{status: 200, body: "good", cache: "fwd=stale; fwd-status=503; ttl=-"}
	served := read{status: 200, body: "good", cache: "hit; ttl=-"}
	fresh := read{status: 200, body: "good", cache: "hit; ttl="}
	stored := read{status: 503, body: "bad", cache: "; stored"}
	hit := read{status: 503, body: "bad", cache: "hit; ttl="}
	asAsked := read{status: 503, body: "bad", cache: "fwd=request; fwd-status=503; detail=client-cache-control"}
	with := func(r read, change func(*read)) read { change(&r); return r }
	after := func(d time.Duration, r read) read { r.after = d; return r }
	asked := func(r read, header ...string) read { r.header = header; return r }
	for name, c := range map[string]struct {
		route     func(*policy.Route)
		status    int // 503
		good, bad []string
		reads     []read // once the origin fails; the first copy is that of a plain GET
	}{
		"stale-if-error":                {route: onError, reads: []read{after(20*s, stands), served, after(60*s, stands), served, after(7*s, served), after(4*s, stands)}},
		"stale-if-error of the origin":  {good: []string{"Cache-Control", "max-age=10, stale-if-error=60"}, reads: []read{after(20*s, stands), served, after(60*s, stored), hit}},
		"500":                           {route: onError, status: 500, reads: []read{after(20*s, with(stands, func(r *read) { r.cache = "fwd-status=500" })), served}},
		"502":                           {route: onError, status: 502, reads: []read{after(20*s, with(stands, func(r *read) { r.cache = "fwd-status=502" })), served}},
		"504":                           {route: onError, status: 504, reads: []read{after(20*s, with(stands, func(r *read) { r.cache = "fwd-status=504" })), served}},
		"stale-while-revalidate":        {route: whileFresh, reads: []read{after(20*s, served), served, after(60*s, served), after(60*s, served)}},
		"refresh ahead of a fresh copy": {route: ahead, reads: []read{after(90*s, fresh), fresh, after(6*s, fresh), after(5*s, stored)}},
		"another error of the server": {route: onError, status: 507, reads: []read{
			after(20*s, read{status: 507, body: "bad", cache: "fwd=stale; fwd-status=507$"}), {status: 507, body: "bad", cache: "fwd=stale; fwd-status=507$"},
		}},
		"a refusal for now": {route: whileFresh, status: 429, reads: []read{after(20*s, served), served, after(60*s, served)}},
		"another refusal":   {route: whileFresh, status: 408, reads: []read{after(20*s, served), served, after(60*s, served)}},
		"an answer": {route: whileFresh, status: 404, reads: []read{
			after(20*s, served), {status: 404, body: "bad", cache: "hit; ttl="},
		}},
		"nothing may stand in":        {route: none, reads: []read{after(20*s, stored), hit}},
		"must-revalidate":             {route: onError, good: []string{"Cache-Control", "max-age=10, must-revalidate", "ETag", `"e"`}, reads: []read{after(20*s, stored), hit}},
		"no-cache":                    {route: onError, good: []string{"Cache-Control", "no-cache", "ETag", `"e"`}, reads: []read{stored, hit}},
		"past the window":             {route: onError, reads: []read{after(2*time.Hour, stored), hit}},
		"HEAD":                        {route: onError, reads: []read{after(20*s, with(stands, func(r *read) { r.method, r.body = "HEAD", "" })), served, served}},
		"a range":                     {route: onError, reads: []read{after(20*s, asked(with(stands, func(r *read) { r.status, r.body = 206, "go" }), "Range", "bytes=0-1")), served}},
		"a conditional request":       {route: onError, good: []string{"ETag", `"e"`}, reads: []read{after(20*s, asked(with(stands, func(r *read) { r.status, r.body = 304, "" }), "If-None-Match", `"e"`)), served}},
		"one that wants it confirmed": {route: honor, reads: []read{asked(asAsked, "Cache-Control", "no-cache"), fresh, after(20*s, asked(read{status: 503, body: "bad", cache: "fwd=stale; fwd-status=503$"}, "Cache-Control", "no-cache")), stands}},
		"the error varies":            {route: onError, bad: []string{"Vary", "Accept-Encoding"}, reads: []read{after(20*s, stands), asked(served, "Accept-Encoding", "br"), served}},
		"the copy varies, the error not": {route: onError, good: []string{"Vary", "Accept-Language"}, reads: []read{
			asked(stored, "Accept-Language", "de"), asked(hit, "Accept-Language", "de"), fresh, after(20*s, stands), served,
		}},
		"both vary, by something else": {route: whileFresh, good: []string{"Vary", "Accept-Language"}, bad: []string{"Vary", "Accept-Charset"}, reads: []read{
			asked(stored, "Accept-Language", "de"), fresh, after(20*s, served), served, after(60*s, served),
		}},
		"a purged copy": {route: onError, reads: []read{
			with(stored, func(r *read) { r.before = func(b *bubble) { b.invalidate(key("a")) } }), hit,
		}},
		"a write that failed, whose outcome nobody knows": {route: onError, reads: []read{
			with(stands, func(r *read) {
				r.before, r.cache = func(b *bubble) { b.do("PUT", "/a") }, "fwd=stale; fwd-status=503; ttl="
			}), after(20*s, stands),
		}},
		"too large for a copy": {route: onError, bad: []string{"X-Large", "1"}, reads: []read{after(20*s, stands), served}},
		"an error after an error": {route: none, bad: []string{"Cache-Control", "stale-if-error=3600"}, reads: []read{
			after(20*s, stored), hit, after(40*s, with(hit, func(r *read) { r.cache = "fwd=stale; fwd-status=503; ttl=-" })), hit,
		}},
		"for one client": {route: onError, bad: []string{"Set-Cookie", "a=1"}, reads: []read{after(20*s, stands), served}},
	} {
		t.Run(name, func(t *testing.T) {
			o := &failing{good: c.good, bad: append([]string{"Cache-Control", "public, max-age=30"}, c.bad...)}
			inBubble(t, o.ServeHTTP, rigOptions{}, routeFor(t, "all", c.route, "/"), func(b *bubble) {
				b.do("GET", "/a").want(t, "fill", 200, "good", "stored")
				b.do("GET", "/a")
				synctest.Wait()
				if o.status.Store(503); c.status != 0 {
					o.status.Store(int64(c.status))
				}
				for i, r := range c.reads {
					b.pass(r.after)
					if r.before != nil {
						r.before(b)
					}
					method := r.method
					if method == "" {
						method = "GET"
					}
					a := b.do(method, "/a", r.header...)
					a.header["Cache-Status"] = []string{a.header.Get("Cache-Status") + "$"}
					a.want(t, fmt.Sprint("read ", i+1), r.status, r.body, r.cache)
					synctest.Wait() // a renewal in the background
				}
				o.status.Store(0)
				b.pass(10 * time.Minute)
				b.do("GET", "/a")
				synctest.Wait()
				b.do("GET", "/a").want(t, "the origin is well again", 200, "good", "")
			})
		})
	}
}

// Who waits for an answer that turns out to be an error has the copy as well, and the origin is asked once for all.
func TestHerdOnAnErrorGetsTheCopy(t *testing.T) {
	o := &failing{bad: []string{"Cache-Control", "max-age=30"}}
	slow := func(w http.ResponseWriter, r *http.Request) {
		<-time.After(time.Second)
		o.ServeHTTP(w, r)
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleIfError = 10*time.Second, time.Hour }, "/")
	inBubble(t, slow, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a").want(t, "fill", 200, "good", "stored")
		b.pass(20 * time.Second)
		o.status.Store(503)
		answers := make(chan answer, 50)
		for range cap(answers) {
			go func() { answers <- b.do("GET", "/a") }()
		}
		for range cap(answers) {
			(<-answers).want(t, "one of a herd", 200, "good", "ttl=-11; detail=origin-status")
		}
		synctest.Wait()
		if n := o.asked.Load(); n != 2 {
			t.Errorf("the origin was asked %d times", n)
		}
		if n := count(t, b.metrics, "cacheproxy_not_stored_total", "origin-status"); n != 1 {
			t.Errorf("counted %d times", n)
		}
	})
}

// Parts stand in for what is asked of them, and an error is not stored in their place.
func TestErrorsDisplaceNoParts(t *testing.T) {
	var asked atomic.Int64
	backend := func(n int64, w http.ResponseWriter, _ *http.Request) bool {
		w.Header().Set("Cache-Control", "max-age=60")
		if n > 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		w.Header().Set("ETag", `"e"`)
		return !partial(w, http.StatusPartialContent, "bytes 0-4/26", "ABCDE")
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.Range = policy.RangePart }, "/")
	inBubble(t, counted(&asked, backend), rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a", "Range", "bytes=0-4").want(t, "a part", 206, "ABCDE", "stored")
		a := b.do("GET", "/a")
		a.want(t, "the rest", 503, "2", "fwd=partial; fwd-status=503")
		if cache := a.header.Get("Cache-Status"); strings.Contains(cache, "stored") {
			t.Errorf("the rest: %s", cache)
		}
		b.do("GET", "/a", "Range", "bytes=1-2").want(t, "the part", 206, "BC", "hit")
		b.pass(2 * time.Minute)
		b.do("GET", "/a").want(t, "the part is stale", 503, "*", "stored")
	})
}

// An error does not reach the tier that all instances share while a copy there may stand in for it, were it one that came
// while the origin was failing this instance; nor does it come up from there.
func TestErrorsDisplaceNoCopyOfAnotherInstance(t *testing.T) {
	o := &failing{bad: []string{"Cache-Control", "max-age=30"}}
	var slow atomic.Bool
	var hold chan struct{} // of the bubble
	backend := func(w http.ResponseWriter, r *http.Request) {
		if slow.CompareAndSwap(true, false) {
			<-hold
			w.Header().Set("Cache-Control", "max-age=30")
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		o.ServeHTTP(w, r)
	}
	route := routeFor(t, "all", func(r *policy.Route) {
		r.TTL, r.StaleIfError, r.Headers = 10*time.Second, time.Hour, nil
		r.WaitTimeout = time.Second
	}, "/")
	fleet(t, backend, 3, rigOptions{}, route, func(all []*bubble, _ *desk, c *copies) {
		hold = make(chan struct{})
		slow.Store(true)
		first := make(chan answer)
		go func() { first <- all[0].do("GET", "/a") }()
		synctest.Wait()
		all[1].do("GET", "/a").want(t, "another gives up waiting", 200, "good", "stored")
		synctest.Wait()
		close(hold)
		// The copy may have come up from the tier by the time that this instance answers, and then stands in here, too.
		if a := <-first; a.status != 502 && a.body != "good" {
			t.Errorf("the one that failed: %d %q", a.status, a.body)
		}
		synctest.Wait()
		for i, b := range all {
			b.do("GET", "/a").want(t, fmt.Sprint("instance ", i), 200, "good", "")
			synctest.Wait()
		}
		o.status.Store(503)
		all[0].pass(20 * time.Second)
		for i, b := range all {
			b.do("GET", "/a").want(t, fmt.Sprint("stale, instance ", i), 200, "good", "fwd=stale; fwd-status=503")
			synctest.Wait()
		}
		writes := c.writes()
		c.Empty()
		all[0].another().do("GET", "/a").want(t, "an instance without a copy", 503, "bad", "stored")
		synctest.Wait()
		if c.writes() == writes {
			t.Error("the error is not where all instances find it, and nothing stands in for it there")
		}
		for i, b := range all {
			b.do("GET", "/a").want(t, fmt.Sprint("an error from below, instance ", i), 200, "good", "hit; ttl=-")
			synctest.Wait()
		}
	})
}

// What is observed is what would be stored.
func TestObservedErrorsDisplaceNoCopy(t *testing.T) {
	o := &failing{bad: []string{"Cache-Control", "max-age=30"}}
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleIfError, r.Mode = 10*time.Second, time.Hour, policy.Observe }, "/")
	inBubble(t, o.ServeHTTP, rigOptions{}, route, func(b *bubble) {
		b.do("GET", "/a")
		b.pass(20 * time.Second)
		o.status.Store(503)
		for range 2 {
			b.do("GET", "/a").want(t, "observed", 503, "bad", "detail=would_miss")
		}
		if strings.Contains(fmt.Sprint(b.do("GET", "/a").header["Cache-Status"]), "observe") {
			t.Error("the error would have been a copy")
		}
	})
}

// A copy that only another instance and the shared tier hold stands in for the first read here already.
func TestCopyOfATierStandsIn(t *testing.T) {
	var asked atomic.Int64
	failing := func(n int64, w http.ResponseWriter, _ *http.Request) bool {
		if n > 1 {
			w.Header().Set("Cache-Control", "max-age=30")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return true
	}
	route := routeFor(t, "all", func(r *policy.Route) { r.TTL, r.StaleIfError = time.Second, time.Hour }, "/")
	fleet(t, counted(&asked, failing), 2, rigOptions{}, route, func(all []*bubble, _ *desk, _ *copies) {
		all[0].do("GET", "/a").want(t, "filled", 200, "1", "stored")
		synctest.Wait()
		all[0].pass(5 * time.Second)
		all[1].do("GET", "/a").want(t, "elsewhere, while the origin fails", 200, "1", "fwd-status=503")
	})
}
