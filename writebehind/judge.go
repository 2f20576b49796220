package writebehind

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// Try is what came of one try of a write.
type Try struct {
	Sent       bool          // it may have reached the origin
	Status     int           // of the answer; zero: there was none
	RetryAfter time.Duration // as the answer says it; zero: it does not
	Problem    string        // where there was no answer
	// Unasked says that the origin was not asked, for a reason on this side of it: it needs no rest, and the next try is soon.
	Unasked bool
	// AtWork is for how long the origin may go on with a try that it did not answer in time; zero: it was not at work on one. The next write
	// of the key, the same one or a later, is not begun before: the old one would land after it.
	AtWork time.Duration
	// Confirmed says that what the write makes unusable is so everywhere, where the origin has done it. Confirm makes it so where it is not;
	// nil: nobody here knows what the origin's answer has named.
	Confirmed bool
	Confirm   func(context.Context) error
}

// verdict is what follows for the write.
type verdict struct {
	State   State         // flushed, Waiting or Dead
	Wait    time.Duration // Waiting: for how long at least
	Blocks  bool          // Dead: the key waits until somebody has decided, because nobody knows what the origin has done
	Hold    time.Duration // Dead: for how long the key waits before that is noted, because the origin may be at work on it yet
	Problem string        // what is wrong; empty: nothing
}

const (
	firstPause   = 200 * time.Millisecond
	longestPause = time.Minute
	// longestUnasked is that where the origin was not asked.
	longestUnasked = 5 * time.Second
	// shortestPause keeps the last try apart from the one before.
	shortestPause = firstPause / 2
	// longestAsked bounds what an origin can ask for with Retry-After.
	longestAsked = 15 * time.Minute
)

// judge says what follows from a try. tried is when the first one began, attempts how many there were, this one included; random is from 0 to 1.
//
// What was not done for certain is tried again: what was not sent, and what was refused before it was looked at (425, 429). So is what may
// have been done, where doing it twice is as good as once (RFC 9110 §9.2.2). Everything else waits for somebody to decide: it blocks its
// key where nobody knows whether it was done, and does not where the origin has said that it will not do it.
func judge(w *Write, attempts int, tried, now time.Time, t Try, random float64) verdict {
	again := func(problem string) verdict {
		wait := pause(attempts, max(t.RetryAfter, t.AtWork), random)
		if t.Unasked {
			wait = min(wait, longestUnasked)
		}
		if w.MaxAge > 0 {
			left := w.MaxAge - now.Sub(tried)
			if left <= 0 {
				return verdict{State: Dead, Hold: t.AtWork, Problem: "too old: " + problem}
			}
			wait = min(wait, max(left, shortestPause, t.AtWork)) // then comes the last try, whatever the origin has asked for
		}
		return verdict{State: Waiting, Wait: wait, Problem: problem}
	}
	if t.Status == 0 {
		if !t.Sent || w.Repeatable() {
			return again(t.Problem)
		}
		return verdict{State: Dead, Blocks: true, Problem: "nobody knows whether it was done: " + t.Problem}
	}
	said := fmt.Sprintf("the origin answered %d", t.Status)
	switch code := t.Status; {
	case code >= 200 && code < 300, code == http.StatusSeeOther:
		return verdict{State: flushed}
	case w.Method == http.MethodDelete && attempts > 1 && (code == http.StatusNotFound || code == http.StatusGone):
		return verdict{State: flushed} // a try before has done it, and its answer was lost
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

// pause grows from try to try, up to a bound, and is drawn from its upper half so that what failed together does not return together. It
// is never shorter than what the origin has asked for, within reason.
func pause(attempts int, asked time.Duration, random float64) time.Duration {
	most := longestPause
	if shift := attempts - 1; shift >= 0 && shift < 9 {
		most = min(most, firstPause<<shift)
	}
	return max(most/2+time.Duration(random*float64(most/2)), min(asked, longestAsked))
}
