package httpcache

import "time"

// Lifetime says how old a copy is and how long the copy may be used (RFC 9111 §4.2). The zero value is Dead at any
// time.
type Lifetime struct {
	Date       time.Time     // when the origin made the answer, by its own clock; Received where unknown
	Received   time.Time     // when the header arrived here; every time below counts from here
	InitialAge time.Duration // corrected_initial_age: the age on arrival (§4.2.3)
	Fresh      time.Duration // freshness_lifetime: the age up to which the copy is fresh; zero: never

	StaleWhileRevalidate time.Duration // how long after Fresh the copy may be served during its renewal (RFC 5861 §3)
	StaleIfError         time.Duration // how long after Fresh the copy may stand in for a failing origin (RFC 5861 §4)

	// Keep is how long after Received the copy may be held in total: for the rest of Fresh and the longer of the two
	// stale windows. A copy with a validator is held for at least as long again as it was fresh, but no less than ten
	// minutes and no more than a day, so that the origin can confirm the copy instead of sending the answer anew. Keep
	// never exceeds MaxKeep.
	Keep time.Duration

	MustRevalidate bool // must-revalidate, proxy-revalidate or s-maxage: never served stale
	NoCache        bool // never served without asking the origin first
}

// MaxKeep is the longest time that any copy is held, whatever the origin says. So it bounds how long invalidations must
// be remembered.
const MaxKeep = 365 * 24 * time.Hour

const (
	minValidationKeep = 10 * time.Minute
	maxValidationKeep = 24 * time.Hour
)

// Freshness says what a copy may be used for at one moment. A greater value allows more.
type Freshness uint8

const (
	// Dead is a copy that must not be used at all, not even for validation. The zero value.
	Dead Freshness = iota
	// NeedsValidation is a copy that may be used only after the origin has confirmed it.
	NeedsValidation
	// StaleOnError is a stale copy that may be served only if the origin fails (RFC 5861 §4).
	StaleOnError
	// StaleServable is a stale copy that may be served during its renewal (RFC 5861 §3), and where the origin fails.
	StaleServable
	// Fresh is a copy that may be served without the origin.
	Fresh
)

// String is the word used in explanations.
func (f Freshness) String() string {
	return [...]string{"dead", "needs-validation", "stale-on-error", "stale", "fresh"}[f]
}

// Age is current_age (RFC 9111 §4.2.3), the value of the Age field. Age is never negative, even after the clock was set
// back.
func (l Lifetime) Age(now time.Time) time.Duration {
	return min(max(l.InitialAge, 0)+l.resident(now), maxDelta)
}

// Left is how much longer the copy is fresh: the ttl of Cache-Status. Negative: how long the copy has been stale.
func (l Lifetime) Left(now time.Time) time.Duration { return l.Fresh - l.Age(now) }

// Retention is how long after Received a store may hold the copy.
func (l Lifetime) Retention() time.Duration { return l.Keep }

// Until is the moment from which the copy is Dead.
func (l Lifetime) Until() time.Time { return l.Received.Add(l.Keep) }

// State says what the copy may be used for now. A response is fresh while its lifetime is greater than its age (RFC
// 9111 §4.2).
func (l Lifetime) State(now time.Time) Freshness {
	if l.resident(now) >= l.Keep {
		return Dead
	}
	left := l.Left(now)
	switch {
	case l.NoCache:
		return NeedsValidation
	case left > 0:
		return Fresh
	case l.MustRevalidate:
		return NeedsValidation
	case -left < l.StaleWhileRevalidate:
		return StaleServable
	case -left < l.StaleIfError:
		return StaleOnError
	}
	return NeedsValidation
}

// resident is resident_time: the time since the copy arrived.
func (l Lifetime) resident(now time.Time) time.Duration {
	return min(max(now.Sub(l.Received), 0), maxDelta)
}

// WorthKeeping computes Keep from the other fields. validator says whether the copy has a validator.
func (l Lifetime) WorthKeeping(validator bool) time.Duration {
	left := max(l.Fresh-l.InitialAge, 0)
	held := l.Fresh + max(l.StaleWhileRevalidate, l.StaleIfError) - l.InitialAge
	if validator {
		held = max(held, left+min(max(l.Fresh, minValidationKeep), maxValidationKeep))
	}
	return min(max(held, 0), MaxKeep)
}

// JustStale says what a copy in a state may be used for after a soft purge: the copy counts as having become stale at
// this moment.
func (l Lifetime) JustStale(state Freshness) Freshness {
	switch {
	case l.MustRevalidate || l.NoCache:
		return NeedsValidation
	case l.StaleWhileRevalidate > 0 && (state == Fresh || state == StaleServable):
		return StaleServable
	case l.StaleIfError > 0 && state >= StaleOnError:
		return StaleOnError
	default:
		return NeedsValidation
	}
}
