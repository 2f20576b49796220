package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"cacheproxy/test/servers"

	"golang.org/x/sync/errgroup"
)

// failure is a way in which Valkey fails.
type failure struct {
	short, name string
	args        []string
	begin       func(*servers.ValkeyServer) error
	end         func(context.Context, *servers.ValkeyServer) error
}

var failures = []failure{
	{"aof", "Valkey is killed, and comes back with what it had (AOF)", []string{"--appendonly", "yes"}, kill, start},
	{"empty", "Valkey is killed, and comes back empty", nil, kill, start},
	{"frozen", "Valkey freezes", nil,
		func(v *servers.ValkeyServer) error { return v.Process().Signal(syscall.SIGSTOP) },
		func(_ context.Context, v *servers.ValkeyServer) error { return v.Process().Signal(syscall.SIGCONT) }},
}

func kill(v *servers.ValkeyServer) error {
	v.Kill()
	return nil
}

func start(ctx context.Context, v *servers.ValkeyServer) error { return v.Start(ctx) }

// configuration is the configuration of each proxy. A proxy's name in the log is its number.
const configuration = `drain_delay: 0s
memory: {size: 64MiB, max_object: 64KiB}
log: {hits: 0%%, others: 0%%, level: warn}
valkey: {url: "valkey://%s", prefix: outage, lease: %s, instance: p%d}
upstreams:
  - {name: origin, url: "%s", host: "shop.example", max_in_flight: %d, fleet_max_in_flight: %d}
routes:
  - {name: stale, match: "GET /stale/{id}", policy: cache-aside, ttl: 10m, key: "stale:{id}", on_lease_loss: serve_stale, lease_loss_max: 60s}
  - {name: origin, match: "GET /origin/{id}", policy: cache-aside, ttl: 10m, key: "origin:{id}"}
`

// fleet is the system under test.
type fleet struct {
	valkey  *servers.ValkeyServer
	origin  *origin
	proxies []*servers.Cacheproxy
	client  *http.Client
}

func startFleet(ctx context.Context, o options, f failure, binary, dir string) (_ *fleet, err error) {
	fl := &fleet{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}}
	defer func() {
		if err != nil {
			err = errors.Join(err, fl.stop())
		}
	}()
	folder := func(name string) (string, error) {
		name = filepath.Join(dir, f.short, name)
		if err := os.MkdirAll(name, 0o700); err != nil {
			return "", fmt.Errorf("make folder: %w", err)
		}
		return name, nil
	}
	where, err := folder("valkey")
	if err != nil {
		return nil, err
	}
	if fl.valkey, err = servers.StartValkey(ctx, where, servers.ValkeyOptions{Args: f.args}); err != nil {
		return nil, err
	}
	fl.origin = startOrigin(o.instances, o.work)
	for i := range o.instances {
		where, err := folder(fmt.Sprint("p", i+1))
		if err != nil {
			return nil, err
		}
		p, err := servers.StartCacheproxy(ctx, binary, where,
			fmt.Sprintf(configuration, fl.valkey.Address(), o.lease, i+1, fl.origin.servers[i].URL, o.places, o.fleet))
		if err != nil {
			return nil, err
		}
		fl.proxies = append(fl.proxies, p)
	}
	return fl, nil
}

func (f *fleet) stop() (err error) {
	for _, p := range f.proxies {
		err = errors.Join(err, p.Process.Stop())
	}
	if f.origin != nil {
		f.origin.stop()
	}
	if f.valkey != nil {
		f.valkey.Kill()
	}
	return err
}

// fillers is the number of concurrent fetches before the load.
const fillers = 8

// fill makes every proxy hold every copy.
func (f *fleet) fill(ctx context.Context, o options) error {
	for _, p := range f.proxies {
		fetching, ctx := errgroup.WithContext(ctx)
		fetching.SetLimit(fillers)
		for id := range o.keys {
			for _, route := range routes {
				fetching.Go(func() error { return f.get(ctx, fmt.Sprintf("%s/%s/%d", p.URL, route, id)) })
			}
		}
		if err := fetching.Wait(); err != nil {
			return err
		}
	}
	return nil
}

func (f *fleet) get(ctx context.Context, url string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("fill copies: %w", err)
	}
	r.Host = host
	res, err := f.client.Do(r)
	if err != nil {
		return fmt.Errorf("fill copies: %w", err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("fill copies: %s: %s", url, res.Status)
	}
	return nil
}

// leaseGauge is 1 while an instance uses copies.
const leaseGauge = "cacheproxy_lease_valid"

// leases watches the leases until ctx ends, and returns when each instance lost or regained its lease.
func (f *fleet) leases(ctx context.Context) []turn {
	var turns []turn
	held := make([]bool, len(f.proxies))
	for i := range held {
		held[i] = true
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		for i, p := range f.proxies {
			v, err := p.Gauge(ctx, leaseGauge)
			if now := v == 1; err == nil && now != held[i] {
				held[i] = now
				turns = append(turns, turn{time.Now(), i, now})
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return turns
		}
	}
}

// turn is a change of one instance's lease.
type turn struct {
	at       time.Time
	instance int
	held     bool
}

// awaitLeases waits until every instance uses copies.
func (f *fleet) awaitLeases(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, p := range f.proxies {
		for {
			if v, err := p.Gauge(ctx, leaseGauge); err == nil && v == 1 {
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
