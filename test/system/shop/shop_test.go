package shop_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/servers"
	"cacheproxy/test/system/shop"
)

const products = 1000

// open makes a shop with a fresh database and returns where it listens.
func open(t *testing.T, options demo.Options) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := shop.Open(ctx, servers.Postgres(t)+"&pool_max_conns=16")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if created, err := db.Created(ctx); err != nil || created {
		t.Fatalf("a new database has tables: %v, %v", created, err)
	}
	if err := db.Create(ctx, products); err != nil {
		t.Fatal(err)
	}
	if created, err := db.Created(ctx); err != nil || !created {
		t.Fatalf("a filled database has tables: %v, %v", created, err)
	}
	server := httptest.NewServer(demo.New(db, options))
	t.Cleanup(server.Close)
	return server.URL
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

func send(t *testing.T, method, url, body string, header ...string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(got)}
}

func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("status %d, body %q: %v", a.status, a.body, err)
	}
	return v
}

func TestShop(t *testing.T) {
	url := open(t, demo.Options{MaxAge: 10 * time.Minute})
	t.Run("a product", func(t *testing.T) { testProduct(t, url) })
	t.Run("edits are visible", func(t *testing.T) { testEdits(t, url) })
	t.Run("lists", func(t *testing.T) { testLists(t, url) })
	t.Run("stock", func(t *testing.T) { testStock(t, url) })
	t.Run("checkout", func(t *testing.T) { testCheckout(t, url) })
	t.Run("statuses", func(t *testing.T) { testStatuses(t, url) })
}

func testProduct(t *testing.T, url string) {
	got := send(t, "GET", url+"/products/17", "")
	if got.status != 200 || len(got.body) < 1700 || len(got.body) > 2500 {
		t.Errorf("status %d with %d bytes, want 200 with about 2 KiB", got.status, len(got.body))
	}
	for name, want := range map[string]string{
		"Content-Type": "application/json", "Cache-Control": "public, max-age=600",
		"Surrogate-Key": "product:17 category:38",
	} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	p := decode[demo.Product](t, got)
	if p.SKU != "P0000017" || len(p.Media) != 3 || p.Category.Parent.Name != "Department 19" || p.Price.Tax.RatePermille != 190 ||
		p.Availability != "in_stock" || p.Reviews.Count != 17%3+17%5+17%11+17%37+17%101 {
		t.Errorf("product is %+v", p)
	}
	again := send(t, "GET", url+"/products/17", "", "If-None-Match", got.header.Get("ETag"))
	if again.status != 304 || again.body != "" {
		t.Errorf("with its ETag: status %d and %d bytes, want 304 and none", again.status, len(again.body))
	}
	if head := send(t, "HEAD", url+"/products/17", ""); head.status != 200 || head.header.Get("ETag") != got.header.Get("ETag") {
		t.Errorf("HEAD: status %d, ETag %s", head.status, head.header.Get("ETag"))
	}
}

func testEdits(t *testing.T, url string) {
	before := send(t, "GET", url+"/products/5", "")
	edited := send(t, "PATCH", url+"/products/5", `{"amount_cents": 4242, "category_id": 30}`)
	after := send(t, "GET", url+"/products/5", "")
	if edited.status != 200 || edited.body != after.body || edited.header.Get("Content-Location") != "/products/5" {
		t.Errorf("PATCH answered %d with %q, GET afterwards %q", edited.status, edited.body, after.body)
	}
	p := decode[demo.Product](t, after)
	if p.Price.AmountCents != 4242 || p.Category.ID != 30 || p.Title != "Product 5" || p.Version != 2 {
		t.Errorf("after the edit the product is %+v", p)
	}
	if before.header.Get("ETag") == after.header.Get("ETag") {
		t.Error("the edit did not change the ETag")
	}
	put := send(t, "PUT", url+"/products/5", `{"title":"T","summary":"S","description":"D","category_id":31,"amount_cents":7}`)
	if p := decode[demo.Product](t, put); put.status != 200 || p.Title != "T" || p.Description != "D" || p.Version != 3 {
		t.Errorf("PUT: status %d, product %+v", put.status, p)
	}
	if got := send(t, "DELETE", url+"/products/6", ""); got.status != 204 {
		t.Errorf("DELETE: status %d", got.status)
	}
	for _, gone := range []string{"/products/6", "/inventory/P0000006"} {
		if got := send(t, "GET", url+gone, ""); got.status != 404 {
			t.Errorf("%s of a deleted product: status %d", gone, got.status)
		}
	}
}

func testLists(t *testing.T, url string) {
	list := decode[demo.List](t, send(t, "GET", url+"/products?sort=-price&page=2", ""))
	if len(list.Items) != 20 || list.Page != 2 || list.Next == nil || *list.Next != 3 {
		t.Errorf("page 2 has %d items, next %v", len(list.Items), list.Next)
	}
	for i := 1; i < len(list.Items); i++ {
		if list.Items[i-1].AmountCents < list.Items[i].AmountCents {
			t.Errorf("item %d is dearer than the one before it", i)
		}
	}
	if last := decode[demo.List](t, send(t, "GET", url+"/products?page=51", "")); last.Next != nil || len(last.Items) != 0 {
		t.Errorf("past the end: %+v", last)
	}
}

