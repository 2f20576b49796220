package httpcache

import (
	"net/http"
	"time"
)

// Wishes is what a client asks of caches beyond only-if-cached. The zero value asks nothing.
type Wishes struct {
	NoStore bool // no-store: nothing of the exchange is kept
	NoCache bool // no-cache, or Pragma: no-cache without Cache-Control (§5.4): the origin confirms

	// MaxAge is how old the answer may be, MinFresh for how long more it has to be fresh, MaxStale for how long it may
	// have been stale, StaleIfError the same where the origin fails (RFC 5861 §4). Each counts only where its Has flag is
	// set; of StaleIfError zero asks nothing.

	MaxAge, MinFresh, MaxStale, StaleIfError time.Duration
	HasMaxAge, HasMinFresh, HasMaxStale      bool
}

// ParseWishes reads the wishes of a request. A number that cannot be read is the one that asks for the freshest answer.
func ParseWishes(h http.Header) Wishes {
	lines := h["Cache-Control"]
	if len(lines) == 0 && len(h["Pragma"]) == 0 {
		return Wishes{}
	}
	d := ParseDirectives(lines)
	return Wishes{
		// What cannot be read may ask for more: with NoCache, nothing that it permits counts.
		NoStore: d.NoStore, NoCache: d.NoCache || d.Malformed || len(lines) == 0 && ParseDirectives(h["Pragma"]).NoCache,
		MaxAge: d.MaxAge, HasMaxAge: d.HasMaxAge, MinFresh: d.MinFresh, HasMinFresh: d.HasMinFresh,
		MaxStale: d.MaxStale, HasMaxStale: d.HasMaxStale, StaleIfError: d.StaleIfError,
	}
}

// Use is what a copy in this state may be used for where a client has wishes. They make a copy good for less; only
// max-stale and stale-if-error make a stale one good for more, where the origin has not forbidden it (§5.2.1.2, §4.2.4).
func (w Wishes) Use(l Lifetime, state Freshness, now time.Time) Freshness {
	use := w.use(l, state, now)
	forbidden := state == Dead || l.NoCache || l.MustRevalidate || w.NoCache
	if w.StaleIfError > 0 && !forbidden && -l.Left(now) <= w.StaleIfError {
		return max(use, StaleOnError)
	}
	return use
}

func (w Wishes) use(l Lifetime, state Freshness, now time.Time) Freshness {
	left := l.Left(now)
	switch {
	case state <= NeedsValidation && (state == Dead || l.NoCache || l.MustRevalidate):
		return state
	case w.NoCache, w.HasMaxAge && l.Age(now) > w.MaxAge:
		return NeedsValidation
	case w.HasMaxStale && left <= 0:
		if w.HasMinFresh || -left > w.MaxStale {
			return min(state, NeedsValidation)
		}
		return max(state, StaleServable)
	case w.HasMinFresh && left < w.MinFresh, w.HasMaxAge && left <= 0:
		return NeedsValidation
	}
	return state
}
