package bench

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"
)

// A request of the load is one that any client might send: a field that no route lists would send it past the cache, and what is measured
// then is no cache.
func TestAttackSendsNothingOfItsOwn(t *testing.T) {
	var requests, marked atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		for name := range r.Header {
			if strings.HasPrefix(name, "X-") {
				marked.Add(1)
			}
		}
	}))
	defer server.Close()
	target := func(t *vegeta.Target) error {
		t.Method, t.URL = http.MethodGet, server.URL
		return nil
	}
	Attack{Targets: target, Pacer: EverySecond(100), For: 100 * time.Millisecond, Workers: 1, Most: 1}.Run(context.Background(), func(*vegeta.Result) {})
	if requests.Load() == 0 || marked.Load() > 0 {
		t.Errorf("%d requests, %d fields of the load generator", requests.Load(), marked.Load())
	}
}