func testStock(t *testing.T, url string) {
	stock := url + "/inventory/P0000020"
	for _, step := range []struct {
		method, path, body string
		status             int
		onHand, reserved   int64
	}{
		{"PUT", "", `{"on_hand": 10}`, 200, 10, 0},
		{"POST", "/adjust", `{"delta": -3}`, 200, 7, 0},
		{"POST", "/reserve", `{"quantity": 5}`, 200, 7, 5},
		{"POST", "/reserve", `{"quantity": 3}`, 409, 7, 5},
		{"POST", "/adjust", `{"delta": -3}`, 409, 7, 5},
		{"PUT", "", `{"on_hand": 4}`, 409, 7, 5},
		{"POST", "/release", `{"quantity": 6}`, 409, 7, 5},
		{"POST", "/release", `{"quantity": 5}`, 200, 7, 0},
	} {
		got := send(t, step.method, stock+step.path, step.body)
		if got.status != step.status {
			t.Errorf("%s %s: status %d, want %d: %s", step.path, step.body, got.status, step.status, got.body)
		}
		now := send(t, "GET", stock, "")
		want := demo.Stock{SKU: "P0000020", OnHand: step.onHand, Reserved: step.reserved, Available: step.onHand - step.reserved}
		if s := decode[demo.Stock](t, now); s != want {
			t.Errorf("after %s %s: %+v, want %+v", step.path, step.body, s, want)
		}
		if got.status == 200 && (got.body != now.body || got.header.Get("Content-Location") != "/inventory/P0000020") {
			t.Errorf("%s answered %q, GET afterwards %q", step.path, got.body, now.body)
		}
	}
}

func testCheckout(t *testing.T, url string) {
	for sku, n := range map[string]int{"P0000030": 5, "P0000031": 1} {
		send(t, "PUT", url+"/inventory/"+sku, fmt.Sprintf(`{"on_hand": %d}`, n))
	}
	onHand := func(sku string) int64 {
		return decode[demo.Stock](t, send(t, "GET", url+"/inventory/"+sku, "")).OnHand
	}
	short := send(t, "POST", url+"/checkout", `{"items":[{"sku":"P0000030","quantity":2},{"sku":"P0000031","quantity":2}]}`)
	if short.status != 409 || onHand("P0000030") != 5 {
		t.Errorf("short checkout: status %d, and %d of the other item left, want 409 and all 5", short.status, onHand("P0000030"))
	}
	got := send(t, "POST", url+"/checkout",
		`{"items":[{"sku":"P0000031","quantity":1},{"sku":"P0000030","quantity":1},{"sku":"P0000030","quantity":2}]}`)
	if got.status != 201 || onHand("P0000030") != 2 || onHand("P0000031") != 0 {
		t.Errorf("checkout: %d %s, left %d and %d", got.status, got.body, onHand("P0000030"), onHand("P0000031"))
	}
	price := func(id int64) int64 { return 199 + id*7919%20000 }
	if order := decode[demo.Order](t, got); order.TotalCents != 3*price(30)+price(31) || len(order.Items) != 2 {
		t.Errorf("order is %+v", order)
	}
}

func testStatuses(t *testing.T, url string) {
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"GET", "/healthz", "", 200},
		{"GET", "/products/1000000", "", 404},
		{"GET", "/products/x", "", 400},
		{"GET", "/products/0", "", 400},
		{"GET", "/products?sort=colour", "", 400},
		{"GET", "/products?page=0", "", 400},
		{"POST", "/products/1", "{}", 405},
		{"PATCH", "/products/1", "{}", 400},
		{"PATCH", "/products/1", `{"colour": "red"}`, 400},
		{"PATCH", "/products/1", `{"title": "a"} {}`, 400},
		{"PATCH", "/products/1", `{"category_id": 999999}`, 400},
		{"PATCH", "/products/1", `{"title": "` + strings.Repeat("a", 70000) + `"}`, 413},
		{"PATCH", "/products/1000000", `{"title": "a"}`, 404},
		{"PUT", "/products/1", `{"title": "a"}`, 400},
		{"DELETE", "/products/1000000", "", 404},
		{"GET", "/inventory/none", "", 404},
		{"GET", "/inventory/%00", "", 404},
		{"GET", "/inventory/%ff", "", 404},
		{"PUT", "/inventory/none", `{"on_hand": 1}`, 404},
		{"PUT", "/inventory/P0000001", `{"on_hand": -1}`, 400},
		{"PUT", "/inventory/P0000001", `{}`, 400},
		{"DELETE", "/inventory/P0000001", "", 405},
		{"POST", "/inventory/P0000001/adjust", `{"delta": 0}`, 400},
		{"POST", "/inventory/P0000001/paint", `{}`, 404},
		{"GET", "/checkout", "", 405},
		{"POST", "/checkout", `{"items":[]}`, 400},
		{"POST", "/checkout", `{"items":[{"sku":"none","quantity":1}]}`, 400},
		{"POST", "/checkout", `{"items":[{"sku":"P0000001","quantity":-1}]}`, 400},
		{"POST", "/checkout", `not JSON`, 400},
	} {
		if got := send(t, c.method, url+c.path, c.body); got.status != c.want {
			t.Errorf("%s %s %.60s: status %d, want %d: %s", c.method, c.path, c.body, got.status, c.want, got.body)
		}
	}
}

func TestMaxAgeZeroSendsNoCacheControl(t *testing.T) {
	got := send(t, "GET", open(t, demo.Options{})+"/products/1", "")
	if v, sent := got.header["Cache-Control"]; sent || got.status != 200 {
		t.Errorf("status %d, Cache-Control %q, want 200 without", got.status, v)
	}
}

func TestProductIsATenWayJoin(t *testing.T) {
	statement, err := os.ReadFile("product.sql")
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(statement), "JOIN "); n != 10 {
		t.Errorf("the product statement has %d joins, want 10", n)
	}
}
