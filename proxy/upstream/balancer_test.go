package upstream

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"cacheproxy/test/bubbles"
)

// addresses makes a balancer of n addresses, a.test and so on.
func addresses(n int) *balancer {
	o := Options{Name: "shop", URL: &url.URL{Scheme: "http", Host: "a.test"}}
	for i := 1; i < n; i++ {
		o.Replicas = append(o.Replicas, &url.URL{Scheme: "http", Host: string(rune('a'+i)) + ".test"})
	}
	return newBalancer(o.withDefaults())
}

var (
	errBroken       = errors.New("connection refused")
	errAway   error = &notSentError{err: errBroken} // which no client can bring about
)

// turn sends a request through b that ends at once, and says where it went.
func turn(b *balancer, answer func(host string) error) string {
	a := b.pick(nil)
	b.judge(a, answer(a.url.Host), failure{})
	b.leave(a)
	return a.url.Host
}

func up(string) error { return nil }

// down answers for every address but this one.
func down(host string) func(string) error {
	return func(to string) error {
		if to == host {
			return errAway
		}
		return nil
	}
}

func TestLeastBusyOfTwo(t *testing.T) {
	b := addresses(2)
	busy := map[string]int{}
	for range 100 {
		busy[b.pick(nil).url.Host]++
	}
	if busy["a.test"] != 50 || busy["b.test"] != 50 {
		t.Errorf("100 requests under way: %v", busy)
	}
	b = addresses(5)
	for range 1000 {
		b.pick(nil)
	}
	for _, a := range b.addresses {
		if a.inFlight < 190 || a.inFlight > 210 {
			t.Errorf("%s has %d of 1000, and 200 are even", a.url.Host, a.inFlight)
		}
	}
	b = addresses(5)
	idle := map[string]int{}
	for range 1000 {
		idle[turn(b, up)]++
	}
	for host, n := range idle {
		if n < 100 || len(idle) != 5 {
			t.Errorf("of 1000 requests one after another, %s got %d: %v", host, n, idle)
		}
	}
}

// Requests without an answer take an address out of use for a while, which grows each time and ends with one answer.
func TestSilentAddressIsLeftAlone(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		b := addresses(2)
		asked := func(requests int, answer func(string) error) (n int) {
			for range requests {
				if turn(b, answer) == "a.test" {
					n++
				}
			}
			return n
		}
		if n := asked(200, down("a.test")); n != ejectAfter {
			t.Errorf("asked %d times before it was left alone, want %d", n, ejectAfter)
		}
		for i, longest := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
			longest *= time.Second
			<-time.After(longest/2 - time.Millisecond)
			if n := asked(50, down("a.test")); n != 0 {
				t.Errorf("pause %d: asked %d times in its first half, want none", i, n)
			}
			<-time.After(longest/2 + time.Millisecond)
			if n := asked(50, down("a.test")); n != 1 {
				t.Errorf("pause %d: asked %d times after it, want one that tries", i, n)
			}
		}
		<-time.After(maxEjection)
		if n := asked(200, up); n < 50 {
			t.Errorf("asked %d times of 200 after it came back", n)
		}
		if n := asked(200, down("a.test")); n != ejectAfter {
			t.Errorf("asked %d times after it went again, want %d: what was before an answer does not count", n, ejectAfter)
		}
	})
}

// Requests that were under way together and got no answer count as one reason to leave the address alone.
func TestLossOfAnAddressCountsOnce(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		b := addresses(2)
		var lost []*address
		for range 100 {
			if a := b.pick(nil); a.url.Host == "a.test" {
				lost = append(lost, a)
			}
		}
		for _, a := range lost {
			b.judge(a, errAway, failure{})
			b.leave(a)
		}
		<-time.After(minEjection)
		if a := b.addresses[0]; !a.usable(time.Now()) {
			t.Errorf("%d requests were lost together, and the address is left alone until %v later", len(lost), time.Until(a.outUntil))
		}
	})
}

// While one request tries an address, others do not, and a client that leaves proves nothing.
func TestOneRequestTries(t *testing.T) {
	bubbles.Test(t, func(t *testing.T) {
		b := addresses(2)
		for range 50 {
			turn(b, down("a.test"))
		}
		<-time.After(minEjection)
		var trial *address
		for range 20 {
			switch a := b.pick(nil); {
			case a.url.Host == "b.test":
			case trial == nil:
				trial = a
			default:
				t.Fatal("two requests try the address at once")
			}
		}
		if trial == nil {
			t.Fatal("no request tries the address")
		}
		b.judge(trial, &RequestBodyError{Err: errBroken}, failure{})
		b.leave(trial)
		for range 20 {
			if a := b.pick(nil); a == trial {
				b.judge(a, nil, failure{})
			}
		}
		if !trial.healthy() {
			t.Error("the next request did not try, or its answer does not count")
		}
	})
}

