package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestDelays(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1: 0, freeGuesses: 0, freeGuesses + 1: firstDelay, freeGuesses + 2: 2 * firstDelay, freeGuesses + 4: 8 * firstDelay,
		freeGuesses + 6: maxDelay, 1 << 40: maxDelay,
	} {
		if got := delayOf(n); got != want {
			t.Errorf("guess %d: %v, want %v", n, got, want)
		}
	}
}

// Wrong tokens are answered later and later, right ones never; an address that has been quiet is forgotten.
func TestGuessesAreSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newListener(Token{Name: "sre", Secret: "right", Allow: ScopeAll})
		h := New(l.Options)
		try := func(from, secret string) (status int, took time.Duration) {
			start := time.Now()
			r := localRequest("GET", "/config")
			r.RemoteAddr = from
			r.Header.Set("Authorization", "Bearer "+secret)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code, time.Since(start)
		}
		for n := 1; n <= 40; n++ {
			from := fmt.Sprintf("[2001:db8::%x]:999", n) // one network
			if status, took := try(from, "wrong"); status != 401 || took != delayOf(n) {
				t.Errorf("guess %d: %d after %v, want %v", n, status, took, delayOf(n))
			}
		}
		if status, took := try("[2001:db8::1]:999", "right"); status != 200 || took != 0 {
			t.Errorf("the right token: %d after %v", status, took)
		}
		if _, took := try("[2001:db8:0:1::1]:999", "wrong"); took != 0 {
			t.Errorf("another network waits %v", took)
		}
		// Of the 41 guesses, the first ten, the 16th and the 32nd; and the one of the other network.
		if got := strings.Count(l.log.String(), "reason=unknown"); got != 13 {
			t.Errorf("%d lines in the log", got)
		}
		if len(l.refused) != 41 {
			t.Errorf("%d counted", len(l.refused))
		}
		<-time.After(forgetAfter + time.Second)
		if _, took := try("[2001:db8::1]:999", "wrong"); took != 0 {
			t.Errorf("after a quiet minute the first guess waits %v", took)
		}
	})
}

// A flood from many addresses costs a bounded amount of memory, and only so many answers are held back at a time.
func TestGuessesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g guesses
		for i := range 3 * maxGuessers {
			g.note(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 32), true, time.Now())
		}
		if len(g.by) > maxGuessers+1 {
			t.Errorf("%d addresses remembered", len(g.by))
		}
		if n := g.note(netip.MustParsePrefix("192.0.2.1/32"), true, time.Now()).wrong; n < maxGuessers {
			t.Errorf("an address beyond the table has %d guesses: it shares the count of all such", n)
		}
		<-time.After(forgetAfter + time.Second)
		if n := g.note(netip.MustParsePrefix("192.0.2.1/32"), true, time.Now()).wrong; n != 1 || len(g.by) != 1 {
			t.Errorf("after a quiet minute: guess %d of %d addresses", n, len(g.by))
		}

		r := httptest.NewRequest("GET", "/", nil)
		done := make(chan bool, maxHeld)
		for range maxHeld {
			go func() { done <- g.hold(r, maxDelay) }()
		}
		synctest.Wait()
		start := time.Now()
		if g.hold(r, maxDelay) || time.Since(start) != 0 {
			t.Error("one more is held")
		}
		for range maxHeld {
			if !<-done {
				t.Error("one of the first is not held")
			}
		}
		gone, cancel := context.WithCancel(context.Background())
		cancel()
		if start := time.Now(); !g.hold(r.WithContext(gone), maxDelay) || time.Since(start) != 0 {
			t.Error("held for a client that is gone")
		}
		if g.held != 0 {
			t.Errorf("%d places are not given back", g.held)
		}
	})
}

// Calls without any token do not fill the log either, and do not slow down who then presents one; a token that is known but
// not allowed this is in the log each time.
func TestRefusalsAreThinned(t *testing.T) {
	l := newListener(Token{Name: "sre", Secret: "right", Allow: ScopeRead})
	h := New(l.Options)
	for _, c := range []struct {
		authorization string
		lines         int
	}{{"", 10 + 3}, {"Basic x", 1}, {"Bearer right", 100}} { // 16, 32, 64; then 128
		l.log.Reset()
		for range 100 {
			r := localRequest("DELETE", "/keys/a")
			r.Header["Authorization"] = nil
			if c.authorization != "" {
				r.Header.Set("Authorization", c.authorization)
			}
			h.ServeHTTP(httptest.NewRecorder(), r)
		}
		if got := strings.Count(l.log.String(), "refuse admin call"); got != c.lines {
			t.Errorf("%q: %d lines, want %d", c.authorization, got, c.lines)
		}
	}
	if len(l.refused) != 300 {
		t.Errorf("%d counted, want all", len(l.refused))
	}
}

func TestNetworkOf(t *testing.T) {
	for peer, want := range map[string]string{
		"192.0.2.7:80": "192.0.2.7/32", "[::ffff:192.0.2.7]:80": "192.0.2.7/32", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80": "fe80::/64", "unix socket": "invalid Prefix",
	} {
		if got := networkOf(peer).String(); got != want {
			t.Errorf("%s: %s, want %s", peer, got, want)
		}
	}
}

// serveBody serves one call with a token; an empty secret sends none.
func (l *listener) serveBody(method, target, body, secret string) *httptest.ResponseRecorder {
	r := withLocal(httptest.NewRequest(method, target, strings.NewReader(body)), loopback)
	if secret != "" {
		r.Header.Set("Authorization", "Bearer "+secret)
	}
	w := httptest.NewRecorder()
	New(l.Options).ServeHTTP(w, r)
	return w
}

func withLocal(r *http.Request, local any) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, local))
}
