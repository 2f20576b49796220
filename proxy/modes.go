package proxy

import (
	"context"
	"fmt"
	"time"

	"cacheproxy/policy"
	"cacheproxy/policy/httpcache"
)

// RouteNames lists the routes in force.
func (p *Proxy) RouteNames() []string {
	cfg := p.config()
	names := make([]string, 0, len(cfg.order))
	for _, r := range cfg.order {
		names = append(names, r.Name)
	}
	return names
}

// ModeOrder switches a route at run time.
type ModeOrder struct {
	Mode  policy.Mode
	Share float64       // of the requests to which Mode applies, 0 to 1; zero stands for all
	For   time.Duration // zero: until the route is switched again
	By    string        // the operator who switches the route
}

// SetMode switches a route. Requests that arrive after SetMode returns follow the new mode. Requests that wait for a
// fetch at that time still get the fetched answer, which is valid for them. The copy that the fetch stores is purged
// like any other copy, also by writes, so that no stale copy is there when the route is switched on again. The error
// says why the mode cannot be set.
func (p *Proxy) SetMode(name string, order ModeOrder) error {
	p.switching.Lock()
	defer p.switching.Unlock()
	r := p.config().byName[name]
	if r == nil {
		return fmt.Errorf("set mode: there is no route %q", name)
	}
	if r.behind != nil && order.Share > 0 && order.Share < 1 {
		return fmt.Errorf("set mode: route %q answers writes before its origin does, and a share of them would overtake the others; leave out the share", name)
	}
	if r.boards != nil && order.Share > 0 && order.Share < 1 {
		return fmt.Errorf("set mode: route %q keeps boards, of which a share of the submissions would be missing; leave out the share", name)
	}
	now := time.Now()
	o := &modeOverride{mode: order.Mode, share: order.Share, by: order.By, since: now}
	if o.share == 0 {
		o.share = 1
	}
	if order.For > 0 {
		o.until = now.Add(order.For)
	}
	r.override.Store(o)
	p.metrics.SetMode(name, o.mode, o.share)
	return nil
}

// ResetMode ends the override that SetMode has set: the configured mode is in force again. ResetMode fails if there is
// no such route.
func (p *Proxy) ResetMode(name string) error {
	p.switching.Lock()
	defer p.switching.Unlock()
	r := p.config().byName[name]
	if r == nil {
		return fmt.Errorf("reset mode: there is no route %q", name)
	}
	r.override.Store(nil)
	p.metrics.SetMode(name, r.Mode, r.configuredShare())
	return nil
}

// RouteMode is the mode of a route.
type RouteMode struct {
	Route           string
	Mode            policy.Mode // in force
	Share           float64     // of the requests to which Mode applies
	Configured      policy.Mode
	ConfiguredShare float64
	Overridden      bool // By, Since and Until are set
	By              string
	Since           time.Time
	Until           time.Time // zero: until the route is switched again
}

// Modes lists the modes of all routes, in the order of the configuration.
func (p *Proxy) Modes() []RouteMode {
	cfg, now := p.config(), time.Now()
	all := make([]RouteMode, 0, len(cfg.order))
	for _, r := range cfg.order {
		m := RouteMode{Route: r.Name, Configured: r.Mode, ConfiguredShare: r.configuredShare()}
		m.Mode, m.Share = m.Configured, m.ConfiguredShare
		if o := r.overridden(now); o != nil {
			m.Mode, m.Share, m.Overridden = o.mode, o.share, true
			m.By, m.Since, m.Until = o.by, o.since, o.until
		}
		all = append(all, m)
	}
	return all
}

// URLMembers returns the members that an invalidation of one URL has to name: for the query as written, and for the
// query as the routes that read the URL forward it.
func (p *Proxy) URLMembers(t httpcache.Target) []policy.Member { return p.config().Table.URLMembers(t) }

// expireModes removes overrides whose time has run out, and updates the metric, until ctx ends. Requests do not wait
// for expireModes: overridden ignores an override from the end of its time on.
func (p *Proxy) expireModes(ctx context.Context) {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		select {
		case now := <-ticker.C:
			p.expireModesAt(now)
		case <-ctx.Done():
			return
		}
	}
}

func (p *Proxy) expireModesAt(now time.Time) {
	p.switching.Lock()
	defer p.switching.Unlock()
	for _, r := range p.config().order {
		o := r.override.Load()
		if o != nil && !o.until.IsZero() && now.After(o.until) && r.override.CompareAndSwap(o, nil) {
			p.metrics.SetMode(r.Name, r.Mode, r.configuredShare())
			p.logger.Info("mode has run out", "route", r.Name, "was", o.mode.String(), "by", o.by, "mode", r.Mode.String())
		}
	}
}
