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

// balancer chooses the address for each request: of two random addresses in use, the one with fewer requests. When no
// address is in use, all are, since a verdict against all of them is more likely wrong or outdated than useful. So an
// only address is never out of use.
type balancer struct {
	upstream string
	log      *slog.Logger
	seed     maphash.Seed

	mu        lockorder.Mutex[lockorder.Balancer] // guards the fields below, and every address
	addresses []*address                          // the list itself does not change
	budget    retryBudget
	resends   retryBudget // spent by resends that got no answer either; see wasted
	retries   uint64
	judged    bool         // a request was judged
	client    netip.Prefix // of the last request judged
	others    time.Time    // when two requests in a row were of different clients
}

// onlyClient is how long a client must be the only one before its failures alone speak against an address. Until a
// second client comes, the first client counts as the only one from its first request on.
const onlyClient = time.Minute

func newBalancer(o Options) *balancer {
	b := &balancer{upstream: o.Name, log: o.Log, seed: maphash.MakeSeed(), budget: newRetryBudget(o.MaxInFlight), resends: newRetryBudget(o.MaxInFlight)}
	for _, u := range append([]*url.URL{o.URL}, o.Replicas...) {
		b.addresses = append(b.addresses, &address{url: u})
	}
	return b
}

// sole reports whether the upstream has only one address.
func (b *balancer) sole() bool { return len(b.addresses) == 1 }

// pick chooses an address that is not in tried, which must not hold all addresses. The caller must call judge and
// leave.
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

// candidates returns the addresses in use that were not tried. If none is in use, candidates returns all that were
// not tried.
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

// lessBusy picks two of the addresses at random and returns the one with fewer requests.
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

// leave counts out a request that pick has counted.
func (b *balancer) leave(a *address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a.inFlight--
}

// judge takes the end of a request: nil for an answer.
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
		default: // the client's fault
			a.trying = false
		}
	})
}

// failureOf returns the identity that req has as a failure.
func (b *balancer) failureOf(req *http.Request, client netip.Prefix) failure {
	var h maphash.Hash
	h.SetSeed(b.seed)
	for _, part := range [...]string{req.Method, req.Host, req.URL.RequestURI()} {
		h.WriteString(part) // never fails
		h.WriteByte(0)
	}
	return failure{target: h.Sum64(), client: client}
}

// check takes the result of a health check.
func (b *balancer) check(a *address, err error) {
	b.change(a, err, "health check", func() { a.check(err == nil) })
}

// change applies f to an address, and logs when the address goes out of use or comes back.
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

// earn counts a request for both budgets.
func (b *balancer) earn() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.budget.earn()
	b.resends.earn()
}

// mayRetry reports whether a request that the tried addresses did not take may go to another, and counts the retry.
func (b *balancer) mayRetry(tried []*address) bool {
	return len(tried) < len(b.addresses) && b.mayRepeat()
}

// mayRepeat reports whether a request that the upstream has not processed may be sent once more, and counts the
// retry.
func (b *balancer) mayRepeat() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.budget.spend() {
		return false
	}
	b.retries++
	return true
}

// mayResend reports whether a request that was lost with a kept connection may be sent once more, on a new
// connection, and counts the retry. If the resend gets an answer, only the connection had failed, and the resend
// costs no budget. Otherwise the caller calls wasted.
func (b *balancer) mayResend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.resends.has() {
		return false
	}
	b.retries++
	return true
}

// wasted takes one resend from the budget, because the request was lost on a new connection, too. The upstream may be
// dying of this request, and requests like it must not be sent twice each time.
func (b *balancer) wasted() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.resends.spend()
}

// health calls tell with the health of every address, in the order of the configuration.
func (b *balancer) health(tell func(host string, healthy bool)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, a := range b.addresses {
		tell(a.url.Host, a.healthy())
	}
}
