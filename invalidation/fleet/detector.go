package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// failureDetector tells which instances must have lost their lease (R14). It judges by this instance's clock alone: what counts is
// for how long a heartbeat has not changed here. Times that other instances or the server wrote would make the verdict depend on
// the difference of two clocks, and after a failover on the clock of another server.
//
// Follower.mu guards all fields. Receive writes them, the reapers and the confirmations read them.
type failureDetector struct {
	name  string        // of this instance, which is not watched
	pause time.Duration // without a reply for longer than this, nothing is known of the others

	live      []Peer // by the last reply
	replied   time.Time
	heartbeat map[string]heartbeat
}

// heartbeat is when an instance's Beat was last seen to change, and the lease that it has said.
type heartbeat struct {
	beat  uint64
	at    time.Time
	lease time.Duration
}

// recall fills in the lease of instances whose entry on the list does not say it, if they have said it before. An instance's lease never changes, and
// without it the longest possible lease would have to be waited for.
func (d *failureDetector) recall(live []Peer) {
	for i, p := range live {
		if p.Lease == 0 {
			live[i].Lease = d.heartbeat[p.Name].lease
		}
	}
}

// observe notes whose heartbeats have changed. After a pause without replies all count as changed: this instance may have been cut off or frozen while the
// others sent heartbeats, and would otherwise take its own silence for theirs, reap instances that hold a lease, and confirm a purge that these have not
// applied.
func (d *failureDetector) observe(live []Peer, now time.Time) {
	if now.Sub(d.replied) > d.pause {
		d.heartbeat = nil
	}
	d.live, d.replied = live, now
	before := d.heartbeat
	d.heartbeat = make(map[string]heartbeat, len(live))
	for _, p := range live {
		if p.Name == d.name {
			continue
		}
		h, known := before[p.Name]
		if !known || h.beat != p.Beat {
			h = heartbeat{beat: p.Beat, at: now}
		}
		h.lease = p.Lease
		d.heartbeat[p.Name] = h
	}
}

// suspects reports whether an instance, as a reply lists it, must have lost its lease, of the length that it has itself said. An instance whose Beat is not
// the one that observe has seen has given a sign of life since.
func (d *failureDetector) suspects(p Peer, now time.Time) bool {
	h, watched := d.heartbeat[p.Name]
	return watched && h.beat == p.Beat && now.Sub(h.at) >= invalidation.Timeout(p.lease())
}

// allCountFrom reports whether every heartbeat on the list at the last reply is at least beat. Versions of the program differ in where their heartbeats
// begin to count.
func (d *failureDetector) allCountFrom(beat uint64) bool {
	return !slices.ContainsFunc(d.live, func(p Peer) bool { return p.Beat < beat })
}

// suspected are all instances of the last reply that must have lost their lease.
func (d *failureDetector) suspected(now time.Time) []Peer {
	var suspected []Peer
	for _, p := range d.live {
		if d.suspects(p, now) {
			suspected = append(suspected, p)
		}
	}
	return suspected
}
