package proxy

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"cacheproxy/writebehind"
)

// A read sees what a write puts there before the origin has it, where the reader may: by the writer's own credentials, or because the origin
// answers the reader. Nobody else learns of it.
func TestOverlay(t *testing.T) {
	private := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer reader" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Cache-Control", "private")
		_, _ = w.Write([]byte("old"))
	}
	b := newBehindRig(t, private, func(r *writebehind.Rules, _ *rigOptions) { r.ReadPending = writebehind.Overlay })
	if a := b.do("GET", "/stock/5", "Authorization", "Bearer reader"); a.body != "old" {
		t.Fatal(a)
	}
	b.send("PUT", "/stock/5", "new", "Authorization", "Bearer writer", "Content-Type", "text/x-stock")
	for _, c := range []struct {
		who  []string
		code int
		body string
	}{
		{[]string{"Authorization", "Bearer writer"}, 200, "new"},
		{[]string{"Authorization", "Bearer reader"}, 200, "new"},
		{[]string{"Authorization", "Bearer stranger"}, 401, ""},
		{nil, 401, ""},
	} {
		a := b.do("GET", "/stock/5", c.who...)
		if a.status != c.code || a.body != c.body {
			t.Errorf("%v gets %d %q, want %d %q", c.who, a.status, a.body, c.code, c.body)
		}
		if c.body == "new" && (a.header.Get("Content-Type") != "text/x-stock" || a.header.Get("Cache-Control") != "no-store") {
			t.Errorf("%v gets %v", c.who, a.header)
		}
	}
	if a := b.do("HEAD", "/stock/5", "Authorization", "Bearer writer"); a.status != 200 || a.header.Get("Content-Length") != "3" || a.body != "" {
		t.Errorf("HEAD gets %d %v", a.status, a.header)
	}
	if a := b.do("GET", "/stock/6", "Authorization", "Bearer reader"); a.body != "old" {
		t.Errorf("another resource is %q", a.body)
	}
	b.counter.set(b.counter.last().ID, writebehind.Done)
	if a := b.do("GET", "/stock/5", "Authorization", "Bearer reader"); a.body != "old" {
		t.Errorf("after it is done the origin is not asked: %q", a.body)
	}
}

// What is no whole representation is not shown: the read waits until it is done, and then asks anew.
func TestReadsWait(t *testing.T) {
	for name, pending := range map[string]writebehind.ReadPending{"wait": writebehind.Wait, "overlay": writebehind.Overlay} {
		t.Run(name, func(t *testing.T) {
			b := newBehindRig(t, registers(nil), func(r *writebehind.Rules, _ *rigOptions) { r.ReadPending = pending })
			b.do("GET", "/stock/5")
			b.settle(t)
			b.send("POST", "/stock/5", "new")
			done := make(chan answer)
			go func() { done <- b.do("GET", "/stock/5") }()
			select {
			case a := <-done:
				t.Fatalf("it does not wait: %d %q", a.status, a.body)
			case <-time.After(20 * time.Millisecond):
			}
			if try := BehindOf(b.proxy).Send(t.Context(), b.queued(), 1, func() bool { return true }); !try.Confirmed {
				t.Fatal(try)
			}
			b.counter.set(b.counter.last().ID, writebehind.Done)
			if a := <-done; a.body != "new" {
				t.Errorf("it reads %q", a.body)
			}
			b.counter.fail(errors.New("down"))
			if a := b.do("GET", "/stock/5"); a.status != 503 {
				t.Errorf("where nobody knows what is pending: %d", a.status)
			}
		})
	}
}

func TestReadsDoNotWait(t *testing.T) {
	b := newBehindRig(t, registers(nil), nil)
	b.send("PUT", "/stock/5", "new")
	b.counter.fail(errors.New("down"))
	if a := b.do("GET", "/stock/5"); a.status != 404 {
		t.Errorf("%d %q", a.status, a.body)
	}
}
