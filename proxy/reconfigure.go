package proxy

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// Reconfigure puts the next generation of the configuration in force, in one step: a request sees the one before or this
// one from its beginning to its end. Routes that stay keep their copies, their mode and what Vary taught about them. After an
// error the generation before is still in force.
//
// A route whose copies mean something that they did not mean just before begins without any. Copies of that meaning may be
// left from a generation longer ago, and the writes and purges since then have not named them. The route is fenced while
// the generations change, so that nothing of that kind is stored meanwhile.
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
		p.endFence(ctx, fence)
	}
	return nil
}

// replace puts a generation in the place of the one before.
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

// endFence ends a fence now, or as soon as that can be confirmed.
func (p *Proxy) endFence(ctx context.Context, fence *invalidation.Fence) {
	if _, err := p.log.End(ctx, fence, invalidation.Order{}); err != nil {
		p.logger.Error("new routes not confirmed to all caches; they store nothing yet", "error", err)
		p.makeUpFor(fence, invalidation.Order{})
	}
}

// inherit has the routes share what happened at run time to those of the same name in the generation before.
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

// begunSince names the copies of the routes whose copies meant something else in the generation before, or were none, or that begin anew
// for another reason.
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

// publish tells the modes in force.
func (p *Proxy) publish(c *Config) {
	for _, r := range c.order {
		mode, share := r.mode(time.Now())
		p.metrics.SetMode(r.Name, mode, share)
	}
}
