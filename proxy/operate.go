package proxy

import (
	"context"
	"fmt"
	"time"

	"cacheproxy/policy"
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

// SetMode switches a route, for a time or, with zero, until it is switched again. Requests that arrive after it returns
// heed it.
func (p *Proxy) SetMode(name string, mode policy.Mode, d time.Duration) error {
	r := p.config().byName[name]
	if r == nil {
		return fmt.Errorf("set mode: there is no route %q", name)
	}
	o := &modeOverride{mode: mode}
	if d > 0 {
		o.until = time.Now().Add(d)
	}
	r.override.Store(o)
	p.metrics.SetMode(name, mode)
	return nil
}

// URLMembers names the copies of a URL: with its query as it stands, and as the route that reads it forwards it.
func (p *Proxy) URLMembers(t policy.Target) []policy.Member { return p.config().Table.URLMembers(t) }

// expireModes puts the metric right when a mode that was set for a time has run out.
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
	for _, r := range p.config().order {
		o := r.override.Load()
		if o != nil && !o.until.IsZero() && now.After(o.until) && r.override.CompareAndSwap(o, nil) {
			p.metrics.SetMode(r.Name, r.Mode)
		}
	}
}
