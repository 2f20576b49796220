package admin

import (
	"net/http"
	"time"

	"golang.org/x/time/rate"
)

const (
	// freeGuesses is how many wrong tokens are answered without delay, since a caller with a rotated secret is no
	// attacker. One comes back each second.
	freeGuesses = 5
	// maxDelay bounds the delay of an answer to a wrong token.
	maxDelay = time.Second
	// maxDebt bounds the wrong tokens that count beyond the free ones. After as many seconds without a wrong token the
	// count is back to zero.
	maxDebt = 60
	// maxHeld bounds the answers that are delayed at a time.
	maxHeld = 32
	// loudRefusals is how many refusals of callers without a known token are logged in a row. One comes back every
	// quietTime.
	loudRefusals = 10
	quietTime    = 6 * time.Second
)

// guesses slows down callers that guess tokens, from any number of addresses. Only answers to wrong tokens are delayed.
// Delaying right ones would let anyone keep an operator from purging. guesses is safe for concurrent use.
type guesses struct {
	pace *rate.Limiter // of wrong tokens
	loud *rate.Limiter // of log lines
	held chan struct{} // holds an element for each delayed answer
}

func newGuesses() guesses {
	return guesses{
		pace: rate.NewLimiter(1, freeGuesses), loud: rate.NewLimiter(rate.Every(quietTime), loudRefusals), held: make(chan struct{}, maxHeld),
	}
}

// delay counts a wrong token and returns the delay for its answer.
func (g *guesses) delay(now time.Time) time.Duration {
	if g.pace.TokensAt(now) <= -maxDebt {
		return maxDelay
	}
	return min(maxDelay, g.pace.ReserveN(now, 1).DelayFrom(now))
}

// hold delays an answer. hold returns false at once where too many answers are delayed already.
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

// refused counts a refused caller and delays the answer to a wrong token. Callers with a known token are only counted.
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
