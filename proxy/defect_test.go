package proxy

import (
	"bytes"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"cacheproxy/policy"
)

// defects has a test meet some.
func defects(t *testing.T) {
	t.Helper()
	before := onDefect
	onDefect = func(any) {}
	t.Cleanup(func() { onDefect = before })
}

// A defect is the end of the request that meets it and of no other: its client is told, and the log has the stack.
func TestDefectIsAnswered(t *testing.T) {
	defects(t)
	var asked atomic.Int64
	var log bytes.Buffer
	o := rigOptions{logger: slog.New(slog.NewTextHandler(&log, nil))}
	inBubble(t, counted(&asked, nil), o, routeFor(t, "all", nil, "/"), func(b *bubble) {
		b.do("GET", "/a").want(t, "the first", 200, "1", "stored")
		store := b.proxy.store
		b.proxy.store = nil // the defect: whoever looks for a copy panics
		answer := b.do("GET", "/a")
		answer.want(t, "the one that panics", 500, "*", "detail=panic")
		if got := answer.header.Get("Cache-Control"); got != "no-store" {
			t.Errorf("Cache-Control %q, want no-store", got)
		}
		b.proxy.store = store
		b.do("GET", "/a").want(t, "the next one", 200, "1", "hit")
	})
	for _, want := range []string{"request panicked", "route=all", "proxy.(*exchange).serve"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log.String())
		}
	}
}

// On the path of hits a request that meets a defect goes to net/http as it came, where it is told.
func TestDefectOnTheHitPath(t *testing.T) {
	defects(t)
	p, r := hot(t)
	store, w := p.store, &sink{header: http.Header{}}
	p.store = nil
	if NewHits(p).Answer(w, r, true) || w.status != 0 {
		t.Errorf("answered with %d", w.status)
	}
	if p.store = store; !NewHits(p).Answer(w, r, true) || w.status != 200 {
		t.Errorf("without the defect: answered with %d", w.status)
	}
}

// What breaks off after its head went out is not ended as a whole, and the defect is in the report all the same.
func TestDefectAfterTheHead(t *testing.T) {
	defects(t)
	p, r := hot(t)
	ex := exchanges.Get().(*exchange)
	w := &sink{header: http.Header{}}
	ex.begin(p, w, r)
	if ex.resolve(ex.scheme()) != nil {
		t.Fatal("the request is refused")
	}
	ex.settle(policy.Status{Outcome: policy.Hit})
	ended := func() (v any) {
		defer func() { v = recover() }()
		defer caught(ex)
		ex.w.WriteHeader(200)
		panic("a defect")
	}()
	if ended != http.ErrAbortHandler || ex.finalReason() != policy.Panic || w.status != 200 {
		t.Errorf("ended with %v, reason %v, status %d", ended, ex.finalReason(), w.status)
	}
}
