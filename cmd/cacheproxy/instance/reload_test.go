package instance

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cacheproxy/config"
	"cacheproxy/observe"
	"cacheproxy/policy"
	"cacheproxy/proxy/upstream"
)

// reloading is an instance whose configuration is read again and again; it opens no socket.
type reloading struct {
	*Instance
	t    *testing.T
	file string
	url  string // of the origin, which tells what it was asked
}

const reloadingRoutes = `
upstreams:
  - {name: a, url: "URL"}
  - {name: b, url: "URL"}
routes: [{name: all, match: "GET /", upstream: a, policy: cache-aside, ttl: 1h}]
`

func newReloading(t *testing.T) *reloading {
	t.Helper()
	return newReloadingWith(t, "", slog.New(slog.DiscardHandler))
}

// newReloadingWith is newReloading with more in its file.
func newReloadingWith(t *testing.T, more string, log *slog.Logger) *reloading {
	t.Helper()
	back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Tags", "t")
		fmt.Fprint(w, r.Method, " ", r.URL.Path, " from ", r.Header.Get("X-Forwarded-For"))
	}))
	t.Cleanup(back.Close)
	r := &reloading{t: t, file: filepath.Join(t.TempDir(), "cacheproxy.yaml"), url: back.URL}
	r.write(more)
	source := &config.Source{File: r.file}
	s, _, err := source.Read()
	if err != nil {
		t.Fatal(err)
	}
	if r.Instance, err = New(Options{Config: s, Source: source, Logs: logTo(log), AccessLog: io.Discard}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.proxy.Close()
		for _, up := range r.upstreams.now {
			up.Retire()
		}
	})
	return r
}

// write writes the file: what is usual, and more in place of or beside it.
func (r *reloading) write(more string) {
	r.t.Helper()
	text := strings.ReplaceAll(reloadingRoutes, "URL", r.url) + more
	if strings.Contains(more, "upstreams:") {
		text = more
	}
	if err := os.WriteFile(r.file, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reloading) with(more string) {
	r.t.Helper()
	r.write(more)
	if _, err := r.reload(r.t.Context(), "test"); err != nil {
		r.t.Fatal(err)
	}
}

func (r *reloading) ask(method, target, body string, fields ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, target, strings.NewReader(body))
	req.RemoteAddr = "192.0.2.1:1234"
	for i := 0; i+1 < len(fields); i += 2 {
		req.Header.Set(fields[i], fields[i+1])
	}
	w := httptest.NewRecorder()
	if strings.HasPrefix(target, "/config") {
		r.calls.ServeHTTP(w, req)
	} else {
		r.proxy.ServeHTTP(w, req)
	}
	return w
}

func status(w *httptest.ResponseRecorder) string {
	return fmt.Sprint(w.Code, " ", w.Header().Get("Cache-Status"))
}

