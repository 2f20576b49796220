package observe

import "cacheproxy/policy"

// class is the hundred of a status. Metrics tell answers apart by six classes instead of some sixty statuses.
type class uint8

const (
	otherClass class = iota // no answer, or a status beyond 599
	informational
	successful
	redirecting
	clientError
	serverError

	classes
)

// String is the value of the label code.
func (c class) String() string { return [classes]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}[c] }

func classOf(status int) class {
	if c := status / 100; c > 0 && c < int(classes) {
		return class(c)
	}
	return otherClass
}

// expected are the classes of an outcome whose counters begin at zero, so that the first increment is visible. Of the
// classes that origins answer with, errors matter most to those who watch.
func expected(o policy.Outcome) []class {
	switch o {
	case policy.Hit, policy.Stale, policy.Revalidated, policy.WouldHit, policy.WouldDiffer:
		return []class{successful}
	case policy.Queued, policy.Board: // few routes have these outcomes
		return nil
	case policy.Shed, policy.Failed:
		return []class{serverError}
	}
	return []class{successful, serverError}
}
