package upstream

import (
	"math/rand/v2"
	"net/netip"
	"net/url"
	"time"
)

const (
	// ejectAfter is after how many failures in a row an address is ejected.
	ejectAfter = 3
	// An address is ejected for minEjection the first time, then for twice as long each time, up to maxEjection.
	minEjection = time.Second
	maxEjection = time.Minute
	// fallAfter failed, or riseAfter successful, health checks in a row change the verdict.
	fallAfter = 3
	riseAfter = 2
)

// address is one of an upstream's addresses. The balancer's mu guards it.
//
// Two verdicts take it out of use: that of the health checks (sick), and that of the requests themselves (ejected). An ejection expires by itself;
// then one request at a time tries the address, until one gets an answer.
type address struct {
	url      *url.URL // does not change
	inFlight int      // requests and streams

	unreached int       // requests without a connection since the last answer
	failures  []failure // of requests that were sent and got no answer, since the last answer; only those that count, the last few
	ejections int       // since the last answer
	outUntil  time.Time // end of the ejection
	trying    bool      // a request is trying an ejected address

	checked bool // there was a health check
	sick    bool // verdict of the health checks
	against int  // results of health checks in a row that contradict sick
}

// failure is what is known of a request that was sent and got no answer.
type failure struct {
	target uint64       // of its method, host and target
	client netip.Prefix // who asked
}

func (a *address) ejected() bool { return a.unreached+len(a.failures) >= ejectAfter }

// healthy reports whether neither verdict is against the address.
func (a *address) healthy() bool { return !a.sick && !a.ejected() }

// usable reports whether the next request may go there.
func (a *address) usable(now time.Time) bool {
	return !a.sick && (!a.ejected() || !a.trying && !now.Before(a.outUntil))
}

// answered notes that a request got an answer, whichever.
func (a *address) answered() { a.unreached, a.failures, a.ejections, a.trying = 0, nil, 0, false }

// unreachable notes that there was no connection for a request. Unlike unanswered, no client can cause that by what it sends.
func (a *address) unreachable(now time.Time) {
	a.trying = false
	a.unreached++
	a.eject(now)
}

// unanswered notes that a request was sent and got no answer. The upstream may have failed on that very request, so that the failure counts against the
// address only together with failures for other targets and of another client; only says that no other client has sent requests lately. A try of an
// ejected address that fails in this way and does not count is repeated soon.
func (a *address) unanswered(now time.Time, f failure, only bool) {
	a.trying = false
	if a.ejected() && now.Before(a.outUntil) {
		return
	}
	known, others := false, only
	for _, before := range a.failures {
		known = known || before.target == f.target
		others = others || before.client != f.client
	}
	if known || !others && a.unreached+len(a.failures)+1 >= ejectAfter {
		if a.ejected() {
			a.outUntil = now.Add(ejection(0))
		}
		return
	}
	if a.failures = append(a.failures, f); len(a.failures) > ejectAfter {
		a.failures = a.failures[1:]
	}
	a.eject(now)
}

// eject begins an ejection, if there were enough failures.
func (a *address) eject(now time.Time) {
	if !a.ejected() || now.Before(a.outUntil) {
		return // of requests that fail during one ejection, only the first counts
	}
	a.outUntil = now.Add(ejection(a.ejections))
	a.ejections++
}

// ejection is the length of an ejection after n others. It is varied at random, so that instances that lost the same address do not return to it
// together.
func ejection(n int) time.Duration {
	d := maxEjection
	if n < 6 {
		d = min(minEjection<<n, maxEjection)
	}
	return d/2 + rand.N(d/2)
}

// check takes the result of a health check and reports whether it changed the verdict. The first result counts at once.
func (a *address) check(ok bool) bool {
	first := !a.checked
	a.checked = true
	if ok != a.sick {
		a.against = 0
		return false
	}
	a.against++
	need := fallAfter
	if a.sick {
		need = riseAfter
	}
	if !first && a.against < need {
		return false
	}
	a.sick, a.against = !ok, 0
	if ok {
		a.answered() // whatever requests met before has passed
	}
	return true
}
