package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"cacheproxy/test/servers"
)

// routeName and stockName are the routes whose outcomes are counted.
const (
	routeName = "product"
	stockName = "stock"
)

// configuration is the proxy's configuration. The shop sends the lifetime of its products itself; ttl is only there for
// the reader.
const configuration = `drain_delay: 0s
memory: {size: 1GiB}
upstreams:
  - name: shop
    url: %s
    timeout: 5s
    max_in_flight: 64
routes:
  - name: ` + routeName + `
    match: GET /products/{id}
    upstream: shop
    policy: cache-aside
    key: v2:product:{id}
    ttl: %s
  - name: ` + stockName + `
    match: ["GET /inventory/{sku}", "PUT /inventory/{sku}"]
    upstream: shop
    policy: write-through
    key: stock:{sku}
    ttl: 60s
`

// cacheproxy is a running proxy.
type cacheproxy struct {
	*servers.Cacheproxy
	client *http.Client
}

func startProxy(ctx context.Context, binary, dir, origin string, ttl time.Duration) (*cacheproxy, error) {
	p, err := servers.StartCacheproxy(ctx, binary, dir, fmt.Sprintf(configuration, origin, ttl))
	if err != nil {
		return nil, err
	}
	return &cacheproxy{p, &http.Client{Timeout: 10 * time.Second}}, nil
}

func (p *cacheproxy) stop() error {
	p.client.CloseIdleConnections()
	return p.Process.Stop()
}

// purge removes the copies of a product. After a nil error no client is served an older copy.
func (p *cacheproxy) purge(ctx context.Context, id int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, fmt.Sprintf("%s/keys/v2:product:%d", p.Admin, id), nil)
	if err != nil {
		return fmt.Errorf("purge product %d: %w", id, err)
	}
	response, err := p.client.Do(request)
	if err != nil {
		return fmt.Errorf("purge product %d: %w", id, err)
	}
	if err := response.Body.Close(); err != nil {
		return fmt.Errorf("purge product %d: %w", id, err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("purge product %d: %s", id, response.Status)
	}
	return nil
}
