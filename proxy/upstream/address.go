package upstream

import (
	"math/rand/v2"
	"net/netip"
	"net/url"
	"time"
)

const (
	// ejectAfter is how many failures in a row eject an address.
	ejectAfter = 3
	// An ejected address gets no requests for minEjection at most the first time, then twice as long each time, up to
	// maxEjection. See ejection.
	minEjection = time.Second
	maxEjection = time.Minute
	// fallAfter and riseAfter are how many health checks in a row change the verdict, to sick and to well.
	fallAfter = 3
	riseAfter = 2
)

// address is one of an upstream's addresses. The balancer's mu guards it.
//
// Two verdicts take an address out of use: that of the health checks, and that of the requests. The verdict of the
// requests (an ejection) runs out by itself. Then one request at a time tries the address until a request gets an
// answer.
type address struct {
	url      *url.URL // does not change
	inFlight int      // requests and streams

	unreached int       // requests in a row for which no connection could be made
	failures  []failure // requests that were sent and got no answer, since the last answer; the last few that count
	ejections int       // since the last answer
	outUntil  time.Time // when the ejection ends; meaningful when ejected
	trying    bool      // a request is trying an ejected address

	checked bool // a health check had a result
	sick    bool // the verdict of the health checks
	against int  // results in a row that contradict sick
}

// failure identifies a request that was sent and got no answer.
type failure struct {
	target uint64       // hash of its method, host and target
	client netip.Prefix // the client that sent the request
}

func (a *address) ejected() bool { return a.unreached+len(a.failures) >= ejectAfter }

// healthy reports whether neither verdict speaks against the address.
func (a *address) healthy() bool { return !a.sick && !a.ejected() }

// usable reports whether the next request may go to the address.
func (a *address) usable(now time.Time) bool {
	return !a.sick && (!a.ejected() || !a.trying && !now.Before(a.outUntil))
}

// answered notes that a request got an answer, of any status.
func (a *address) answered() { a.unreached, a.failures, a.ejections, a.trying = 0, nil, 0, false }

// unreachable notes that no connection could be made for a request. No client can cause that.
func (a *address) unreachable(now time.Time) {
	a.trying = false
	a.unreached++
	a.eject(now)
}

// unanswered notes that a request was sent and got no answer. The upstream may fail on that very request. So the
// failure speaks against the address only together with failures of other targets and, unless only says that the
// client is the only one, of another client. When the request was trying an ejected address, the next try comes soon.
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

// eject takes the address out of use for a while, if it has enough failures.
func (a *address) eject(now time.Time) {
	if !a.ejected() || now.Before(a.outUntil) {
		return // of requests that were under way together, only one counts
	}
	a.outUntil = now.Add(ejection(a.ejections))
	a.ejections++
}

// ejection returns how long an address that was ejected n times before is out of use. The time is random between half
// and all of the step, so that instances that lost the same address do not return together.
func ejection(n int) time.Duration {
	d := maxEjection
	if n < 6 {
		d = min(minEjection<<n, maxEjection)
	}
	return d/2 + rand.N(d/2)
}

// check takes the result of a health check and reports whether the result changed the verdict. The first result
// counts at once.
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
		a.answered() // earlier failures of requests are over
	}
	return true
}
