package shop_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/servers"
	"cacheproxy/test/system/shop"
)

func ask(t *testing.T, h http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
	return w
}

// A shop in memory and one on PostgreSQL must look the same from outside:
// both get the same requests, and must give the same answers.
func TestMemoryAnswersLikeTheDatabase(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	db, err := shop.Open(ctx, servers.Postgres(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	const products = 10_000
	if err := db.Create(ctx, products); err != nil {
		t.Fatal(err)
	}
	options := demo.Options{MaxAge: 10 * time.Minute}
	database, memory := demo.New(db, options), demo.New(demo.NewMemory(products, 0), options)
	for _, c := range []struct{ method, path, body string }{
		{"GET", "/healthz", ""},
		{"GET", "/products/17", ""},
		{"HEAD", "/products/17", ""},
		{"GET", "/products/10000", ""},
		{"GET", "/products/10001", ""},
		{"GET", "/products/x", ""},
		{"GET", "/products", ""},
		{"GET", "/products?sort=-price&page=3", ""},
		{"GET", "/products?sort=newest", ""},
		{"GET", "/products?sort=colour", ""},
		{"GET", "/products?page=500", ""},
		{"GET", "/products?page=600", ""},
		{"PUT", "/products/3", `{"title":"T","summary":"S","description":"D","category_id":99,"amount_cents":7}`},
		{"PUT", "/products/3", `{"title":"T"}`},
		{"PATCH", "/products/3", `{}`},
		{"PATCH", "/products/3", `{"category_id":1000}`},
		{"DELETE", "/products/4", ""},
		{"DELETE", "/products/4", ""},
		{"GET", "/products/4", ""},
		{"GET", "/inventory/P0000004", ""},
		{"GET", "/products?sort=price", ""},
		{"GET", "/inventory/P0000005", ""},
		{"PUT", "/inventory/P0000005", `{"on_hand":3}`},
		{"POST", "/inventory/P0000005/adjust", `{"delta":-4}`},
		{"POST", "/inventory/P0000005/reserve", `{"quantity":1}`},
		{"POST", "/inventory/P0000005/release", `{"quantity":2}`},
		{"PUT", "/inventory/P0000005", `{}`},
		{"PUT", "/inventory/none", `{"on_hand":3}`},
		{"GET", "/products/5", ""},
		{"POST", "/checkout", `{"items":[{"sku":"P0000005","quantity":2},{"sku":"P0000001","quantity":1},{"sku":"P0000001","quantity":1}]}`},
		{"POST", "/checkout", `{"items":[{"sku":"P0000001","quantity":1},{"sku":"P0000005","quantity":1}]}`},
		{"POST", "/checkout", `{"items":[{"sku":"none","quantity":1}]}`},
		{"POST", "/checkout", `{"items":[{"sku":"P0000001","quantity":9999},{"sku":"A","quantity":1}]}`},
		{"PUT", "/products/1001", `{"title":"T","summary":"S","description":"D","category_id":21,"amount_cents":1}`},
		{"GET", "/products?sort=price", ""},
		{"POST", "/checkout", `{"items":[]}`},
		{"GET", "/inventory/P0000001", ""},
		{"GET", "/products/5", ""},
		{"PUT", "/checkout", ""},
		{"GET", "/nothing", ""},
	} {
		want, got := ask(t, database, c.method, c.path, c.body), ask(t, memory, c.method, c.path, c.body)
		if got.Code != want.Code {
			t.Errorf("%s %s: status %d, the database's is %d: %s", c.method, c.path, got.Code, want.Code, want.Body)
		}
		for _, name := range []string{"Content-Type", "Cache-Control", "Surrogate-Key", "Content-Location", "Allow"} {
			if g, w := got.Header().Get(name), want.Header().Get(name); g != w {
				t.Errorf("%s %s: %s is %q, the database's %q", c.method, c.path, name, g, w)
			}
		}
		if want.Code < 300 && shapeOf(t, got.Body.Bytes()) != shapeOf(t, want.Body.Bytes()) {
			t.Errorf("%s %s: body\n%s\nthe database's\n%s", c.method, c.path, got.Body, want.Body)
		}
	}
}

// shapeOf is a body without what depends on the clock.
func shapeOf(t *testing.T, body []byte) string {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal(body, &v); err != nil || v["updated_at"] == nil || v["version"] == 1.0 {
		return string(bytes.TrimSpace(body))
	}
	v["updated_at"] = "edited"
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}
