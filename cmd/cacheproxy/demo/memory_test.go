package demo_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/bubbles"
)

func ask(t *testing.T, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return w
}

func TestMemoryTakesItsLatency(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		started := time.Now()
		if w := ask(t, demo.New(demo.NewMemory(1, time.Second), demo.Options{}), "GET", "/products/1", ""); w.Code != 200 || time.Since(started) != time.Second {
			t.Errorf("status %d after %v, want 200 after 1s", w.Code, time.Since(started))
		}
	})
}

func TestMemoryStopsWithTheRequest(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		started := time.Now()
		w := httptest.NewRecorder()
		demo.New(demo.NewMemory(1, time.Hour), demo.Options{}).ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", "/products/1", nil))
		if time.Since(started) != time.Second || w.Body.Len() != 0 {
			t.Errorf("answered %q after %v, want nothing after 1s", w.Body, time.Since(started))
		}
	})
}

func TestScores(t *testing.T) {
	shop := demo.New(demo.NewMemory(1, 0), demo.Options{})
	for body, want := range map[string]int{`{"player":"ada","score":7}`: 200, `{"player":"ada","score":3}`: 200, `{"player":"bob","score":9}`: 200, `{"player":"","score":1}`: 400, `{"player":"x"}`: 400} {
		if w := ask(t, shop, "POST", "/games/chess/scores", body); w.Code != want {
			t.Errorf("%s: %d", body, w.Code)
		}
	}
	const want = `{"entries":[{"rank":1,"player":"bob","score":9},{"rank":2,"player":"ada","score":7}],"players":2}`
	if w := ask(t, shop, "GET", "/games/chess/leaderboard", ""); strings.TrimSpace(w.Body.String()) != want {
		t.Error(w.Body)
	}
	if w := ask(t, shop, "GET", "/games/chess", ""); w.Code != 200 || !strings.Contains(w.Body.String(), "<table>") {
		t.Error(w.Code)
	}
}
