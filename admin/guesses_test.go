package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cacheproxy/test/bubbles"
)

// Wrong tokens are answered later and later, from whatever address, right ones never; after a quiet time all is forgotten.
func TestGuessesAreSlowed(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
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
		const guesses = 40
		for n := 1; n <= guesses; n++ {
			want := time.Duration(0)
			if n > freeGuesses {
				want = maxDelay
			}
			from := fmt.Sprintf("[2001:db8::%x]:999", n)
			if status, took := try(from, "wrong"); status != 401 || took != want {
				t.Errorf("guess %d: %d after %v, want %v", n, status, took, want)
			}
			if status, took := try(from, "right"); status != 200 || took != 0 {
				t.Errorf("the right token after %d wrong ones: %d after %v", n, status, took)
			}
		}
		if got, most := strings.Count(l.log.String(), "reason=unknown"), loudRefusals+guesses/int(quietTime/time.Second); got < loudRefusals || got > most {
			t.Errorf("%d lines in the log, want %d to %d", got, loudRefusals, most)
		}
		if len(l.refused) != guesses {
			t.Errorf("%d counted", len(l.refused))
		}
		<-time.After(2 * time.Second)
		if _, took := try("[2001:db8::1]:999", "wrong"); took != 0 {
			t.Errorf("after a quiet time the first guess waits %v", took)
		}
	})
}

// However many guess at a time, only so many answers are held back, none for long, and a minute later all is forgotten.
func TestGuessesAreBounded(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		g := newGuesses()
		for n := range 3 * maxDebt {
			if d := g.delay(time.Now()); d > maxDelay || n > freeGuesses && d != maxDelay {
				t.Errorf("guess %d at once waits %v", n+1, d)
			}
		}
		<-time.After((maxDebt + freeGuesses) * time.Second)
		for n := range freeGuesses {
			if d := g.delay(time.Now()); d != 0 {
				t.Errorf("after a minute guess %d waits %v", n+1, d)
			}
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
		if len(g.held) != 0 {
			t.Errorf("%d places are not given back", len(g.held))
		}
	})
}

// Calls without any token do not fill the log either, and do not slow down who then presents one; a token that is known but
// not allowed this is in the log each time.
func TestRefusalsAreThinned(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		l := newListener(Token{Name: "sre", Secret: "right", Allow: ScopeRead})
		h := New(l.Options)
		for _, c := range []struct {
			authorization string
			lines         int
		}{{"", loudRefusals}, {"Basic x", 0}, {"Bearer right", 100}} {
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
	})
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
