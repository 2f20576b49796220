package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"cacheproxy/test/servers"
)

// routeName is the route whose outcomes are counted.
const routeName = "product"

// configuration is that of the proxy. The shop names the lifetime of its
// products itself; ttl is only there to be seen.
const configuration = `listen: 127.0.0.1:%d
drain_delay: 0s
admin: {listen: "127.0.0.1:%d"}
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
`

// cacheproxy is a running proxy.
type cacheproxy struct {
	process    *servers.Process
	url, admin string
	client     *http.Client
}

// buildProxy builds the proxy into dir.
func buildProxy(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "cacheproxy")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "cacheproxy/cmd/cacheproxy")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build cacheproxy: %w:\n%s", err, out)
	}
	return binary, nil
}

func startProxy(ctx context.Context, binary, dir, origin string, ttl time.Duration) (*cacheproxy, error) {
	port, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	adminPort, err := servers.FreePort()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "cacheproxy.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration, port, adminPort, origin, ttl), 0o600); err != nil {
		return nil, fmt.Errorf("write configuration of cacheproxy: %w", err)
	}
	process, err := servers.StartProcess(ctx, servers.Command{
		Path: binary, Args: []string{"serve", "--config", file}, Interrupt: syscall.SIGTERM,
	})
	if err != nil {
		return nil, err
	}
	p := &cacheproxy{
		process: process,
		url:     fmt.Sprintf("http://127.0.0.1:%d", port),
		admin:   fmt.Sprintf("http://127.0.0.1:%d", adminPort),
		client:  &http.Client{Timeout: 10 * time.Second},
	}
	if err := p.awaitReady(ctx); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

func (p *cacheproxy) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.admin+"/readyz", nil)
		if err != nil {
			return fmt.Errorf("wait for cacheproxy: %w", err)
		}
		if response, err := p.client.Do(request); err == nil {
			err = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return err
			}
		}
		select {
		case <-again.C:
		case <-p.process.Done():
			return fmt.Errorf("wait for cacheproxy: it ended; its last output:\n%s", p.process.Output())
		case <-ctx.Done():
			return fmt.Errorf("wait for cacheproxy: %w; its last output:\n%s", ctx.Err(), p.process.Output())
		}
	}
}

func (p *cacheproxy) stop() error {
	p.client.CloseIdleConnections()
	return p.process.Stop()
}

// purge removes the copies of a product. A nil error means that from now on
// nobody is served an older one.
func (p *cacheproxy) purge(ctx context.Context, id int) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodDelete, fmt.Sprintf("%s/keys/v2:product:%d", p.admin, id), nil)
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
