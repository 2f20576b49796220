package admin

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	// loudRefusals is how many calls of one address, turned away without a token that is known here, each have a line in the
	// log; of those after that, every power of two.
	loudRefusals = 10
	// freeGuesses is how many wrong tokens are answered at once: a secret that was rotated is no attack.
	freeGuesses = 5
	firstDelay  = 50 * time.Millisecond
	maxDelay    = time.Second
	// forgetAfter is how long an address is remembered after the last call that was turned away.
	forgetAfter = time.Minute
	maxGuessers = 1024 // addresses remembered; all others count as one
	maxHeld     = 64   // answers held back at a time
)

// guesses slows down who tries tokens out. Only the answer to a wrong token is held back: a right one is never kept waiting,
// or anyone could keep an operator from purging. It is safe for concurrent use, and its zero value is ready.
type guesses struct {
	mu   sync.Mutex
	by   map[netip.Prefix]guesser
	held int
}

// guesser is one address, and what it did lately.
type guesser struct {
	refused int // calls turned away
	wrong   int // those among them that presented a wrong token
	last    time.Time
}

// note counts a call from an address that was turned away, and returns what the address did lately.
func (g *guesses) note(from netip.Prefix, wrong bool, now time.Time) guesser {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.by == nil {
		g.by = map[netip.Prefix]guesser{}
	}
	if _, known := g.by[from]; !known && len(g.by) >= maxGuessers {
		g.forget(now)
		if len(g.by) >= maxGuessers {
			from = netip.Prefix{}
		}
	}
	who := g.by[from]
	if now.Sub(who.last) > forgetAfter {
		who = guesser{}
	}
	who.refused++
	if wrong {
		who.wrong++
	}
	who.last = now
	g.by[from] = who
	return who
}

// forget drops the addresses that have been quiet. The caller holds mu.
func (g *guesses) forget(now time.Time) {
	for from, who := range g.by {
		if now.Sub(who.last) > forgetAfter {
			delete(g.by, from)
		}
	}
}

// delayOf is how long the answer to the n-th wrong token is held back.
func delayOf(n int) time.Duration {
	if n <= freeGuesses {
		return 0
	}
	return min(maxDelay, firstDelay<<min(n-freeGuesses-1, 10))
}

// hold holds an answer back. It reports false, at once, where too many are held already.
func (g *guesses) hold(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	if !g.take() {
		return false
	}
	defer g.give()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
	return true
}

func (g *guesses) take() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held >= maxHeld {
		return false
	}
	g.held++
	return true
}

func (g *guesses) give() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held--
}

// refused counts a caller that was turned away, and keeps who guesses waiting. One that presented a token which is known
// here is not a stranger.
func (h *handler) refused(r *request, p *problem) {
	h.Refused(p.refusal)
	if p.refusal == refusedScope {
		return
	}
	wrong := p.refusal == refusedUnknown
	lately := h.guesses.note(networkOf(r.from), wrong, time.Now())
	r.entry.refusedLately = lately.refused
	if wrong && !h.guesses.hold(r.Request, delayOf(lately.wrong)) {
		p.header.Set("Connection", "close") // each further guess costs a connection
	}
}

// networkOf is whom an address belongs to: in IPv6 a host has a whole network to call from. The zero Prefix stands for a
// Unix socket.
func networkOf(peer string) netip.Prefix {
	ap, err := netip.ParseAddrPort(peer)
	if err != nil {
		return netip.Prefix{}
	}
	addr := ap.Addr().Unmap().WithZone("")
	bits := 32
	if addr.Is6() {
		bits = 64
	}
	network, _ := addr.Prefix(bits) // the bits fit the family
	return network
}
