package admin

import (
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

const (
	// freeGuesses is how many wrong tokens are answered at once: a secret that was rotated is no attack. They come back one a
	// second.
	freeGuesses = 5
	// maxDelay is how long the answer to a wrong token is held back at most.
	maxDelay = time.Second
	// maxDebt is how many wrong tokens beyond the free ones count: as many seconds after the last of them, all is forgotten.
	maxDebt = 60
	// maxHeld is how many answers are held back at a time.
	maxHeld = 32
	// loudRefusals is how many calls that were turned away without a token that is known here have a line in the log at once.
	// One comes back every quietTime.
	loudRefusals = 10
	quietTime    = 6 * time.Second
)

// guesses slows down whoever tries tokens out, from however many addresses. Only the answer to a wrong token is held back: a
// right one is never kept waiting, or anyone could keep an operator from purging. It is safe for concurrent use.
type guesses struct {
	pace *rate.Limiter // of wrong tokens
	loud *rate.Limiter // of lines in the log
	held chan struct{} // has one for each answer that is held back
}

func newGuesses() guesses {
	return guesses{
		pace: rate.NewLimiter(1, freeGuesses), loud: rate.NewLimiter(rate.Every(quietTime), loudRefusals), held: make(chan struct{}, maxHeld),
	}
}

// delay counts a wrong token, and says how long its answer is to be held back.
func (g *guesses) delay(now time.Time) time.Duration {
	if g.pace.TokensAt(now) <= -maxDebt {
		return maxDelay
	}
	return min(maxDelay, g.pace.ReserveN(now, 1).DelayFrom(now))
}

// hold holds an answer back. It reports false, at once, where too many are held already.
func (g *guesses) hold(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	select {
	case g.held <- struct{}{}:
	default:
		return false
	}
	defer func() { <-g.held }()
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
	return true
}

// refused counts a caller that was turned away, and keeps who guesses waiting. One that presented a token which is known
// here is not a stranger.
func (h *handler) refused(r *request, p *problem) {
	h.Refused(p.refusal)
	if p.refusal == refusedScope || p.refusal == refusedBounds {
		return
	}
	now := time.Now()
	r.entry.silent = !h.guesses.loud.AllowN(now, 1)
	if p.refusal == refusedUnknown && !h.guesses.hold(r.Request, h.guesses.delay(now)) {
		p.header.Set("Connection", "close") // each further guess costs a connection
	}
}
