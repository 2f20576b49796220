package fleet

import "time"

// sighting is when an instance's heartbeat was last seen to change, by the clock of who watches.
type sighting struct {
	beat uint64
	at   time.Time
}

// sight notes whose heartbeats have changed. After a pause in which this instance has heard nothing itself, the silence of the
// others begins anew: they may only not have been heard. The caller holds mu.
func (f *Follower) sight(now time.Time) {
	if now.Sub(f.heard) > f.duration/2 {
		f.seen = nil
	}
	f.heard = now
	before := f.seen
	f.seen = make(map[string]sighting, len(f.peers))
	for _, p := range f.peers {
		if p.Name == f.name {
			continue
		}
		s, known := before[p.Name]
		if !known || s.beat != p.Beat {
			s = sighting{p.Beat, now}
		}
		f.seen[p.Name] = s
	}
}

// Silent are the instances that have not been heard of for longer than they may use copies. They are to be taken off the list,
// if they have not been heard of since: otherwise the next invalidation waits for them, and what all share is shared with them.
func (f *Follower) Silent(now time.Time) []Peer {
	f.mu.RLock()
	defer f.mu.RUnlock()
	var silent []Peer
	for _, p := range f.peers {
		if f.isSilent(p, now) {
			silent = append(silent, p)
		}
	}
	return silent
}

func (f *Follower) silent(p Peer, now time.Time) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.isSilent(p, now)
}

// isSilent is of one instance. The caller holds mu.
func (f *Follower) isSilent(p Peer, now time.Time) bool {
	s, other := f.seen[p.Name]
	return other && s.beat == p.Beat && now.Sub(s.at) >= f.patience()
}
