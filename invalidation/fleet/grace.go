package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// grace keeps this instance from taking a lease too early, and a purge from being confirmed too early, after a start, and after the
// server or the log has become another one (R13, R16). Entries of the server before may be lost then, and the instances that have
// applied them need time to write them again.
//
// Follower.mu guards all fields. Receive, InstallSnapshot and Rewind write them; Confirmation reads epochStart and longest.
type grace struct {
	name  string
	lease *invalidation.Lease
	own   time.Duration // this instance's lease

	// longest is the longest lease that any instance may hold, as far as this one has heard. It goes down only where the epoch has
	// settled: until then an instance may hold a lease that the present server does not know of.
	longest time.Duration
	server  string // as the server last named itself
	// epochStart is when the present epoch began: until then instances may have been registered with another server, or at
	// positions of another log, and had no reason to come over. Zero: no server has answered yet.
	epochStart time.Time
	edition    string    // of the server's list of instances; empty: no reply has told it since the server is this one
	edited     time.Time // when this instance last found the list to have another; zero: it never has
	began      time.Time // when the grace period began; zero: none has
	// firstBeats are the heartbeats of the others as they were first seen in the grace period. Nil: none is under way.
	firstBeats map[string]uint64
	// missing are instances that were live in the log before, or are on the list of a server that they have not spoken to in its present term. If
	// such an instance does not come over, it may have been the only one that knew of an invalidation.
	missing []string
	// unheard says that the grace period has ended before all live instances have said what they know (graceAtMost).
	unheard bool
}

// observeServer notes which server has replied. Where the server is not the one before, entries may have been lost, and an
// instance whose lease has lapsed does not know which: it may have missed them while they were in the log. So may an instance that
// has just started. How long the server has been up says nothing: a replica that was up all the time may have taken over without the
// last entries. An instance whose lease holds has applied everything that a purge was confirmed for, and goes on.
func (g *grace) observeServer(r SyncReply, now time.Time) {
	if r.Server == "" || r.Server == g.server {
		return
	}
	g.server, g.edition = r.Server, ""
	if !g.lease.Valid(now) {
		g.begin(now)
	}
	g.epochStart = now
}

// observeList notes the edition of the list. If the edition has changed, instances that hold leases may have been taken off, so that a new epoch begins, as
// when another server has taken over.
func (g *grace) observeList(r SyncReply, now time.Time) {
	if g.edition != "" && g.edition != r.Edition {
		g.epochStart, g.edited = now, now
	}
	g.edition = r.Edition
}

// heed notes how long the others may hold a lease.
func (g *grace) heed(r SyncReply, now time.Time) {
	longest := max(r.Longest, g.longestOf(r.Live))
	if longest > g.longest || !now.Before(g.settled()) {
		g.longest = longest
	}
}

// longestHeard is the longest lease that an instance which is not on the list may hold. An instance that starts has to wait for that lease too, and can
// hear of it only from instances that have known the server or the log before.
func (g *grace) longestHeard(now time.Time) time.Duration {
	if now.Before(g.settled()) {
		return g.longest
	}
	return g.own
}

// longestLeft is what the longest lease of the log may be set to at a time: to that of the instances that are on the list, once the
// epoch has settled. Whoever went off the list holds no lease.
func (g *grace) longestLeft(inLog time.Duration, live []Peer, now time.Time) time.Duration {
	if now.Before(g.settled()) {
		return inLog
	}
	return g.longestOf(live)
}

func (g *grace) longestOf(live []Peer) time.Duration {
	longest := g.own
	for _, p := range live {
		longest = max(longest, p.lease())
	}
	return longest
}

// leaseTimeout is how long any instance may hold a lease without a sign of life.
func (g *grace) leaseTimeout() time.Duration { return invalidation.Timeout(g.longest) }

// settled is from when on an instance that is not registered can hold no lease from before the present epoch.
func (g *grace) settled() time.Time { return g.epochStart.Add(g.leaseTimeout()) }

// begin starts a grace period: it lasts for as long as another instance may hold a lease from before, and until all live
// instances have said what they know (quorumSettled).
func (g *grace) begin(now time.Time) {
	g.began, g.firstBeats, g.unheard = now, map[string]uint64{}, false
}

// graceAtMost is how many lease timeouts of the fleet a grace period takes at most. After one, an instance that owes an entry has written it; after two, an
// instance that has died is off the list. An instance on the list that still owes, or whose heartbeat has never changed, will not tell anything, and
// counts as one that has not come over.
const graceAtMost = 3

// over reports whether there is no grace period, or whether the one that began may end now. term is the present one.
func (g *grace) over(live []Peer, term uint32, now time.Time) bool {
	if g.firstBeats == nil {
		return true
	}
	quorum := g.quorumSettled(live, term)
	if g.vouched(live, term, now) {
		g.missing, g.unheard = nil, false
		return true
	}
	waited := now.Sub(g.began)
	g.unheard = !quorum && waited >= graceAtMost*g.leaseTimeout()
	return g.unheard || quorum && waited >= g.leaseTimeout()
}

// quorumSettled reports whether all live instances have said what they know: the heartbeat of each has changed since the grace
// period began, and none has an entry left to write. The quorum is all of them, since any one may be the only one to know an entry.
// An instance that has died does not hold up the others for ever: it is suspected, and taken off the list (and see graceAtMost).
func (g *grace) quorumSettled(live []Peer, term uint32) bool {
	settled := true
	for _, p := range live {
		first, seen := g.firstBeats[p.Name]
		if !seen {
			g.firstBeats[p.Name] = p.Beat
			if p.Lease > 0 && p.Term != term { // a version that does not say its lease does not say its term either
				g.missing = append(g.missing, p.Name)
			}
		}
		if p.Name != g.name && (!seen || p.Beat == first || p.Owes) {
			settled = false
		}
	}
	return settled
}

// vouched reports whether another instance has gone through all that this one would wait for: it has held its lease in the present
// term for as long as any instance may hold one. What was confirmed before the term, it had applied, and has written again where that
// was lost; and whoever has not come over to the term since can hold no lease. Its heartbeat must have changed in the grace period: a
// server that comes back has a list from before, which says what was true then. A lower one is from before, too: no instance counts back.
// What it has gone through before the present edition of the list says nothing of who was taken off.
func (g *grace) vouched(live []Peer, term uint32, now time.Time) bool {
	for _, p := range live {
		first, seen := g.firstBeats[p.Name]
		if p.Name == g.name || !seen || p.Beat <= first || p.Term != term || p.Held < g.leaseTimeout() {
			continue
		}
		since := now.Add(-p.Held)
		if since.Before(g.edited) {
			continue
		}
		if since.Before(g.epochStart) {
			g.epochStart = since
		}
		return true
	}
	return false
}

// end ends the grace period, and reports whether an instance that may know more than the log has not come over.
func (g *grace) end(live []Peer) (someMissing bool) {
	gone := func(name string) bool {
		return !slices.ContainsFunc(live, func(p Peer) bool { return p.Name == name })
	}
	someMissing = slices.ContainsFunc(g.missing, gone) || g.unheard
	g.firstBeats, g.missing, g.unheard = nil, nil, false
	return someMissing
}
