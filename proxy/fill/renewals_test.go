package fill

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"cacheproxy/proxy/upstream"
	"cacheproxy/store"
	"cacheproxy/test/bubbles"
	"cacheproxy/test/references"
)

// An upstream that hangs has as many renewals at work as it may have, and holds up nobody else's. What has no room is not taken, and what
// is left in the end is let go of.
func TestRenewalsOfOneUpstreamHoldUpNoOther(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		of := func(host string) *Request {
			return &Request{Route: &Route{Origin: upstream.New(upstream.Options{Name: host, URL: &url.URL{Scheme: "http", Host: host}})}}
		}
		hung, well := of("hung.test"), of("well.test")
		hang := make(chan struct{})
		var atHung, done atomic.Int64
		rs := &renewals{of: map[*upstream.Upstream]*renewalsOf{}, renew: func(ctx context.Context, r Renewal) {
			if r.Request == well {
				done.Add(1)
				return
			}
			atHung.Add(1)
			defer atHung.Add(-1)
			select {
			case <-hang:
			case <-ctx.Done():
			}
		}}
		early := 0
		for range 20 { // before anybody is at work
			if rs.offer(Renewal{Request: hung}) {
				early++
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { rs.run(ctx) })
		synctest.Wait()
		taken := early
		for range 2 * renewalQueue {
			if rs.offer(Renewal{Request: hung}) {
				taken++
			}
		}
		synctest.Wait()
		if n := atHung.Load(); early != 20 || n != renewalWorkers || taken != renewalWorkers+renewalQueue {
			t.Errorf("%d at the upstream that hangs, %d taken, want %d and %d", n, taken, renewalWorkers, renewalWorkers+renewalQueue)
		}
		for range 100 {
			rs.offer(Renewal{Request: well})
		}
		synctest.Wait()
		if n := done.Load(); n != 100 {
			t.Errorf("%d of 100 done at the other", n)
		}
		if len(rs.of) != 1 {
			t.Errorf("%d upstreams have a queue, want the one that hangs", len(rs.of))
		}
		stop()
		running.Wait()
		if n := atHung.Load(); n != 0 {
			t.Errorf("%d are at work after the end", n)
		}
		if !rs.offer(Renewal{Request: well}) || done.Load() != 100 {
			t.Error("after the end something is at work, or refused")
		}
		if rs.forget(); len(rs.of) != 0 {
			t.Error("something is left")
		}
		if rs.offer(Renewal{Request: well}) {
			t.Error("something is taken that nobody would let go of")
		}
	})
}

// The queues are emptied while workers take from them, as at the end of a process: each renewal is carried out or let go of, once.
func TestRenewalsForgottenAtWork(t *testing.T) {
	made := references.Made()
	origin := upstream.New(upstream.Options{Name: "a.test", URL: &url.URL{Scheme: "http", Host: "a.test"}})
	of := &Request{Route: &Route{Origin: origin}}
	c := store.NewCopy(200, http.Header{}, []byte("x"))
	var done atomic.Int64
	rs := &renewals{of: map[*upstream.Upstream]*renewalsOf{}, renew: func(_ context.Context, r Renewal) { done.Add(1); r.letGo() }}
	for range 500 {
		c.Hold()
		rs.offer(Renewal{Request: of, Copy: c})
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { rs.run(ctx) })
	rs.forget()
	stop()
	running.Wait()
	c.Release()
	references.WantAllFree(t, made)
	if n := done.Load(); n > 500 {
		t.Errorf("%d are done of 500", n)
	}
}
