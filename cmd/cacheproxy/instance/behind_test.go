package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"cacheproxy/admin"
	"cacheproxy/policy"
	"cacheproxy/test/servers"
)

const queuedRoutes = `
upstreams: [{name: api, url: %q}]
routes:
  - name: stock
    match: ["GET /stock/{sku}", "PUT /stock/{sku}", "POST /stock/{sku}"]
    policy: write-behind
    write_behind: {status_path: /_writes/, authorize: none, durability: %s}
`

func queueMember(t *testing.T, v *servers.ValkeyServer, durability string, api http.HandlerFunc) *member {
	t.Helper()
	back := httptest.NewServer(api)
	t.Cleanup(back.Close)
	m := newMember(t, fmt.Sprintf("url: \"valkey://%s\", lease: 1s, secrets: [%s]", v.Address(), strings.Repeat("s", 32)))
	m.join()
	t.Cleanup(m.behind.end) // before the proxy, as an instance that stops does it
	m.with(fmt.Sprintf("valkey: {url: \"valkey://%s\", lease: 1s, secrets: [%s]}\n", v.Address(), strings.Repeat("s", 32)) + fmt.Sprintf(queuedRoutes, back.URL, durability))
	return m
}

// A write is accepted, made, and done; one that the API refuses waits for an operator, and so does one of which nobody knows anything.
func TestQueuedWrites(t *testing.T) {
	v := servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--appendonly", "yes"}})
	var mu sync.Mutex
	var seen []string
	codes := map[string]int{"/stock/refused": 409, "/stock/unknown": 500}
	m := queueMember(t, v, "fsync", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.Method != http.MethodGet {
			seen = append(seen, r.Method+" "+r.URL.Path)
		}
		if code := codes[r.URL.Path]; code != 0 {
			w.WriteHeader(code)
		}
	})
	var w *httptest.ResponseRecorder
	until(t, "the route accepts writes", func() bool {
		w = m.ask("PUT", "/stock/5", "one")
		return w.Code == 202
	})
	state := func(location string) string {
		var s struct{ State string }
		if err := json.Unmarshal(m.ask("GET", location, "").Body.Bytes(), &s); err != nil {
			t.Error(err)
		}
		return s.State
	}
	until(t, "it is done", func() bool { return state(w.Header().Get("Location")) == "done" })
	refused := m.ask("PUT", "/stock/refused", "x").Header().Get("Location")
	unknown := m.ask("POST", "/stock/unknown", "x").Header().Get("Location")
	behind := m.ask("PUT", "/stock/unknown", "y").Header().Get("Location")
	until(t, "both are dead letters", func() bool { return state(refused) == "dead" && state(unknown) == "dead" })
	call := func(method, target string) string {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, target, nil)
		r.RemoteAddr, r.Host = "127.0.0.1:1", "127.0.0.1"
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 2}))
		m.calls.ServeHTTP(w, r)
		return fmt.Sprint(w.Code, " ", w.Body)
	}
	if failed := regexp.MustCompile(`(?m)^cacheproxy_valkey_errors_total\{.*op="queue_.* [1-9]\d*$`).FindAllString(call("GET", "/metrics"), -1); len(failed) > 0 {
		t.Errorf("the server was there all the time: %v", failed)
	}
	if list := call("GET", "/writes"); !strings.Contains(list, `"path":"/stock/unknown"`) || !strings.Contains(list, `"blocks":true`) || strings.Count(list, `"id"`) != 2 {
		t.Errorf("dead letters: %s", list)
	}
	if got := state(behind); got != "queued" {
		t.Errorf("what waits for a decision is %q", got)
	}
	if got := call("POST", strings.Replace(refused, "/_writes/", "/writes/", 1)+"/retry"); !strings.HasPrefix(got, "200") {
		t.Errorf("retry: %s", got)
	}
	until(t, "it is tried again, and refused", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.Count(strings.Join(seen, " "), "PUT /stock/refused") == 2
	})
	mu.Lock()
	delete(codes, "/stock/unknown")
	mu.Unlock()
	if got := call("DELETE", strings.Replace(unknown, "/_writes/", "/writes/", 1)); !strings.HasPrefix(got, "200") {
		t.Errorf("drop: %s", got)
	}
	until(t, "what waited is done", func() bool { return state(behind) == "done" })
	if got := call("DELETE", strings.Replace(unknown, "/_writes/", "/writes/", 1)); !strings.HasPrefix(got, "409") {
		t.Errorf("drop once more: %s", got)
	}
	if err := m.refuseMode(admin.ModeOrder{Route: "stock", Mode: policy.On, Share: 0.1}); err == nil {
		t.Error("the mode can be for a share")
	}
	if err := m.refuseMode(admin.ModeOrder{Route: "stock", Mode: policy.Off, Share: 1}); err != nil {
		t.Error(err)
	}
	until(t, "the metrics tell of it", func() bool {
		m.behind.count(t.Context())
		text := call("GET", "/metrics")
		return strings.Contains(text, "cacheproxy_write_behind_dead_letters 1") && strings.Contains(text, `cacheproxy_write_behind_queued{route="stock"} 1`)
	})
}

// A start, and a reload, is refused where the server cannot keep what a route promises.
func TestQueueNeedsADisk(t *testing.T) {
	v := servers.Valkey(t, servers.ValkeyOptions{})
	m := newMember(t, fmt.Sprintf("url: \"valkey://%s\", lease: 1s, secrets: [%s]", v.Address(), strings.Repeat("s", 32)))
	m.join()
	m.write(fmt.Sprintf("valkey: {url: \"valkey://%s\", lease: 1s, secrets: [%s]}\n", v.Address(), strings.Repeat("s", 32)) + fmt.Sprintf(queuedRoutes, m.url, "fsync"))
	if _, err := m.reload(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "appendonly") {
		t.Errorf("reload: %v", err)
	}
	next, _, err := m.generations.source.Read()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := m.behind.fits(ctx, next); err == nil || !strings.Contains(err.Error(), "appendonly") {
		t.Errorf("start: %v", err)
	}
	alone := newReloading(t)
	if err := alone.behind.fits(ctx, next); err == nil || !strings.Contains(err.Error(), "restart") {
		t.Errorf("without Valkey at the start: %v", err)
	}
}
