package proxy

import (
	"context"
	"errors"
	"time"

	"cacheproxy/policy"
	"cacheproxy/store"
)

// sinkTimeout bounds how long a copy may take on its way to the tiers below memory.
const sinkTimeout = 5 * time.Second

// recalled looks into the tiers below memory before the origin is asked: once for all who wait for the flight. It reports
// whether memory has a fresh copy now. One that is not fresh any more is at least something that the origin may confirm.
// A tier that fails costs a miss.
func (c *call) recalled() bool {
	if !c.p.store.Deep() || c.q.why == policy.Renewal {
		return false
	}
	now := time.Now()
	found, err := c.p.store.Recall(c.ctx, c.q.key, c.q.forward, now)
	if err != nil && !errors.Is(err, store.ErrDown) {
		c.p.logger.Warn("copy not recalled", "route", c.q.route.Name, "error", err)
	}
	if found.Copy == nil {
		return false
	}
	use, _ := c.p.judge(found.Copy, now)
	if use >= validate && c.q.base == nil && policy.Confirmable(c.q.method) {
		c.q.base, c.q.baseKey, c.q.previous = found.Copy, found.Key, found.Copy
	}
	return use == serve
}

// sink hands a new copy to the tiers below memory. Nobody waits for it.
func (c *call) sink() {
	if !c.p.store.Deep() {
		return
	}
	p, q := c.p, c.q
	p.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(p.lifetime, sinkTimeout)
		defer cancel()
		if err := p.store.Sink(ctx, q.key, q.forward); err != nil && !errors.Is(err, store.ErrDown) && !errors.Is(err, store.ErrBusy) {
			p.logger.Warn("copy not kept below memory", "route", q.route.Name, "error", err)
		}
	})
}