// inForce shows, for every key at the top that a reload changes, that it does: what is written, and what is seen of it.
// Those of the start are never given here.
var inForce = map[string]struct {
	after string
	seen  func(r *reloading) string
	want  string
}{
	"trusted_proxies": {"trusted_proxies: [192.0.2.0/24]", func(r *reloading) string {
		return r.ask("POST", "/x", "", "X-Forwarded-For", "203.0.113.9").Body.String()
	}, "POST /x from 203.0.113.9, 192.0.2.1"},
	"cache_status": {"cache_status: off", func(r *reloading) string {
		return fmt.Sprint(len(r.ask("GET", "/k", "").Header()["Cache-Status"]))
	}, "0"},
	"cache_status_key": {"cache_status_key: true", func(r *reloading) string {
		return fmt.Sprint(strings.Contains(status(r.ask("GET", "/k", "")), "key="))
	}, "true"},
	"tag_headers": {"tag_headers: [X-Tags]", func(r *reloading) string {
		return fmt.Sprintf("tags %q", r.ask("GET", "/t", "").Header()["X-Tags"])
	}, "tags []"},
	"limits": {"limits: {max_body: 3}", func(r *reloading) string { return fmt.Sprint(r.ask("POST", "/x", "four").Code) }, "413"},
	"admin": {"admin: {tokens: [{name: a, token: 0123456789abcdef, allow: [read]}]}", func(r *reloading) string {
		return fmt.Sprint(r.ask("GET", "/config", "", "Authorization", "Bearer 0123456789abcdef").Code)
	}, "200"},
	"log": {"log: {level: error, hits: 100%}", func(r *reloading) string {
		return fmt.Sprint(r.generations.level.Level(), " ", r.access.Sampled(&observe.Record{Outcome: policy.Hit}))
	}, "ERROR true"},
	"memory": {"memory: {size: 4MiB, max_object: 5B}", func(r *reloading) string {
		target := fmt.Sprint("/large/", r.generations.number) // what is stored stays
		r.ask("GET", target, "")
		return fmt.Sprint(r.memory.Budget().Reserve(2<<20), " ", strings.Contains(status(r.ask("GET", target, "")), "hit;"))
	}, "false false"},
	"upstreams": {strings.ReplaceAll(reloadingRoutes, `"URL"`, `"http://127.0.0.1:1"`), func(r *reloading) string {
		return fmt.Sprint(r.ask("GET", "/u", "").Code)
	}, "502"},
	"shared_limits": {"shared_limits: [{name: db, max_in_flight: 3}]\n" + strings.ReplaceAll(reloadingRoutes, `url: "URL"}`, `url: "URL", limit: db}`), func(r *reloading) string {
		return fmt.Sprint(r.upstreams.now[0].Limited(), " ", r.upstreams.now[1].Limit())
	}, "true db"},
	"routes": {strings.ReplaceAll(reloadingRoutes, "match: \"GET /\"", "match: GET /none/"), func(r *reloading) string {
		r.ask("GET", "/r", "")
		return status(r.ask("GET", "/r", ""))
	}, "200 cacheproxy; fwd=bypass"},
}

// elsewhere names what shows the keys that a test without sockets cannot.
var elsewhere = []string{
	"tls", "drain_delay", "shutdown_timeout", // test/system/e2e: TestCertificateRotation, TestReloadBeforeExit
	"postgres",          // test/system/e2e: TestReloadOfTheFeed
	"valkey", "records", // but for their client certificates: TestClientCertificates
}

func TestEveryKeyReloadsOrSaysThatItDoesNot(t *testing.T) {
	for _, key := range config.Keys() {
		test, shown := inForce[key]
		if !shown {
			if !slices.Contains(config.RestartKeys(), key) && !slices.Contains(elsewhere, key) {
				t.Errorf("%s: show that a reload changes it, here, or list it as needing a restart, in config/changes.go", key)
			}
			continue
		}
		t.Run(key, func(t *testing.T) {
			r := newReloading(t)
			if before := test.seen(r); strings.HasPrefix(before, test.want) {
				t.Fatalf("%s before", before)
			}
			r.with(strings.ReplaceAll(test.after, "URL", r.url))
			if after := test.seen(r); !strings.HasPrefix(after, test.want) {
				t.Errorf("%s, want %s", after, test.want)
			}
		})
	}
}

