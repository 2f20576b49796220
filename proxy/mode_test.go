package proxy

import (
	"bytes"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/policy"
	"cacheproxy/proxy/fill"
	"cacheproxy/proxy/upstream"
)

func (b *bubble) setMode(order ModeOrder) {
	b.t.Helper()
	if err := b.proxy.SetMode("all", order); err != nil {
		b.t.Fatal(err)
	}
}

// Off holds for the first request after it was ordered, and what was stored before is used again after it, unless a write
// or a purge came in between.
func TestModeOff(t *testing.T) {
	for _, between := range []struct {
		name  string
		do    func(b *bubble)
		fresh bool
	}{
		{"nothing", func(*bubble) {}, false},
		{"a write", func(b *bubble) { b.do("PUT", "/a").want(t, "write", 200, "*", "") }, true},
		{"a purge", func(b *bubble) { b.invalidate(policy.NewMember(policy.KindRoute, "all")) }, true},
	} {
		t.Run(between.name, func(t *testing.T) {
			for _, mode := range []policy.Mode{policy.Off, policy.Observe} {
				var asked atomic.Int64
				route := routeFor(t, "all", func(r *policy.Route) { r.Policy = policy.WriteThrough }, "/")
				inBubble(t, counted(&asked, nil), rigOptions{}, route, func(b *bubble) {
					b.do("GET", "/a")
					b.do("GET", "/a").want(t, "on", 200, "1", "hit")
					b.setMode(ModeOrder{Mode: mode})
					b.do("GET", "/a").want(t, "switched", 200, "2", "fwd=bypass")
					between.do(b)
					b.setMode(ModeOrder{Mode: policy.On})
					cache := "hit"
					if between.fresh {
						cache = "fwd=miss"
					}
					b.do("GET", "/a").want(t, "on again", 200, "*", cache)
				})
			}
		})
	}
}

// Who waits for a fetch when a route is switched off gets its answer; who comes after that asks the origin.
func TestModeOffDuringFetch(t *testing.T) {
	var asked atomic.Int64
	var more chan struct{}
	wait := func(n int64, _ http.ResponseWriter, _ *http.Request) bool {
		if n == 1 {
			<-more
		}
		return true
	}
	inBubble(t, counted(&asked, wait), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
		more = make(chan struct{})
		answers := make(chan answer, 2)
		for range 2 {
			go func() { answers <- b.do("GET", "/a") }()
		}
		synctest.Wait()
		b.setMode(ModeOrder{Mode: policy.Off})
		b.do("GET", "/a").want(t, "after the switch", 200, "2", "detail=mode-off")
		close(more)
		for range 2 {
			(<-answers).want(t, "before the switch", 200, "1", "fwd=uri-miss")
		}
		b.do("GET", "/a").want(t, "still off", 200, "3", "detail=mode-off")
	})
}

// A renewal that was offered before a route was switched off is not worth the origin's time any more.
func TestModeOffEndsRenewals(t *testing.T) {
	for mode, want := range map[policy.Mode]int64{policy.On: 2, policy.Observe: 1, policy.Off: 1} {
		var asked atomic.Int64
		inBubble(t, counted(&asked, nil), rigOptions{}, routeFor(t, "all", nil, "/"), func(b *bubble) {
			b.do("GET", "/a")
			rq := b.planned("GET", "/a")
			c := b.proxy.find(rq, rq.start)
			if c.Copy == nil {
				t.Fatal("no copy to renew")
			}
			b.proxy.fills.Renew(rq.start, c.Copy, func() fill.Renewal {
				offered := rq.renewal(c, upstream.Fill, nil)
				b.setMode(ModeOrder{Mode: mode})
				return offered
			})
			synctest.Wait()
			if n := asked.Load(); n != want || c.Copy.Use.Renewing() {
				t.Errorf("%v: the origin was asked %d times, want %d; still renewing: %v", mode, n, want, c.Copy.Use.Renewing())
			}
		})
	}
}

