package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// grace keeps this instance from taking a lease too early, and a purge from being confirmed too early. Both could
// happen after a start, and after the server or the log has become another one (R13, R16). The former server's
// entries may be lost then, and the instances that have applied them need time to write them again.
//
// Follower.mu guards all fields. Receive, InstallSnapshot and Rewind write them; the other methods of Follower, and
// Confirmation, read them.
type grace struct {
	name  string
	lease *invalidation.Lease
	own   time.Duration // this instance's lease

	// longest is the longest lease that any instance may hold, as far as this instance has heard. longest falls only
	// once the epoch has settled: until then an instance may hold a lease that the present server does not know of.
	longest time.Duration
	server  string // name that the server last gave itself
	// epochStart is the beginning of the present epoch. Before epochStart, instances may have been registered with
	// another server or at positions of another log, and had no reason to come over. Zero: no server has answered
	// yet.
	epochStart time.Time
	// edition is of the server's list of instances. Empty: no reply has told the edition since the server became the
	// present one.
	edition string
	edited  time.Time // when this instance last found the edition changed; zero: never
	began   time.Time // when the grace period began; zero: no grace period yet
	// firstBeats are the heartbeats of the others as this instance first saw them in the grace period. Nil: no grace
	// period is under way.
	firstBeats map[string]uint64
	// missing are the instances that were live in the log before, or on the list of a server that they have not
	// spoken to in its present term. An instance that does not come over may have taken with it the only record of an
	// invalidation.
	missing []string
	// unheard says that the grace period has ended although not all live instances have told what they know.
	unheard bool
}

// observeServer notes which server has replied. A change of server may have lost entries. An instance whose lease has
// lapsed does not know which entries: the instance may have missed them while they were in the log. The same holds
// for an instance that has just started. The server's uptime says nothing: a replica that was up all the time may
// have taken over without the last entries. An instance whose lease holds has applied every entry that a confirmed
// purge needed, and goes on.
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

// observeList notes the edition of the list. When the edition changes, somebody may have taken instances off the list
// that hold leases, as when a server has just taken over. So a new epoch begins.
func (g *grace) observeList(r SyncReply, now time.Time) {
	if g.edition != "" && g.edition != r.Edition {
		g.epochStart, g.edited = now, now
	}
	g.edition = r.Edition
}

// heed notes how long the others may hold a lease, as the reply tells.
func (g *grace) heed(r SyncReply, now time.Time) {
	longest := max(r.Longest, g.longestOf(r.Live))
	if longest > g.longest || !now.Before(g.settled()) {
		g.longest = longest
	}
}

// longestHeard returns the longest lease that an instance may hold which is not on the list. An instance that starts
// waits for that lease too, and hears of the lease only from instances that have known the server or the log before.
func (g *grace) longestHeard(now time.Time) time.Duration {
	if now.Before(g.settled()) {
		return g.longest
	}
	return g.own
}

// longestLeft returns the value to which the longest lease in the log may be set at now. Once the epoch has settled,
// that is the longest lease of the instances on the list: an instance that went off the list holds no lease.
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

// leaseTimeout returns how long any instance may hold a lease without a sign of life.
func (g *grace) leaseTimeout() time.Duration { return invalidation.Timeout(g.longest) }

// settled returns the moment from which on an instance that is not registered can hold no lease from before the
// present epoch.
func (g *grace) settled() time.Time { return g.epochStart.Add(g.leaseTimeout()) }

// begin starts a grace period. The period lasts for as long as another instance may hold a lease from before, and
// until all live instances have told what they know (quorumSettled).
func (g *grace) begin(now time.Time) {
	g.began, g.firstBeats, g.unheard = now, map[string]uint64{}, false
}

// graceAtMost is the length of a grace period, in lease timeouts of the fleet, that no period exceeds. An instance
// that owes an entry has written the entry after one timeout, and an instance that has died is off the list after
// two. An instance on the list that goes on owing, or whose heartbeat never changes although nobody takes the
// instance off, will tell nothing, and counts as one that has not come over.
const graceAtMost = 3

// over reports whether no grace period is under way, or the one under way may end at now. term is the present term.
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

// quorumSettled reports whether all live instances have told what they know: the heartbeat of each has changed since
// the grace period began, and none has an entry left to write. The quorum is all instances, since any single instance
// may be the only one that knows an entry. A dead instance does not hold up the others for ever: the others suspect
// the instance and take it off the list (and see graceAtMost).
func (g *grace) quorumSettled(live []Peer, term uint32) bool {
	settled := true
	for _, p := range live {
		first, seen := g.firstBeats[p.Name]
		if !seen {
			g.firstBeats[p.Name] = p.Beat
			if p.Lease > 0 && p.Term != term { // a version that does not tell its lease does not tell its term either
				g.missing = append(g.missing, p.Name)
			}
		}
		if p.Name != g.name && (!seen || p.Beat == first || p.Owes) {
			settled = false
		}
	}
	return settled
}

// vouched reports whether another instance has gone through all that this instance would wait for: the other has held
// its lease in the present term for as long as any instance may hold one. The other had applied every entry that was
// confirmed before the term, and has written the lost ones among them again. An instance that has not come over to
// the term since can hold no lease.
//
// The heartbeat of the voucher must have risen in the grace period. A server that comes back has an old list, which
// says what was true then. A lower heartbeat comes from an old list, too: no instance counts back. A lease that the
// voucher has held since before the present edition of the list says nothing of the instances that were taken off.
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

// end ends the grace period. someMissing says that an instance which may know more than the log has not come over.
func (g *grace) end(live []Peer) (someMissing bool) {
	gone := func(name string) bool {
		return !slices.ContainsFunc(live, func(p Peer) bool { return p.Name == name })
	}
	someMissing = slices.ContainsFunc(g.missing, gone) || g.unheard
	g.firstBeats, g.missing, g.unheard = nil, nil, false
	return someMissing
}