// An only address is never out of use, and never all of them.
func TestAllOutMeansAllInUse(t *testing.T) {
	for n := 1; n <= 3; n++ {
		b := addresses(n)
		asked := map[string]int{}
		for range 300 {
			asked[turn(b, func(string) error { return errAway })]++
		}
		for _, a := range b.addresses {
			if a.healthy() {
				t.Errorf("%d addresses: %s is healthy", n, a.url.Host)
			}
			b.check(a, errBroken)
			if asked[a.url.Host] < 300/n/4 {
				t.Errorf("%d addresses, none of which answers: %v", n, asked)
			}
		}
		asked = map[string]int{}
		for range 300 {
			asked[turn(b, func(string) error { return errAway })]++
		}
		if len(asked) != n {
			t.Errorf("%d addresses, all of them sick: %v", n, asked)
		}
	}
}

// Three failures turn the verdict and two successes turn it back; the first check of all counts at once.
func TestHealthVerdict(t *testing.T) {
	for _, c := range []struct{ checks, verdicts string }{
		{"+-+-+--+---", "++++++++++-"},
		{"+---+-+-++-", "+++------++"},
		{"-++", "--+"},
		{"--+-++", "-----+"},
		{"++---", "++++-"},
	} {
		a := &address{}
		got := ""
		for _, result := range c.checks {
			before := a.sick
			if changed := a.check(result == '+'); changed != (before != a.sick) && a.checked {
				t.Errorf("%s: changed %v, from sick %v to %v", c.checks, changed, before, a.sick)
			}
			if a.sick {
				got += "-"
			} else {
				got += "+"
			}
		}
		if got != c.verdicts {
			t.Errorf("checks %s: verdicts %s, want %s", c.checks, got, c.verdicts)
		}
	}
}

func TestSickAddressIsNotUsed(t *testing.T) {
	b := addresses(3)
	b.check(b.addresses[0], errBroken)
	for range 100 {
		if host := turn(b, up); host == "a.test" {
			t.Fatal("a request went to an address that its health checks speak against")
		}
	}
	if a := b.pick(b.addresses[1:]); a != b.addresses[0] {
		t.Error("with the others tried, it is still better than none")
	}
}

func TestRetryBudget(t *testing.T) {
	b := newRetryBudget(5)
	spend := func() (n int) {
		for b.spend() {
			n++
		}
		return n
	}
	if n := spend(); n != 5 {
		t.Errorf("full: %d retries, want 5", n)
	}
	for range 31 {
		b.earn()
	}
	if n := spend(); n != 3 {
		t.Errorf("after 31 requests: %d retries, want 3", n)
	}
	for range 1000 {
		b.earn()
	}
	if n := spend(); n != 5 {
		t.Errorf("full again: %d retries, want 5", n)
	}
	all := addresses(2)
	if all.mayRetry(all.addresses) {
		t.Error("a retry without an address that was not tried")
	}
}

// A failure after a request was sent may be that request's own fault. It takes several targets to speak against an address, and more
// than one client where there is more than one.
func TestFailuresOfOneClientOrTarget(t *testing.T) {
	errDied := errors.New("unexpected EOF")
	for _, c := range []struct {
		name     string
		requests string // client and target of each: those of z are answered by another address
		pause    time.Duration
		out      bool
	}{
		{"one target, many clients", "a1 b1 c1 d1 e1 f1", 0, false},
		{"one client, many targets", "z9 a1 a2 a3 a4 a5", 0, false},
		{"one client, and there is no other", "a1 a2 a3", 0, true},
		{"one client, and for long there was no other", "z9 a8 a1 a2 a3", time.Minute, true},
		{"three targets of two clients", "z9 a1 a2 b3", 0, true},
		{"three targets of three clients", "a1 b2 c3", 0, true},
		{"two targets", "a1 b2 a2 b1 c1 c2", 0, false},
	} {
		bubbles.Test(t, func(t *testing.T) {
			b := addresses(2)
			at := b.addresses[0]
			for i, r := range strings.Fields(c.requests) {
				of := failure{target: uint64(r[1]), client: netip.PrefixFrom(netip.AddrFrom4([4]byte{r[0]}), 32)}
				if r[0] == 'z' {
					b.judge(b.addresses[1], nil, of)
					continue
				}
				<-time.After(c.pause)
				at.trying = i%2 == 0
				b.judge(at, errDied, of)
				if at.trying {
					t.Errorf("%s: nobody else may try the address", c.name)
				}
			}
			if at.ejected() != c.out {
				t.Errorf("%s: out of use: %v", c.name, !c.out)
			}
			// One client cannot keep an address out either: it comes back as soon as after the first failure.
			for range 20 {
				at.unreached = ejectAfter
				<-time.After(time.Until(at.outUntil))
				b.judge(b.addresses[1], nil, failure{client: netip.MustParsePrefix("192.0.2.1/32")})
				b.judge(at, errDied, failure{client: netip.PrefixFrom(netip.AddrFrom4([4]byte{'a'}), 32), target: '1'})
			}
			if pause := time.Until(at.outUntil); pause > minEjection {
				t.Errorf("%s: after 20 failures of one request it is left alone for %v", c.name, pause)
			}
		})
	}
}
