package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// grace keeps this instance from taking a lease too early, and a purge from being confirmed too early, after the server or the log
// has become another one (R13, R16). Entries of the server before may be lost then, and the instances that have applied them need
// time to write them again.
//
// Follower.mu guards all fields. Receive, InstallSnapshot and Rewind write them; Confirmation reads epochStart.
type grace struct {
	name         string
	lease        *invalidation.Lease
	leaseTimeout time.Duration

	server string // as the server last named itself
	// epochStart is when the present epoch began: until then instances may have been registered with another server, or at
	// positions of another log. Zero: no server has answered yet. It only moves forward.
	epochStart time.Time
	// until is the end of the grace period: no lease is taken before. Zero: none was needed yet.
	until time.Time
	// firstBeats are the heartbeats of the others as they were first seen in the grace period. Nil: nobody is waited for.
	firstBeats map[string]uint64
	// missing are the instances that were live in the log before. One that does not come over to the new log may have taken with
	// it the only record of an invalidation.
	missing []string
}

// observeServer notes which server has replied. Where the server is not the one before, entries may have been lost, and an
// instance whose lease has lapsed does not know which: it may have missed them while they were in the log. An instance whose
// lease holds has applied everything that a purge was confirmed for, and goes on.
//
// For the first server that this instance meets, Up says whether others may know more: a young server may have followed on
// another, whose last entries only the others have.
func (g *grace) observeServer(r SyncReply, now time.Time) {
	if r.Server == "" || r.Server == g.server {
		return
	}
	first := g.server == ""
	g.server = r.Server
	if young := r.Up > 0 && r.Up < g.leaseTimeout; (!first || young) && !g.lease.Valid(now) {
		g.begin(now)
	}
	if !first {
		r.Up = 0 // how long ago the server before went away is not known
	}
	g.startEpoch(now.Add(-r.Up))
}

// startEpoch notes since when all instances have had reason to come over to the present server and log.
func (g *grace) startEpoch(since time.Time) {
	if g.epochStart.Before(since) {
		g.epochStart = since
	}
}

// settled is from when on an instance that is not registered can hold no lease from before the present epoch.
func (g *grace) settled() time.Time { return g.epochStart.Add(g.leaseTimeout) }

// begin starts a grace period: it lasts for as long as another instance may hold a lease from before, and until all live
// instances have said what they know (quorumSettled).
func (g *grace) begin(now time.Time) {
	g.until, g.firstBeats = now.Add(g.leaseTimeout), map[string]uint64{}
}

// quorumSettled reports whether all live instances have said what they know: the heartbeat of each has changed since the grace
// period began, and none has an entry left to write. The quorum is all of them, since any one may be the only one to know an entry.
// An instance that has died does not hold up the others for ever: it is suspected, and taken off the list.
func (g *grace) quorumSettled(live []Peer) bool {
	if g.firstBeats == nil {
		return true
	}
	settled := true
	for _, p := range live {
		first, seen := g.firstBeats[p.Name]
		if !seen {
			g.firstBeats[p.Name] = p.Beat
		}
		if p.Name != g.name && (!seen || p.Beat == first || p.Owes) {
			settled = false
		}
	}
	return settled
}

// end ends the grace period, and reports whether an instance of the log before has not come over.
func (g *grace) end(live []Peer) (someMissing bool) {
	gone := func(name string) bool {
		return !slices.ContainsFunc(live, func(p Peer) bool { return p.Name == name })
	}
	someMissing = slices.ContainsFunc(g.missing, gone)
	g.firstBeats, g.missing = nil, nil
	return someMissing
}
