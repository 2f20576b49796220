package writebehind

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Try is the outcome of one try of a write.
type Try struct {
	Sent       bool          // the write may have reached the origin
	Status     int           // of the answer; zero: no answer
	RetryAfter time.Duration // as in the answer; zero: not given
	Problem    string        // why no answer came
	// Unasked says that the origin was not asked, for a reason on this side. The origin then needs no rest, and the
	// next try is soon.
	Unasked bool
	// AtWork is how long the origin may still work on a try that it did not answer in time; zero: the origin is not at
	// work. The next write of the key, this one or a later one, does not begin before: the old request would take
	// effect after the new one.
	AtWork time.Duration
	// Confirmed says that the copies that the write affects are unusable on every instance, if the origin has done the
	// write. If Confirmed is false, Confirm makes them so; nil: this process does not know which copies the origin's
	// answer named.
	Confirmed bool
	Confirm   func(context.Context) error
}

// verdict is the consequence of a try for the write.
type verdict struct {
	State   State         // flushed, Waiting or Dead
	Wait    time.Duration // Waiting: the least time to the next try
	Blocks  bool          // Dead: the key waits for a decision, because nobody knows what the origin has done
	AtWork  time.Duration // as in Outcome
	Problem string        // the problem; empty: none
}

const (
	firstPause   = 200 * time.Millisecond
	longestPause = time.Minute
	// longestUnasked is the longest pause if the origin was not asked.
	longestUnasked = 5 * time.Second
	// shortestPause is the least pause between the last try and the one before.
	shortestPause = firstPause / 2
	// longestAsked bounds the pause that an origin can ask for with Retry-After.
	longestAsked = 15 * time.Minute
)

// judge decides what follows from a try. tried is the time of the first try, attempts the number of tries including
// this one, random a number from 0 to 1.
//
// A write is tried again if the origin has certainly not done it: the request was not sent, or was refused before it
// was processed (425, 429). A write that may have been done is tried again if doing it twice has the same effect as
// once (RFC 9110 §9.2.2). All other writes wait for a decision. Such a write blocks its key if nobody knows whether it
// was done, and does not block the key if the origin has refused it.
func judge(w *Write, attempts int, tried, now time.Time, t Try, random float64) verdict {
	again := func(problem string) verdict {
		wait := pause(attempts, max(t.RetryAfter, t.AtWork), random)
		if t.Unasked {
			wait = min(wait, longestUnasked)
		}
		if w.MaxAge > 0 {
			left := w.MaxAge - now.Sub(tried)
			if left <= 0 {
				return verdict{State: Dead, AtWork: t.AtWork, Problem: "too old: " + problem}
			}
			wait = min(wait, max(left, shortestPause, t.AtWork)) // the last try comes before MaxAge, even against Retry-After
		}
		return verdict{State: Waiting, Wait: wait, AtWork: t.AtWork, Problem: problem}
	}
	if t.Status == 0 {
		if !t.Sent || w.Repeatable() {
			return again(t.Problem)
		}
		return verdict{State: Dead, Blocks: true, AtWork: t.AtWork, Problem: "nobody knows whether it was done: " + t.Problem}
	}
	said := fmt.Sprintf("the origin answered %d", t.Status)
	switch code := t.Status; {
	case code >= 200 && code < 300, code == http.StatusSeeOther:
		return verdict{State: flushed}
	case w.Method == http.MethodDelete && attempts > 1 && (code == http.StatusNotFound || code == http.StatusGone):
		return verdict{State: flushed} // an earlier try has deleted the resource, and its answer was lost
	case code == http.StatusTooEarly, code == http.StatusTooManyRequests:
		return again(said)
	case code >= 500, code == http.StatusRequestTimeout:
		if w.Repeatable() {
			return again(said)
		}
		return verdict{State: Dead, Blocks: true, Problem: "nobody knows whether it was done: " + said}
	}
	return verdict{State: Dead, Problem: said}
}

// pause grows from try to try, up to a bound. The pause is drawn from the upper half of the range, so that writes that
// fail together do not return together. It is never shorter than asked, up to longestAsked.
func pause(attempts int, asked time.Duration, random float64) time.Duration {
	most := longestPause
	if shift := attempts - 1; shift >= 0 && shift < 9 {
		most = min(most, firstPause<<shift)
	}
	return max(most/2+time.Duration(random*float64(most/2)), min(asked, longestAsked))
}
