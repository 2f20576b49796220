package upstream

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"cacheproxy/policy/httpcache"
)

// maxHealthBody is how much of an answer to a health check is read, in bytes.
const maxHealthBody = 64 << 10

// Run makes health checks of every address until ctx ends. Without a health check it returns at once. It returns nil.
func (u *Upstream) Run(ctx context.Context) error {
	if u.options.Health.Path == "" {
		return nil
	}
	var checks sync.WaitGroup
	for _, a := range u.balancer.addresses {
		checks.Go(func() { u.watch(ctx, a) })
	}
	checks.Wait()
	return nil
}

// Health calls tell for every address, as host:port, in the order of the configuration. healthy says that neither health checks nor requests are
// against it. Unhealthy addresses are still used if no address is healthy. tell is called with a lock held, and must not call the Upstream.
func (u *Upstream) Health(tell func(address string, healthy bool)) { u.balancer.health(tell) }

func (u *Upstream) watch(ctx context.Context, a *address) {
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
		err := u.check(ctx, a)
		if ctx.Err() != nil {
			return
		}
		u.balancer.check(a, err)
		// Instances that started together do not ask together for ever.
		interval := u.options.Health.Interval
		again.Reset(interval - interval/10 + rand.N(interval/5+1))
	}
}

// check asks an address once. Its error says what speaks against it.
func (u *Upstream) check(ctx context.Context, a *address) error {
	ctx, cancel := context.WithTimeout(ctx, u.options.Health.Timeout)
	defer cancel()
	path, query, hasQuery := strings.Cut(u.options.Health.Path, "?")
	host := u.options.Host.Literal
	if host == "" || u.options.HostOfAddress {
		host = a.url.Host
	}
	req := (&http.Request{
		Method: http.MethodGet, URL: &url.URL{}, Host: host, Header: http.Header{userAgentField: {u.options.UserAgent}},
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	SetTarget(req, a.url, httpcache.Target{Path: path, Query: query, HasQuery: hasQuery})
	res, err := u.plain.anew.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("check health: %w", err)
	}
	defer res.Body.Close()
	if _, err := io.CopyN(io.Discard, res.Body, maxHealthBody); err != nil && err != io.EOF {
		return fmt.Errorf("check health: read answer: %w", err)
	}
	if res.StatusCode < 200 || res.StatusCode >= 400 {
		return fmt.Errorf("check health: %s", res.Status)
	}
	return nil
}
