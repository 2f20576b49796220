package fleet

import (
	"slices"
	"time"

	"cacheproxy/invalidation"
)

// failureDetector tells which instances must have lost their lease (R14). The detector judges by this instance's
// clock alone: the time for which this instance has seen a heartbeat not change. If times counted that other
// instances or the server wrote, the verdict would depend on the difference of two clocks, and after a failover on
// the clock of another server.
//
// Follower.mu guards all fields. Receive writes them, the reapers and the confirmations read them.
type failureDetector struct {
	name  string        // of this instance, which the detector does not watch
	pause time.Duration // without a reply for longer than pause, this instance knows nothing of the others

	live      []Peer // the instances in the last reply
	replied   time.Time
	heartbeat map[string]heartbeat
}

// heartbeat says when this instance last saw the Beat of another change, and which lease the other has told.
type heartbeat struct {
	beat  uint64
	at    time.Time
	lease time.Duration
}

// recall fills in the lease that an instance has told before, where the list tells none. The lease of an instance
// never changes. Without recall a confirmation would wait for that instance by the longest lease that can be
// configured.
func (d *failureDetector) recall(live []Peer) {
	for i, p := range live {
		if p.Lease == 0 {
			live[i].Lease = d.heartbeat[p.Name].lease
		}
	}
}

// observe notes whose heartbeats have changed. After a pause without replies all heartbeats count as changed. This
// instance may have been cut off or frozen while the others went on sending heartbeats. Without that rule this
// instance would take its own silence for theirs, reap instances that hold a lease, and confirm a purge that those
// instances have not applied.
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

// suspects reports whether an instance, as a reply listed it, must have lost its lease, by the length of lease that
// the instance has told. An instance whose Beat differs from the Beat that observe has noted has given a sign of life
// since.
func (d *failureDetector) suspects(p Peer, now time.Time) bool {
	h, watched := d.heartbeat[p.Name]
	return watched && h.beat == p.Beat && now.Sub(h.at) >= invalidation.Timeout(p.lease())
}

// allCountFrom reports whether every heartbeat on the list of the last reply is at least beat. Versions start
// counting at different numbers, so the result tells versions apart.
func (d *failureDetector) allCountFrom(beat uint64) bool {
	return !slices.ContainsFunc(d.live, func(p Peer) bool { return p.Beat < beat })
}

// suspected returns the instances of the last reply that must have lost their lease.
func (d *failureDetector) suspected(now time.Time) []Peer {
	var suspected []Peer
	for _, p := range d.live {
		if d.suspects(p, now) {
			suspected = append(suspected, p)
		}
	}
	return suspected
}
