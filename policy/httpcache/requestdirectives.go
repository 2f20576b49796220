package httpcache

import (
	"net/http"
	"time"
)

// RequestDirectives is what the Cache-Control of a request asks of caches (RFC 9111 §5.2.1), beyond only-if-cached. The zero value
// asks nothing.
type RequestDirectives struct {
	NoStore bool // no-store: nothing of the exchange is kept
	NoCache bool // no-cache, or Pragma: no-cache without Cache-Control (§5.4): the origin confirms

	// MaxAge is how old the answer may be, MinFresh for how long more it has to be fresh, MaxStale for how long it may
	// have been stale, StaleIfError the same where the origin fails (RFC 5861 §4). Each counts only where its Has flag is
	// set; of StaleIfError zero asks nothing.

	MaxAge, MinFresh, MaxStale, StaleIfError time.Duration
	HasMaxAge, HasMinFresh, HasMaxStale      bool
}

// ParseRequestDirectives reads the directives of a request. A number that cannot be read is the one that asks for the freshest answer.
func ParseRequestDirectives(h http.Header) RequestDirectives {
	lines := h["Cache-Control"]
	if len(lines) == 0 && len(h["Pragma"]) == 0 {
		return RequestDirectives{}
	}
	d := ParseDirectives(lines)
	return RequestDirectives{
		// A field that cannot be read may ask for more: with NoCache, none of its permissions counts.
		NoStore: d.NoStore, NoCache: d.NoCache || d.Malformed || len(lines) == 0 && ParseDirectives(h["Pragma"]).NoCache,
		MaxAge: d.MaxAge, HasMaxAge: d.HasMaxAge, MinFresh: d.MinFresh, HasMinFresh: d.HasMinFresh,
		MaxStale: d.MaxStale, HasMaxStale: d.HasMaxStale, StaleIfError: d.StaleIfError,
	}
}

// Use is what a copy in this state may be used for where a request has directives. Directives make a copy good for less; only
// max-stale and stale-if-error make a stale copy good for more, where the origin has not forbidden that (§5.2.1.2, §4.2.4).
func (d RequestDirectives) Use(l Lifetime, state Freshness, now time.Time) Freshness {
	use := d.use(l, state, now)
	forbidden := state == Dead || l.NoCache || l.MustRevalidate || d.NoCache
	if d.StaleIfError > 0 && !forbidden && -l.Left(now) <= d.StaleIfError {
		return max(use, StaleOnError)
	}
	return use
}

func (d RequestDirectives) use(l Lifetime, state Freshness, now time.Time) Freshness {
	left := l.Left(now)
	switch {
	case state <= NeedsValidation && (state == Dead || l.NoCache || l.MustRevalidate):
		return state
	case d.NoCache, d.HasMaxAge && l.Age(now) > d.MaxAge:
		return NeedsValidation
	case d.HasMaxStale && left <= 0:
		if d.HasMinFresh || -left > d.MaxStale {
			return min(state, NeedsValidation)
		}
		return max(state, StaleServable)
	case d.HasMinFresh && left < d.MinFresh, d.HasMaxAge && left <= 0:
		return NeedsValidation
	}
	return state
}
