package upstream

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"cacheproxy/policy"
)

// Origin is one upstream. It implements http.RoundTripper.
type Origin struct {
	options  Options
	limiter  *limiter
	balancer *balancer
	plain    connections
	upgrades connections // HTTP/1.1, the only version with Upgrade; none for h2c, which cannot be upgraded
	retired  atomic.Bool
}

var _ http.RoundTripper = (*Origin)(nil)

// New returns the origin that o describes, which must be valid.
func New(o Options) *Origin {
	o = o.withDefaults()
	origin := &Origin{options: o, limiter: newLimiter(o), balancer: newBalancer(o)}
	http1, http2, h2c := (*http.Protocols).SetHTTP1, (*http.Protocols).SetHTTP2, (*http.Protocols).SetUnencryptedHTTP2
	switch o.URL.Scheme {
	case "h2c":
		origin.plain = newConnections(o, protocols(h2c))
	case "https":
		origin.plain = newConnections(o, protocols(http1, http2))
		origin.upgrades = newConnections(o, protocols(http1))
	default:
		origin.plain = newConnections(o, protocols(http1))
		origin.upgrades = origin.plain
	}
	return origin
}

// Name is the upstream's name.
func (o *Origin) Name() string { return o.options.Name }

// URL is the upstream's first address, which SetTarget aims at; Send chooses. It must not be changed.
func (o *Origin) URL() *url.URL { return o.options.URL }

// HostRule says which Host the upstream sees.
func (o *Origin) HostRule() policy.HostRule { return o.options.Host }

// Host is the Host that the origin sees for a client's, at its first address.
func (o *Origin) Host(client string) string {
	if o.options.Host.Literal != "" {
		return o.options.Host.Literal
	}
	return client
}

// InFlight is how many requests are at the origin, streams not counted.
func (o *Origin) InFlight() int { return o.read(func(l *limiter) int { return l.inFlight }) }

// Queued is how many requests wait for a place.
func (o *Origin) Queued() int { return o.read(func(l *limiter) int { return l.queued }) }

// Streams is how many streams are open.
func (o *Origin) Streams() int { return o.read(func(l *limiter) int { return l.streams }) }

func (o *Origin) read(f func(*limiter) int) int {
	o.limiter.mu.Lock()
	defer o.limiter.mu.Unlock()
	return f(o.limiter)
}

// SetInstances says how many instances share FleetMaxInFlight. Each may have as many requests at the origin as that divided
// by n, rounded down so that all together never have more, but at least one, and never more than MaxInFlight. A number that
// is not known, 0, changes nothing: the last one holds, also for an origin that succeeds this one. Before the first number
// there are taken to be AssumedInstances. Where there is only ever one instance, somebody has to say so.
func (o *Origin) SetInstances(n int) { o.limiter.setInstances(n) }

// Retries is how many requests went on to another address, or out once more because a kept connection was lost, since the
// start.
func (o *Origin) Retries() uint64 {
	o.balancer.mu.Lock()
	defer o.balancer.mu.Unlock()
	return o.balancer.retries
}

// RetryAfter is when a request that was refused a place may come again: whole seconds from one to twice the queue's
// deadline and one, drawn anew for each, so that those refused together do not return together.
func (o *Origin) RetryAfter() time.Duration {
	patience := int(math.Ceil(o.options.QueueTimeout.Seconds()))
	return time.Duration(1+rand.IntN(2*patience+1)) * time.Second
}

// Acquire waits for a place at the origin; the slot must be released. It fails with errQueueFull, errQueueTimeout, or
// the cause of ctx's end; NotSent is true of all of these. RoundTrip does this by itself.
func (o *Origin) Acquire(ctx context.Context, p Place) (*Slot, error) {
	slot, err := o.limiter.acquire(ctx, p)
	if err != nil {
		return nil, &notSentError{err: err, over: true}
	}
	return slot, nil
}

// CloseIdle closes connections that nobody uses.
func (o *Origin) CloseIdle() {
	o.plain.kept.CloseIdleConnections()
	if o.upgrades.kept != nil {
		o.upgrades.kept.CloseIdleConnections()
	}
}

// RoundTrip sends req, whose URL SetTarget has set, when there is a place for it, as a write of no route. The place is held until the response's
// body is read to its end or closed, which the caller must do; a response that turns out to be a stream changes to a
// stream's place. Errors are for Classify.
func (o *Origin) RoundTrip(req *http.Request) (*http.Response, error) {
	slot, err := o.Acquire(req.Context(), Place{})
	if err != nil {
		if req.Body != nil {
			req.Body.Close() // RoundTrip owns the body; its error cannot matter any more
		}
		return nil, fmt.Errorf("send to upstream %s: %w", o.options.Name, err)
	}
	return o.Send(req, slot)
}
