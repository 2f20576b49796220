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

// maxHealthBody bounds how much of an answer to a health check is read, in bytes.
const maxHealthBody = 64 << 10

// Run checks the health of every address regularly, until ctx ends. Without a health check Run returns at once.
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

// Health calls tell for every address, as host:port. An address is healthy when neither health checks nor requests
// speak against it. An unhealthy address gets no requests as long as others are healthy.
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
		// The varied interval spreads the checks of instances that started together.
		interval := u.options.Health.Interval
		again.Reset(interval - interval/10 + rand.N(interval/5+1))
	}
}

// check sends one health check to an address. The error says why the address is sick.
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
