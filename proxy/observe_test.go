package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cacheproxy/observe"
	"cacheproxy/policy"
)

// observations are what an observed route has counted so far.
type observations struct{ hit, differ, miss, pass int }

func observationsOf(t testing.TB, m *observe.Metrics) observations {
	t.Helper()
	n := func(outcome string) int { return count(t, m, "cacheproxy_requests_total", outcome) }
	return observations{n("would_hit"), n("would_differ"), n("would_miss"), n("pass")}
}

func (want observations) check(t testing.TB, b *bubble, what string) {
	t.Helper()
	if got := observationsOf(t, b.metrics); got != want {
		t.Errorf("%s: %+v, want %+v", what, got, want)
	}
}

func observing(change func(*policy.Route)) func(*policy.Route) {
	return func(r *policy.Route) {
		r.Mode = policy.Observe
		if change != nil {
			change(r)
		}
	}
}

// What is counted is what would have happened: a copy that is out of date stays until it expires or is purged.
func TestObserveCounts(t *testing.T) {
	var version atomic.Value
	version.Store("one")
	backend := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"`+version.Load().(string)+`"`)
		if r.Header.Get("If-None-Match") == w.Header().Get("ETag") {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		io.WriteString(w, version.Load().(string))
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", observing(nil), "/"), func(b *bubble) {
		b.do("GET", "/a").want(t, "first", 200, "one", "detail=would_miss")
		observations{miss: 1}.check(t, b, "nothing stored")
		b.do("GET", "/a").want(t, "second", 200, "one", "fwd=bypass; fwd-status=200; detail=observe")
		observations{hit: 1, miss: 1}.check(t, b, "the same")
		b.do("HEAD", "/a")
		observations{hit: 2, miss: 1}.check(t, b, "HEAD")
		b.do("GET", "/a", "If-None-Match", `"one"`).want(t, "304", 304, "", "")
		observations{hit: 3, miss: 1}.check(t, b, "304")
		version.Store("two")
		b.do("GET", "/a").want(t, "changed", 200, "two", "")
		observations{hit: 3, differ: 1, miss: 1}.check(t, b, "changed unseen")
		b.do("GET", "/a")
		observations{hit: 3, differ: 2, miss: 1}.check(t, b, "the old copy would still be served")
		b.do("HEAD", "/a")
		b.do("GET", "/a", "If-None-Match", `"two"`).want(t, "304", 304, "", "")
		observations{hit: 3, differ: 4, miss: 1}.check(t, b, "HEAD and 304 after the change")
		b.pass(time.Minute)
		b.do("GET", "/a")
		observations{hit: 3, differ: 4, miss: 2}.check(t, b, "expired")
		b.do("GET", "/a")
		observations{hit: 4, differ: 4, miss: 2}.check(t, b, "the new one")
		version.Store("three")
		b.do("PUT", "/a")
		b.do("GET", "/a")
		b.do("GET", "/a").want(t, "after a write", 200, "three", "")
		observations{hit: 5, differ: 4, miss: 3}.check(t, b, "changed by a write")
	})
}

// An answer of which only a part was seen shows nothing, whoever broke it off.
func TestObserveBrokenOff(t *testing.T) {
	body := strings.Repeat("x", 100<<10)
	var tear atomic.Bool
	backend := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if !tear.Load() {
			io.WriteString(w, body)
			return
		}
		io.WriteString(w, body[:10])
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", observing(nil), "/"), func(b *bubble) {
		b.do("GET", "/a")
		b.do("GET", "/a")
		observations{hit: 1, miss: 1}.check(t, b, "whole")
		tear.Store(true)
		b.do("GET", "/a")
		observations{hit: 1, miss: 1, pass: 1}.check(t, b, "the origin breaks off")
		tear.Store(false)
		b.do("GET", "/a")
		observations{hit: 2, miss: 1, pass: 1}.check(t, b, "whole again")
	})
}

// Answers that are compared are part of the memory. Where there is none, they are not compared, and counted as not stored.
func TestObserveInMemory(t *testing.T) {
	body := strings.Repeat("x", 300<<10)
	backend := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, body[1:])
		if r.URL.Query().Has("slow") {
			w.(http.Flusher).Flush()
			<-time.After(30 * time.Second)
		}
		io.WriteString(w, body[:1])
	}
	inBubble(t, backend, rigOptions{memory: 2 << 20}, routeFor(t, "all", observing(nil), "/"), func(b *bubble) {
		budget := b.store.Memory().Budget()
		b.do("GET", "/a")
		b.do("GET", "/a")
		observations{hit: 1, miss: 1}.check(t, b, "with memory")
		slow := make(chan struct{})
		go func() {
			defer close(slow)
			b.do("GET", "/b?slow")
		}()
		b.pass(10 * time.Second)
		if n := budget.Reserved(); n > 512<<10 || n < 300<<10 {
			t.Errorf("%d bytes are taken, of a fourth of 2 MiB", n)
		}
		b.do("GET", "/a")
		observations{hit: 1, miss: 1, pass: 1}.check(t, b, "without memory")
		if n := count(t, b.metrics, "cacheproxy_not_stored_total", "memory-full"); n != 1 {
			t.Errorf("%d were counted as not stored, want one", n)
		}
		b.pass(time.Minute)
		<-slow
		if n := budget.Reserved(); n != 0 {
			t.Errorf("%d bytes are taken in the end", n)
		}
	})
}

// No copy is as long as an answer that is too long to be stored.
func TestObserveTooLong(t *testing.T) {
	var long atomic.Bool
	backend := func(w http.ResponseWriter, _ *http.Request) {
		if long.Load() {
			io.WriteString(w, strings.Repeat("x", 1<<20+1))
			return
		}
		io.WriteString(w, "x")
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", observing(nil), "/"), func(b *bubble) {
		long.Store(true)
		b.do("GET", "/b")
		b.do("GET", "/b")
		observations{miss: 2}.check(t, b, "never stored")
		long.Store(false)
		b.do("GET", "/a")
		long.Store(true)
		b.do("GET", "/a")
		observations{miss: 3, differ: 1}.check(t, b, "grown beyond the limit")
	})
}

// A client that leaves in the middle of the body has seen no difference.
func TestObserveClientLeaves(t *testing.T) {
	first, left := make(chan struct{}, 1), make(chan struct{})
	var slow atomic.Bool
	backend := func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "one")
		if slow.Load() {
			w.(http.Flusher).Flush()
			first <- struct{}{}
			<-r.Context().Done()
			close(left)
			return
		}
		io.WriteString(w, "two")
	}
	r := newRig(t, backend, rigOptions{}, routeFor(t, "all", observing(nil), "/"))
	r.do("GET", "/a")
	r.do("GET", "/a")
	slow.Store(true)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, "GET", r.front.URL+"/a", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	<-first
	leave()
	resp.Body.Close()
	<-left
	r.client.CloseIdleConnections()
	r.front.Close() // waits until the handler has ended, and so has counted
	if got, want := observationsOf(t, r.metrics), (observations{hit: 1, miss: 1, pass: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// A copy that is invalidated while the origin answers was right when the request came.
func TestObservePurgedMeanwhile(t *testing.T) {
	var n atomic.Int64
	var meanwhile func()
	backend := func(w http.ResponseWriter, _ *http.Request) {
		if meanwhile != nil {
			meanwhile()
		}
		fmt.Fprint(w, n.Add(1))
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", observing(nil), "/"), func(b *bubble) {
		b.do("GET", "/a")
		meanwhile = func() { b.invalidate(policy.NewMember(policy.KindRoute, "all")) }
		b.do("GET", "/a")
		observations{miss: 1, pass: 1}.check(t, b, "purged meanwhile")
		meanwhile = nil
		b.do("GET", "/a")
		observations{miss: 2, pass: 1}.check(t, b, "purged")
	})
}

// What copies would have saved is a share of what the origin worked.
func TestObserveSavedSeconds(t *testing.T) {
	backend := func(w http.ResponseWriter, _ *http.Request) {
		<-time.After(2 * time.Second)
		io.WriteString(w, "same")
	}
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", observing(nil), "/"), func(b *bubble) {
		for range 4 {
			b.do("GET", "/a")
		}
		saved, all := count(t, b.metrics, "cacheproxy_observed_saved_seconds_total", "all"), count(t, b.metrics, "cacheproxy_observed_origin_seconds_total", "all")
		if saved != 6 || all != 8 {
			t.Errorf("saved %d s of %d s, want 6 of 8", saved, all)
		}
	})
}

// Cookies that clients would not get, once the route is on, are counted and told of beforehand.
func TestObserveCookies(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/none" {
			w.Header().Add("Set-Cookie", "sid=secret; Path=/")
			w.Header().Add("Set-Cookie", "lang=de")
		}
		if r.URL.Path == "/private" {
			w.Header().Set("Cache-Control", "no-store")
		}
		io.WriteString(w, "same")
	}
	for _, mode := range []policy.Mode{policy.Observe, policy.On} {
		var log bytes.Buffer
		strips := func(r *policy.Route) { r.Mode, r.StripSetCookie = mode, true }
		inBubble(t, backend, rigOptions{logger: slog.New(slog.NewTextHandler(&log, nil))}, routeFor(t, "all", strips, "/"), func(b *bubble) {
			got := 0
			for _, path := range []string{"/a", "/a", "/a", "/private", "/none"} {
				got += len(b.do("GET", path).header.Values("Set-Cookie"))
			}
			withheld := count(t, b.metrics, "cacheproxy_observed_cookies_withheld_total", "all")
			if mode == policy.On {
				if got != 2 || withheld != 0 {
					t.Errorf("on: %d cookies passed, %d answers counted", got, withheld)
				}
				return
			}
			if got != 8 || withheld != 3 {
				t.Errorf("observed: %d cookies passed, %d answers counted", got, withheld)
			}
			if s := log.String(); !strings.Contains(s, "would not have got the cookies") || !strings.Contains(s, "sid") || strings.Contains(s, "secret") {
				t.Errorf("log %s", s)
			}
		})
	}
}

// A key that leaves out what the answer depends on shows as would_differ, and the log says where to look.
func TestObserveShowsWrongKeys(t *testing.T) {
	backend := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Currency", r.Header.Get("X-Currency"))
		if r.URL.Path == "/go" {
			w.Header().Set("Location", "/"+r.URL.Query().Get("to"))
			w.WriteHeader(http.StatusMovedPermanently)
			return
		}
		fmt.Fprintf(w, "price in %s, sorted by %s", r.Header.Get("X-Currency"), r.URL.Query().Get("sort"))
	}
	header := func(r *policy.Route) {
		r.Query, r.OnUnlisted = policy.Query{Include: []string{"sort", "to"}}, policy.UnlistedDrop
	}
	for _, c := range []struct {
		name   string
		route  func(*policy.Route)
		path   string
		differ int
		log    []string
	}{
		{"a header", header, "/p", 6, []string{"copy_status=200 status=200 copy_bytes=25 bytes=25", "first_difference_at=9", "headers=[X-Currency]", "request_headers_not_in_key=[X-Currency]"}},
		{"a parameter", func(r *policy.Route) {
			r.Headers, r.Query = []string{"X-Currency"}, policy.Query{Unlisted: policy.UnlistedDrop}
		}, "/p", 6,
			[]string{`parameters_not_in_key="[sort to]"`, "first_difference_at=24"}},
		{"where it leads", func(r *policy.Route) {
			r.Headers, r.Query = []string{"X-Currency"}, policy.Query{Exclude: []string{"sort", "to"}}
		}, "/go", 6,
			[]string{"headers=[Location]", `parameters_not_in_key="[sort to]"`}},
		{"all of it in the key", func(r *policy.Route) {
			header(r)
			r.Headers = []string{"X-Currency"}
			r.Query.Include = []string{"sort", "to"}
		}, "/p", 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBubble(t, backend, rigOptions{}, routeFor(t, "all", observing(c.route), "/"), func(b *bubble) {
				var log bytes.Buffer
				b.proxy.logger = slog.New(slog.NewTextHandler(&log, nil))
				for range 3 {
					for _, currency := range []string{"EUR", "USD"} {
						b.do("GET", c.path+"?sort=a&to=a", "X-Currency", currency)
						b.do("GET", c.path+"?sort=b&to=b", "X-Currency", currency)
					}
				}
				if got := count(t, b.metrics, "cacheproxy_requests_total", "would_differ"); got != c.differ {
					t.Errorf("would_differ %d, want %d", got, c.differ)
				}
				for _, want := range c.log {
					if !strings.Contains(log.String(), want) {
						t.Errorf("the log has no %q:\n%s", want, &log)
					}
				}
				if c.log == nil && log.Len() > 0 {
					t.Errorf("logged: %s", &log)
				}
				if strings.Contains(log.String(), "EUR") {
					t.Errorf("the log shows what was sent: %s", &log)
				}
			})
		})
	}
}

// Differences tend to be alike: a few a minute are logged, and how many were not.
func TestObserveLogsAFew(t *testing.T) {
	var n atomic.Int64
	backend := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, n.Add(1)) }
	inBubble(t, backend, rigOptions{}, routeFor(t, "all", observing(func(r *policy.Route) { r.TTL = time.Hour }), "/"), func(b *bubble) {
		var log bytes.Buffer
		b.proxy.logger = slog.New(slog.NewTextHandler(&log, nil))
		for range 101 {
			b.do("GET", "/a")
		}
		if got := strings.Count(log.String(), "\n"); got != loud {
			t.Errorf("%d lines", got)
		}
		b.pass(time.Minute)
		b.do("GET", "/a")
		if !strings.Contains(log.String(), fmt.Sprintf("more_since_last=%d", 100-loud)) {
			t.Errorf("the log does not tell how many lines are missing: %s", &log)
		}
		observations{differ: 101, miss: 1}.check(t, b, "all are counted")
	})
}

// The access log says of each request of an observed route what a copy would have made of it, and for which reason the origin was asked.
func TestObservedInAccessLog(t *testing.T) {
	var log bytes.Buffer
	answer := "x"
	inBubble(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		io.WriteString(w, answer)
	}, rigOptions{}, routeFor(t, "all", func(r *policy.Route) { r.Mode = policy.Observe }, "/"), func(b *bubble) {
		b.logTo(&log)
		for _, c := range []struct{ answer, outcome, reason, detail string }{
			{"x", "would_miss", "uri-miss", "would_miss"}, {"x", "would_hit", "observe", "observe"}, {"y", "would_differ", "observe", "observe"},
		} {
			log.Reset()
			answer = c.answer
			b.do("GET", "/")
			b.pass(time.Second)
			for _, want := range []string{`"outcome":"` + c.outcome + `"`, `"reason":"` + c.reason + `"`, `detail=` + c.detail + `"`} {
				if !strings.Contains(log.String(), want) {
					t.Errorf("%s is not in %s", want, log.String())
				}
			}
		}
	})
}
