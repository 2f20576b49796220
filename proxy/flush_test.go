package proxy

import (
	"net/http"
	"testing"
	"time"

	"cacheproxy/writebehind"
)

// A flush makes copies unusable, as a write does that goes through, and tells the origin the order.
func TestSendQueued(t *testing.T) {
	var got http.Header
	b := newBehindRig(t, registers(func(r *http.Request, _ string) { got = r.Header.Clone() }), nil)
	b.do("GET", "/stock/5")
	b.settle(t)
	b.send("PUT", "/stock/5", "one", "Idempotency-Key", "k")
	behind := BehindOf(b.proxy)
	if try := behind.Send(t.Context(), b.queued(), 7, func() bool { return false }); try.Sent || got != nil {
		t.Fatalf("without a lease: %+v", try)
	}
	if try := behind.Send(t.Context(), b.queued(), 7, func() bool { return true }); !try.Confirmed || try.Status != 200 {
		t.Fatalf("%+v", try)
	}
	if got.Get("X-Write-Sequence") != "7" || got.Get("Idempotency-Key") != "k" {
		t.Errorf("the origin gets %v", got)
	}
	if a := b.do("GET", "/stock/5"); a.body != "one" {
		t.Errorf("after the flush a read gets %q: %s", a.body, a.header.Get("Cache-Status"))
	}
	w := b.queued()
	w.Upstream = "gone"
	if try := behind.Send(t.Context(), w, 8, func() bool { return true }); try.Sent || try.Problem == "" {
		t.Errorf("without its upstream: %+v", try)
	}
	if err := behind.Confirm(t.Context(), b.queued()); err != nil {
		t.Error(err)
	}
}

// A try that the origin does not answer in time may be under way there yet: the next is not made before as long has passed again.
func TestSendQueuedInVain(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	b := newBehindRig(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			<-end
		}
	}, func(_ *writebehind.Rules, o *rigOptions) { o.origin.Timeout = 50 * time.Millisecond })
	b.send("PUT", "/stock/5", "one")
	if try := BehindOf(b.proxy).Send(t.Context(), b.queued(), 7, func() bool { return true }); !try.Sent || try.AtWork != 50*time.Millisecond {
		t.Errorf("%+v", try)
	}
}
