package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy"
)

// meet notes which server answers. Where it is not the one from before, entries may have been lost, and an instance whose
// lease has lapsed does not know which: it leaves the others time to write them again before it trusts its copies.
func (f *Follower) meet(a Answer, now time.Time) {
	if a.Server == "" || a.Server == f.server {
		return
	}
	first := f.server == ""
	f.server = a.Server
	if young := a.Up > 0 && a.Up < f.patience(); (!first || young) && !f.lease.Valid(now) {
		f.wait(now)
	}
	if !first {
		a.Up = 0 // what it was before is not known
	}
	f.from(now.Add(-a.Up))
}

// from notes since when instances may not have come over to this server and this log. It never becomes earlier.
func (f *Follower) from(since time.Time) {
	if f.since.Before(since) {
		f.since = since
	}
}

// patience is how long an instance that is not heard of may still use copies.
func (f *Follower) patience() time.Duration { return f.duration + f.margin }

// wait takes no lease for as long as another instance may hold one, nor before those that are there have said all that they
// know.
func (f *Follower) wait(now time.Time) {
	f.grace, f.waiting = now.Add(f.patience()), map[string]uint64{}
}

// told reports whether nothing is waited for: every other instance on the list has been heard of since the wait began, and has
// nothing more to write. One that stays silent is taken off the list.
func (f *Follower) told(live []Peer) bool {
	if f.waiting == nil {
		return true
	}
	told := true
	for _, p := range live {
		first, seen := f.waiting[p.Name]
		if !seen {
			f.waiting[p.Name] = p.Beat
		}
		if p.Name != f.name && (!seen || p.Beat == first || p.Owes) {
			told = false
		}
	}
	return told
}

// extend takes the lease anew, from when the question was sent whose answer completed the ledger (rule Extend).
func (f *Follower) extend(sent time.Time, live []Peer, now time.Time) {
	if told := f.told(live); !told || now.Before(f.grace) || f.owes() {
		return
	}
	f.waiting = nil
	gone := func(name string) bool {
		return !slices.ContainsFunc(live, func(p Peer) bool { return p.Name == name })
	}
	if slices.ContainsFunc(f.missing, gone) {
		f.forget(now)
	}
	f.missing = nil
	f.lease.Extend(sent.Add(f.duration - f.margin))
}

// forget makes all copies unusable here: what was invalidated meanwhile cannot be known.
func (f *Follower) forget(now time.Time) {
	f.applyHere(invalidation.Entry{IDs: []invalidation.ID{allID}}, now)
}

// allID is the member of every copy.
var allID = invalidation.IDOf(policy.All)