// An upstream that stays as it was is the same, and one that changes does not double the load on what is behind it.
// Who edits a file and asks at once is told what has changed, once, although the file had been seen to change.
func TestReloadTellsWhatWasFaster(t *testing.T) {
	r := newReloading(t)
	asked := func() string {
		t.Helper()
		done, err := r.reloadAsked(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(done.Recent, done.Changed)
	}
	routes := strings.ReplaceAll(reloadingRoutes, "URL", r.url)
	r.write(routes + "shutdown_timeout: 31s\nlisten: 127.0.0.1:1\n")
	if _, err := r.reload(t.Context(), "file change"); err != nil {
		t.Fatal(err)
	}
	r.write(routes + "shutdown_timeout: 31s\ndrain_delay: 1s\n")
	if got := asked(); !strings.HasPrefix(got, "[") || !strings.Contains(got, "shutdown_timeout") || !strings.Contains(got, "drain_delay") || strings.Contains(got, "listen") {
		t.Errorf("told %s", got)
	}
	if got := asked(); got != "[] []" {
		t.Errorf("told again: %s", got)
	}
	r.with(routes)
	r.generations.since = r.generations.since.Add(-justNow)
	if got := asked(); got != "[] []" {
		t.Errorf("told of what came into force long before: %s", got)
	}
}

func TestReloadOfUpstreams(t *testing.T) {
	r := newReloading(t)
	a, b := r.upstreams.now[0], r.upstreams.now[1]
	slot, err := b.Acquire(t.Context(), upstream.Place{})
	if err != nil {
		t.Fatal(err)
	}
	r.with(strings.ReplaceAll(strings.Replace(reloadingRoutes, `{name: b, url: "URL"}`, `{name: b, url: "URL", max_in_flight: 7, timeout: 7s}`, 1), "URL", r.url))
	now := r.upstreams.now
	if now[0] != a {
		t.Error("the upstream that has not changed was replaced")
	}
	if now[1] == b || now[1].InFlight() != 1 {
		t.Errorf("the upstream that has changed: the same %v, %d in flight", now[1] == b, now[1].InFlight())
	}
	slot.Release()
	if n := now[1].InFlight(); n != 0 {
		t.Errorf("%d in flight", n)
	}
	r.with(strings.ReplaceAll("upstreams: [{name: a, url: \"URL\"}]\nroutes: [{name: all, match: \"GET /\", upstream: a, policy: cache-aside, ttl: 1h}]\n", "URL", r.url))
	if len(r.upstreams.now) != 1 || r.upstreams.now[0] != a {
		t.Error("the upstream that stays was replaced")
	}
}

// Upstreams that share a limit have it together from the reload on that names it, and with those that come later.
func TestReloadOfSharedLimits(t *testing.T) {
	r := newReloading(t)
	shared := func(most int, names ...string) {
		t.Helper()
		text := fmt.Sprintf("shared_limits: [{name: db, max_in_flight: %d, max_queue: 0}]\nupstreams:\n", most)
		for _, name := range names {
			text += fmt.Sprintf("  - {name: %s, url: %q, limit: db}\n", name, r.url)
		}
		r.with(text + "routes: [{name: all, match: \"GET /\", upstream: a, policy: cache-aside, ttl: 1h}]\n")
	}
	take := func(i int) *upstream.Slot {
		slot, err := r.upstreams.now[i].Acquire(t.Context(), upstream.Place{})
		if err != nil {
			return nil
		}
		return slot
	}
	shared(1, "a", "b")
	first := take(0)
	if first == nil || take(1) != nil {
		t.Fatal("a and b do not share the limit")
	}
	before := r.upstreams.now[0]
	shared(1, "a", "b", "c")
	if r.upstreams.now[0] != before || take(2) != nil {
		t.Error("c does not share the limit of the others, or these were replaced")
	}
	shared(2, "a", "b", "c")
	second := take(2)
	if second == nil || take(0) != nil || r.upstreams.now[0].InFlight() != 1 {
		t.Error("the limit that was raised is not that of all")
	}
	first.Release()
	second.Release()
}

// What is refused is in the log with its place, and changes nothing.
func TestReloadRefused(t *testing.T) {
	r := newReloading(t)
	var log bytes.Buffer
	r.logs = logTo(slog.New(slog.NewTextHandler(&log, nil)))
	r.write("lisen: :80\n")
	if _, err := r.reload(t.Context(), "test"); err == nil || !strings.Contains(err.Error(), "cacheproxy.yaml:6: lisen: unknown key") {
		t.Errorf("reload: %v", err)
	}
	if !strings.Contains(log.String(), "cacheproxy.yaml:6: lisen: unknown key") {
		t.Errorf("log: %s", log.String())
	}
	if r.generations.number != 1 {
		t.Errorf("generation %d", r.generations.number)
	}
}