// A mode for a share: that share goes by it, the others as with off, and the metrics and the list of modes say so.
func TestModeShare(t *testing.T) {
	requests := unlessRace(1000)
	for _, c := range []struct {
		mode       policy.Mode
		share      float64
		inside     string // outcome of the requests inside the share, of which the very first differs
		configured bool
	}{
		{policy.On, 0.10, "hit", false}, {policy.On, 0.10, "hit", true}, {policy.Observe, 0.25, "would_hit", false}, {policy.On, 1, "hit", false}, {policy.On, 0, "hit", false},
	} {
		var asked atomic.Int64
		same := func(_ int64, w http.ResponseWriter, _ *http.Request) bool {
			_, _ = w.Write([]byte("same"))
			return false
		}
		route := routeFor(t, "all", func(r *policy.Route) {
			r.TTL = time.Hour
			if c.configured {
				r.Mode, r.ModeShare = c.mode, c.share
			}
		}, "/")
		inBubble(t, counted(&asked, same), rigOptions{}, route, func(b *bubble) {
			if !c.configured {
				b.setMode(ModeOrder{Mode: c.mode, Share: c.share, By: "sre"})
			}
			outside := 0
			for range requests {
				if strings.Contains(b.do("GET", "/a").header.Get("Cache-Status"), "fwd=bypass; fwd-status=200; detail=mode-share") {
					outside++
				}
			}
			share := c.share
			if share == 0 {
				share = 1
			}
			// Ten standard deviations of as many throws: one run in 10²² falls out of this by chance.
			n := float64(requests)
			want, slack := share*n, 1+10*math.Sqrt(n*share*(1-share))
			if inside := float64(count(t, b.metrics, "cacheproxy_requests_total", c.inside)); inside < want-slack || inside > want+slack {
				t.Errorf("%v for %v: %v requests inside, want about %v", c.mode, share, inside, want)
			}
			if passed := count(t, b.metrics, "cacheproxy_requests_total", "pass"); passed != outside {
				t.Errorf("%v for %v: %d requests passed, %d say why", c.mode, share, passed, outside)
			}
			if got := b.proxy.Modes()[0]; got.Share != share || got.Mode != c.mode || got.Overridden == c.configured {
				t.Errorf("listed as %+v", got)
			}
			before := b.ledger.Token()
			b.do("PUT", "/a")
			if !before.Before(b.ledger.Token()) {
				t.Error("a write invalidated nothing")
			}
		})
	}
}

func TestModesList(t *testing.T) {
	route := routeFor(t, "all", func(r *policy.Route) { r.Mode, r.ModeShare = policy.Observe, 0.5 }, "/")
	inBubble(t, func(http.ResponseWriter, *http.Request) {}, rigOptions{}, route, func(b *bubble) {
		var log bytes.Buffer
		b.proxy.logger = slog.New(slog.NewTextHandler(&log, nil))
		configured := RouteMode{Route: "all", Mode: policy.Observe, Share: 0.5, Configured: policy.Observe, ConfiguredShare: 0.5}
		expect := func(what string, want RouteMode) {
			t.Helper()
			if got := b.proxy.Modes(); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %+v, want %+v", what, got, want)
			}
		}
		expect("as configured", configured)
		now := time.Now()
		b.setMode(ModeOrder{Mode: policy.Off, For: time.Hour, By: "oncall"})
		off := configured
		off.Mode, off.Share, off.Overridden, off.By, off.Since, off.Until = policy.Off, 1, true, "oncall", now, now.Add(time.Hour)
		expect("off for an hour", off)
		b.pass(time.Hour + 2*time.Second)
		expect("run out", configured)
		if !strings.Contains(log.String(), "mode has run out") || !strings.Contains(log.String(), "by=oncall") {
			t.Errorf("the log does not say that the mode has run out: %s", &log)
		}
		b.setMode(ModeOrder{Mode: policy.On})
		if err := b.proxy.ResetMode("all"); err != nil {
			t.Fatal(err)
		}
		expect("reset", configured)
		for _, err := range []error{b.proxy.ResetMode("none"), b.proxy.SetMode("none", ModeOrder{})} {
			if err == nil || !strings.Contains(err.Error(), `no route "none"`) {
				t.Errorf("of no route: %v", err)
			}
		}
	})
}

// The first promise holds while a route is switched back and forth: what is stored in one mode and used again in a later
// one was invalidated by the writes in between.
func TestNoReadIsOlderWhileModesChange(t *testing.T) {
	v := &versions{}
	r := newRig(t, v.ServeHTTP, rigOptions{}, routeFor(t, "v", func(r *policy.Route) { r.Key = template(t, "v:{k}") }, "GET /v/{k}", "PUT /v/{k}"))
	orders := []ModeOrder{{Mode: policy.On}, {Mode: policy.Off}, {Mode: policy.On, Share: 0.5}, {Mode: policy.Observe}, {Mode: policy.On}, {Mode: policy.Observe, Share: 0.5}}
	turn := 0
	stale, hits, reads := race(t, r, func(k int) error {
		turn++
		if err := r.proxy.SetMode("v", orders[turn%len(orders)]); err != nil {
			return err
		}
		_, err := r.try("PUT", fmt.Sprintf("/v/%d", k), nil)
		return err
	}, v)
	if stale > 0 || hits == 0 {
		t.Errorf("%d of %d reads were stale, %d were hits", stale, reads, hits)
	}
	t.Logf("%d reads, %d hits, %d stale", reads, hits, stale)
}
