package inventory

import (
	"context"
	"fmt"
	"net/http/httptest"
	"sync"
	"syscall"
	"testing"
	"time"

	"cacheproxy/cmd/cacheproxy/demo"
	"cacheproxy/test/servers"
	"cacheproxy/test/system/shop"
)

// instances is how many proxies share the Valkey.
const instances = 3

// originTimeout is how long a proxy waits for the shop, as the configuration says.
const originTimeout = time.Second

// configuration of each: where Valkey and the shop are, and the policies of both routes.
const configuration = `
drain_delay: 0s
log: {hits: 0%%, others: 0%%, level: error}
valkey: {url: "valkey://%s", prefix: inventory, lease: 1s, timeout: 200ms}
upstreams:
  - {name: shop, url: "%s", timeout: 1s, max_in_flight: 64}
routes:
  - name: stock
    match: ["GET /inventory/{sku}", "PUT /inventory/{sku}"]
    policy: %[3]s
    key: "stock:{sku}"
    ttl: 60s
  - name: checkout
    match: POST /checkout
    policy: %[4]s
    invalidates:
      keys: ["stock:{body.items.#.sku}"]
      otherwise: {routes: [stock]}
`

// scene is what plays: instances before one shop.
type scene struct {
	t      *testing.T
	valkey *servers.ValkeyServer
	origin *origin
	back   *httptest.Server
	text   string
	dirs   []string

	mu      sync.Mutex
	proxies []*servers.Cacheproxy // nil: it is not there; guarded by mu
	broken  sync.WaitGroup        // instances that are killed, and started again
}

// newScene has writes with a fence, or the same without.
func newScene(t *testing.T, fenced bool) *scene {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := shop.Open(ctx, servers.Postgres(t)+"&pool_max_conns=16")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if err := db.Create(ctx, skus); err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, origin: &origin{shop: demo.New(db, demo.Options{})}, proxies: make([]*servers.Cacheproxy, instances)}
	s.valkey = servers.Valkey(t, servers.ValkeyOptions{Args: []string{"--appendonly", "yes", "--appendfsync", "everysec"}})
	s.origin.kill = func(i int) { s.kill(i) }
	s.back = httptest.NewServer(s.origin)
	t.Cleanup(s.back.Close)
	stock, checkout := "write-through", "write-through"
	if !fenced {
		stock, checkout = "cache-aside", "bypass"
	}
	s.text = fmt.Sprintf(configuration, s.valkey.Address(), s.back.URL, stock, checkout)
	for i := range s.proxies {
		s.dirs = append(s.dirs, t.TempDir())
		s.start(i)
	}
	t.Cleanup(func() {
		s.broken.Wait()
		for _, p := range s.proxies {
			if p != nil {
				_ = p.Process.Stop() // its exit status says nothing here
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return s
}

func (s *scene) start(i int) {
	p, err := servers.StartCacheproxy(context.Background(), program, s.dirs[i], s.text)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.proxies[i] = p
}

// kill ends an instance at once, in the middle of what it does, and starts another in its place. It returns when the process has ended.
func (s *scene) kill(i int) {
	s.mu.Lock()
	p := s.proxies[i]
	s.proxies[i] = nil
	s.mu.Unlock()
	if p == nil {
		return
	}
	if err := p.Process.Signal(syscall.SIGKILL); err != nil {
		s.t.Error(err)
	}
	<-p.Process.Done()
	s.broken.Go(func() { s.start(i) })
}

// freeze has an instance stand still for longer than its lease.
func (s *scene) freeze(i int, d time.Duration) {
	p := s.at(i)
	if p == nil {
		return
	}
	_ = p.Process.Signal(syscall.SIGSTOP) // it may be gone by now
	<-time.After(d)
	_ = p.Process.Signal(syscall.SIGCONT)
}

func (s *scene) restartValkey() {
	s.valkey.Kill()
	<-time.After(300 * time.Millisecond)
	if err := s.valkey.Start(context.Background()); err != nil {
		s.t.Error(err)
	}
}

func (s *scene) at(i int) *servers.Cacheproxy {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proxies[i]
}
