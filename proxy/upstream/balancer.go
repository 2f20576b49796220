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

// balancer chooses the address for each request: of two that chance names among those in use, the one with fewer requests.
// Where none is in use all are, since a verdict on all of them is more likely wrong, or no longer true, than useful; so an
// only address is never out of use.
type balancer struct {
	upstream string
	log      *slog.Logger
	seed     maphash.Seed

	mu        lockorder.Mutex[lockorder.Balancer] // guards what is below, and every address
	addresses []*address                          // the list itself does not change
	budget    retryBudget
	resends   retryBudget // is spent by those that were in vain
	retries   uint64
	judged    bool         // there was a request
	client    netip.Prefix // of the last one
	others    time.Time    // when two in a row were of different clients
}

// onlyClient is for how long one client has to be the only one before its failures alone speak against an address.
const onlyClient = time.Minute

func newBalancer(o Options) *balancer {
	b := &balancer{upstream: o.Name, log: o.Log, seed: maphash.MakeSeed(), budget: newRetryBudget(o.MaxInFlight), resends: newRetryBudget(o.MaxInFlight)}
	for _, u := range append([]*url.URL{o.URL}, o.Replicas...) {
		b.addresses = append(b.addresses, &address{url: u})
	}
	return b
}

// sole reports whether there is nothing to choose.
func (b *balancer) sole() bool { return len(b.addresses) == 1 }

// pick chooses an address that is not among tried, which must not be all of them. The caller owes judge and leave.
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

// candidates are the addresses in use that were not tried, or where there is none, all that were not.
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

// lessBusy names two of the addresses by chance and gives the one with fewer requests.
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

// judge takes what became of a request: nil where there was an answer.
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

// failureOf is what req would be known by if it failed.
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

// change makes a change to an address, and tells when it goes out of use or comes back by it.
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

// earn tells of one more request.
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

// mayResend reports whether a request that a kept connection has lost may be sent once more, on a new one, and counts it. An answer
// to that says that the connection was what failed, and costs nothing; wasted is told of the others.
func (b *balancer) mayResend() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.resends.has() {
		return false
	}
	b.retries++
	return true
}

// wasted is told of a request that was lost on a new connection, too: it may be what the upstream dies of, and what is like it shall
// not be sent twice each time.
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
