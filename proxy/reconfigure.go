package proxy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Reconfigure puts the next generation of the configuration in force, in one step: a request sees either the previous
// generation or the next one, from beginning to end. Routes that stay keep their copies, their mode and the fields that
// Vary taught them. After an error the previous generation is still in force.
//
// A route whose fingerprint differs from the route's fingerprint in the previous generation starts without copies. The
// store may have copies with the new fingerprint from an earlier generation, but writes and purges since then have not
// named these copies. So Reconfigure fences the route before the generations change, and the end of the fence
// invalidates the copies. Between both, nothing is stored for the route.
func (p *Proxy) Reconfigure(ctx context.Context, next *Config) error {
	p.operating.Lock()
	defer p.operating.Unlock()
	before := p.config()
	next.inherit(before)
	begun := next.begunSince(before)
	var fence *invalidation.Fence
	if len(begun) > 0 {
		var err error
		if fence, err = p.log.Begin(ctx, begun); err != nil {
			return fmt.Errorf("announce the routes that begin anew: %w", err)
		}
	}
	p.replace(before, next)
	if fence != nil {
		p.endFence(ctx, fence, settling(begun, next))
	}
	return nil
}

// settling returns the end of the fence around routes that begin. A write just before had no entry in the log where no
// route could hold a copy of its target, and so no repetition after Settle of its upstream. A copy that a new route
// fetches within that time from a replica that lags would be older than the write: the end is repeated after Settle.
func settling(begun []policy.Member, next *Config) invalidation.Order {
	longest := time.Duration(0)
	for _, r := range next.order {
		longest = max(longest, r.Settle)
	}
	if longest == 0 {
		return invalidation.Order{}
	}
	return invalidation.Order{Members: begun, Settle: longest}
}

// replace puts generation next in the place of generation before.
func (p *Proxy) replace(before, next *Config) {
	p.switching.Lock()
	defer p.switching.Unlock()
	p.snapshot.Store(next)
	p.publish(next)
	for name := range before.byName {
		if next.byName[name] == nil {
			p.metrics.RemoveRoute(name)
		}
	}
}

// endFence ends a fence at once, or as soon as the end can be confirmed.
func (p *Proxy) endFence(ctx context.Context, fence *invalidation.Fence, end invalidation.Order) {
	if _, err := p.log.End(ctx, fence, end); err != nil {
		p.logger.Error("new routes not confirmed to all caches; they store nothing yet", "error", err)
		p.makeUpFor(fence, end)
	}
}

// inherit makes each route share the run-time state of the route of the same name in the previous generation: the
// override, and, if the fingerprint is the same, the fields learned from Vary.
func (c *Config) inherit(before *Config) {
	for name, r := range c.byName {
		old := before.byName[name]
		if old == nil {
			continue
		}
		r.override = old.override
		if old.Fingerprint == r.Fingerprint {
			r.Inherit(old.Route)
		}
	}
}

// begunSince returns the members of the routes that start without copies compared with an earlier generation: new routes, routes with another
// fingerprint, and those in Anew.
func (c *Config) begunSince(before *Config) (begun []policy.Member) {
	if c == before {
		return nil
	}
	for _, r := range c.order {
		if old := before.byName[r.Name]; old == nil || old.Fingerprint != r.Fingerprint || slices.Contains(c.Anew, r.Name) {
			begun = append(begun, policy.NewMember(policy.KindRoute, r.Name))
		}
	}
	return begun
}

// publish sets the metric of the modes in force.
func (p *Proxy) publish(c *Config) {
	for _, r := range c.order {
		mode, share := r.mode(time.Now())
		p.metrics.SetMode(r.Name, mode, share)
	}
}
