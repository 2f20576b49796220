package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"cacheproxy/test/servers"
)

// kind is a kind of route for writes.
type kind struct {
	name, path string
	direct     bool // past the proxies
}

var kinds = []kind{
	{name: "off", path: "/off/%d"},
	{name: "uncached", path: "/orders/%d"},
	{name: "cached", path: "/items/%d"},
	{name: "fenced", path: "/stock/%d"},
}

// configuration is the configuration of each proxy. A proxy's name in the log is its number.
const configuration = `drain_delay: 0s
memory: {size: 64MiB, max_object: 64KiB}
log: {hits: 0%%, others: 0%%, level: warn}
valkey: {url: "valkey://%s", prefix: writes, instance: p%d}
upstreams:
  - {name: origin, url: "%s"}
routes:
  - {name: off, match: "/off/{id}", policy: cache-aside, ttl: 10m, mode: off}
  - {name: orders, match: "POST /orders/{id}", policy: bypass}
  - {name: item, match: "/items/{id}", policy: cache-aside, ttl: 10m}
  - {name: stock, match: "/stock/{id}", policy: write-through, ttl: 10m}
`

// fleet is the system under test.
type fleet struct {
	valkey  *servers.ValkeyServer
	origin  *httptest.Server
	proxies []*servers.Cacheproxy
	idle    work // in a second without writes
}

func startFleet(ctx context.Context, o options, binary, dir string) (_ *fleet, err error) {
	fl := &fleet{origin: httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))}
	defer func() {
		if err != nil {
			err = errors.Join(err, fl.stop())
		}
	}()
	folder := func(name string) (string, error) {
		name = filepath.Join(dir, name)
		return name, os.Mkdir(name, 0o700)
	}
	where, err := folder("valkey")
	if err != nil {
		return nil, fmt.Errorf("make folder: %w", err)
	}
	if fl.valkey, err = servers.StartValkey(ctx, where, servers.ValkeyOptions{}); err != nil {
		return nil, err
	}
	for i := range o.instances {
		where, err := folder(fmt.Sprint("p", i+1))
		if err != nil {
			return nil, fmt.Errorf("make folder: %w", err)
		}
		p, err := servers.StartCacheproxy(ctx, binary, where, fmt.Sprintf(configuration, fl.valkey.Address(), i+1, fl.origin.URL))
		if err != nil {
			return nil, err
		}
		fl.proxies = append(fl.proxies, p)
	}
	return fl, fl.awaitLeases(ctx)
}

// awaitLeases waits until every instance uses copies.
func (f *fleet) awaitLeases(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, p := range f.proxies {
		for {
			if v, err := p.Gauge(ctx, "cacheproxy_lease_valid"); err == nil && v == 1 {
				break
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-ctx.Done():
				return fmt.Errorf("wait for leases: %w; the proxy printed: %s", ctx.Err(), p.Process.Output())
			}
		}
	}
	return nil
}

func (f *fleet) stop() (err error) {
	for _, p := range f.proxies {
		err = errors.Join(err, p.Process.Stop())
	}
	if f.valkey != nil {
		f.valkey.Kill()
	}
	f.origin.Close()
	return err
}
