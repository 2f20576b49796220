package upstream

import (
	"hash/maphash"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy"
)

// balancer chooses the address for each request: of two usable ones drawn at random, the one with fewer requests (power of two choices). If no address
// is usable, it chooses among all: a verdict against all of them is more likely wrong or outdated than useful. So a single address is always used.
type balancer struct {
	upstream string
	log      *slog.Logger
	seed     maphash.Seed

	mu        lockorder.Mutex[lockorder.Balancer] // guards what is below, and every address
	addresses []*address                          // the list itself does not change
	budget    retryBudget
	resends   retryBudget // of mayResend; only resends in vain spend it
	retries   uint64
	judged    bool         // judge was called
	client    netip.Prefix // of the last request
	others    time.Time    // when the last two requests in a row were of different clients
}

// onlyClient is for how long all requests must have come from one client before failures of that client alone count against an address.
const onlyClient = time.Minute

func newBalancer(o Options) *balancer {
	b := &balancer{upstream: o.Name, log: o.Log, seed: maphash.MakeSeed(), budget: newRetryBudget(o.MaxInFlight), resends: newRetryBudget(o.MaxInFlight)}
	for _, u := range append([]*url.URL{o.URL}, o.Replicas...) {
		b.addresses = append(b.addresses, &address{url: u})
	}
	return b
}

// sole reports whether there is only one address.
func (b *balancer) sole() bool { return len(b.addresses) == 1 }

// pick chooses an address that is not among tried, which must not be all of them. The caller must call judge and leave for it.
func (b *balancer) pick(tried []*address) *address {
	b.mu.Lock()
	defer b.mu.Unlock()
	to := b.addresses[0]
	if !b.sole() {
		to = lessBusy(b.candidates(tried, time.Now()))
	}
	to.trying = to.ejected()
	to.inFlight++
	return to
}

// candidates returns the usable addresses that were not tried or, if there are none, all that were not tried.
func (b *balancer) candidates(tried []*address, now time.Time) []*address {
	untried := make([]*address, 0, len(b.addresses))
	for _, a := range b.addresses {
		if !slices.Contains(tried, a) {
			untried = append(untried, a)
		}
	}
	inUse := slices.DeleteFunc(slices.Clone(untried), func(a *address) bool { return !a.usable(now) })
	if len(inUse) > 0 {
		return inUse
	}
	return untried
}

// lessBusy draws two of the addresses at random, and returns the one with fewer requests.
func lessBusy(of []*address) *address {
	first := rand.IntN(len(of))
	if len(of) == 1 {
		return of[first]
	}
	second := (first + 1 + rand.IntN(len(of)-1)) % len(of)
	if of[second].inFlight < of[first].inFlight {
		return of[second]
	}
	return of[first]
}

// leave ends what pick began.
func (b *balancer) leave(a *address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.inFlight--
}

// judge notes the outcome of a request at an address; err is nil if there was an answer.
func (b *balancer) judge(a *address, err error, of failure) {
	b.change(a, err, "requests", func() {
		now := time.Now()
		if of.client != b.client && b.judged {
			b.others = now
		}
		b.client, b.judged = of.client, true
		switch Classify(err) {
		case policy.NoReason:
			a.answered()
		case policy.OriginError, policy.OriginTimeout:
			if NotSent(err) {
				a.unreachable(now)
			} else {
				a.unanswered(now, of, now.Sub(b.others) > onlyClient)
			}
		default: // the client's doing
			a.trying = false
		}
	})
}

// failureOf identifies a request that has failed.
func (b *balancer) failureOf(req *http.Request, client netip.Prefix) failure {
	var h maphash.Hash
	h.SetSeed(b.seed)
	for _, part := range [...]string{req.Method, req.Host, req.URL.RequestURI()} {
		h.WriteString(part) // which does not fail
		h.WriteByte(0)
	}
	return failure{target: h.Sum64(), client: client}
}

// check takes the result of a health check.
func (b *balancer) check(a *address, err error) {
	b.change(a, err, "health check", func() { a.check(err == nil) })
}

// change runs f, which changes an address, with mu held, and logs if that makes the address healthy or unhealthy.
func (b *balancer) change(a *address, cause error, by string, f func()) {
	b.mu.Lock()
	before := a.healthy()
	f()
	after := a.healthy()
	healthy := 0
	for _, other := range b.addresses {
		if other.healthy() {
			healthy++
		}
	}
	b.mu.Unlock()
	if before == after {
		return
	}
	about := []any{"upstream", b.upstream, "address", a.url.Host, "by", by, "healthy", healthy, "of", len(b.addresses)}
	if after {
		b.log.Info("address of upstream is back", about...)
		return
	}
	b.log.Warn("address of upstream is unhealthy", append(about, "error", cause)...)
}

// earn counts a request, which earns a part of a retry.
func (b *balancer) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget.earn()
	b.resends.earn()
}

// mayRetry reports whether a request that these addresses did not take may go on to another, and counts it.
func (b *balancer) mayRetry(tried []*address) bool {
	return len(tried) < len(b.addresses) && b.mayRepeat()
}

// mayRepeat reports whether a request that the upstream has not processed may be sent once more, and counts it.
func (b *balancer) mayRepeat() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.budget.spend() {
		return false
	}
	b.retries++
	return true
}

// mayResend reports whether a request that was lost with a kept connection may be sent once more, on a new one, and counts it. If the request is
// answered then, the connection was to blame, and the budget is not charged; otherwise the caller must call wasted.
func (b *balancer) mayResend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.resends.has() {
		return false
	}
	b.retries++
	return true
}

// wasted charges the budget for a request that was lost on a new connection too: the upstream may die of that request, and such requests should not
// each be sent twice.
func (b *balancer) wasted() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resends.spend()
}

// health tells of every address whether it is healthy, in the order of the configuration.
func (b *balancer) health(tell func(host string, healthy bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.addresses {
		tell(a.url.Host, a.healthy())
	}
}
