package policy

// Outcome says in one word how a request was answered. It labels the metrics and the access log and decides the form of
// Cache-Status. The vocabulary is closed.
type Outcome uint8

const (
	// Pass is a request that went to the origin unchanged. The zero value.
	Pass Outcome = iota
	// Hit is an answer from a fresh copy.
	Hit
	// Stale is an answer from a copy past its freshness, inside a window that allows it.
	Stale
	// Revalidated is an answer from a copy that the origin has just confirmed with a 304.
	Revalidated
	// Miss is an answer fetched from the origin for this request.
	Miss
	// Collapsed is an answer fetched from the origin for another request that came first.
	Collapsed
	// Write is an unsafe request that was forwarded and whose invalidations were applied.
	Write
	// Shed is a request that the proxy refused because the origin has no place for it.
	Shed
	// Failed is a request that the proxy had to answer with an error of its own.
	Failed
	// Queued is a request that the queue of writes answered: a write that it accepted, or a question about its
	// contents.
	Queued
	// Board is a request that the records of a board answered: a submission, or a read.
	Board
	// WouldHit is a request of an observed route that a copy would have answered with the same bytes.
	WouldHit
	// WouldDiffer is a request of an observed route that a copy would have answered differently.
	WouldDiffer
	// WouldMiss is a request of an observed route that no copy would have answered.
	WouldMiss

	outcomes
)

var outcomeNames = [outcomes]string{
	Pass: "pass", Hit: "hit", Stale: "stale", Revalidated: "revalidated", Miss: "miss", Collapsed: "collapsed",
	Write: "write", Queued: "queued", Board: "board", Shed: "shed", Failed: "error",
	WouldHit: "would_hit", WouldDiffer: "would_differ", WouldMiss: "would_miss",
}

// String is the value of the label outcome in metrics and logs.
func (o Outcome) String() string { return outcomeNames[o] }

// Outcomes lists every outcome, for pre-registering metrics.
func Outcomes() []Outcome {
	all := make([]Outcome, outcomes)
	for i := range all {
		all[i] = Outcome(i)
	}
	return all
}
