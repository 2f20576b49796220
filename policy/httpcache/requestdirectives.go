package httpcache

import (
	"net/http"
	"time"
)

// RequestDirectives are the demands of a request's Cache-Control on caches (RFC 9111 §5.2.1), without only-if-cached.
// The zero value demands nothing.
type RequestDirectives struct {
	NoStore bool // no-store: no part of the exchange is stored
	NoCache bool // no-cache, or Pragma: no-cache without Cache-Control (§5.4): the origin must confirm a copy

	// MaxAge is the greatest allowed age of the answer. MinFresh is how much longer the answer must be fresh. MaxStale
	// is how long the answer may have been stale, and StaleIfError is the same where the origin fails (RFC 5861 §4).
	// The first three count only where their Has flag is set. A zero StaleIfError demands nothing.

	MaxAge, MinFresh, MaxStale, StaleIfError time.Duration
	HasMaxAge, HasMinFresh, HasMaxStale      bool
}

// ParseRequestDirectives reads the directives of a request. A malformed number counts as the one that demands the
// freshest answer.
func ParseRequestDirectives(h http.Header) RequestDirectives {
	lines := h["Cache-Control"]
	if len(lines) == 0 && len(h["Pragma"]) == 0 {
		return RequestDirectives{}
	}
	d := ParseDirectives(lines)
	return RequestDirectives{
		// A malformed field may demand more: with NoCache, none of its permissions counts.
		NoStore: d.NoStore, NoCache: d.NoCache || d.Malformed || len(lines) == 0 && ParseDirectives(h["Pragma"]).NoCache,
		MaxAge: d.MaxAge, HasMaxAge: d.HasMaxAge, MinFresh: d.MinFresh, HasMinFresh: d.HasMinFresh,
		MaxStale: d.MaxStale, HasMaxStale: d.HasMaxStale, StaleIfError: d.StaleIfError,
	}
}

// Use says what a copy in a state may be used for where the request has directives. Most directives reduce the use.
// Only max-stale and stale-if-error extend the use of a stale copy, where the origin has not forbidden that (§5.2.1.2,
// §4.2.4).
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
