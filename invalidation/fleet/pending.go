package fleet

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"

	"github.com/cespare/xxhash/v2"
)

// maxPending bounds the entries that wait to be written. Beyond maxPending one entry replaces all of them, by which
// everything has to be confirmed.
const maxPending = 1 << 16

// pendingEntries are the entries that this instance has to write to the log, unless another instance does so first.
// Each entry has a key (Record.Repeats). Every instance with the same reason to write the entry derives the same key:
// the first entry with that key in the log settles the matter for all. An entry stays pending until the log brings it
// back, since the server may lose what was sent.
//
// Follower.mu guards all fields. The goroutine that follows the log and those that serve requests write them.
type pendingEntries struct {
	salt  uint64 // random number of this instance; see ownKey
	byKey map[uint64]*pendingEntry
}

type pendingEntry struct {
	record invalidation.Record
	due    time.Time
	owed   bool // no other instance may know of the entry: no lease before the log has it (R12)
}

// add has an entry written at due, and again until the entry comes back in the log.
func (p *pendingEntries) add(key uint64, r invalidation.Record, due time.Time, owed bool) {
	if len(p.byKey) >= maxPending {
		// The entries that went may have been owed and due now, whatever the entry is that came last. Notices are few, and
		// no invalidation stands in for one.
		maps.DeleteFunc(p.byKey, func(_ uint64, e *pendingEntry) bool { return e.record.Operation != invalidation.Announce })
		due, owed = time.Time{}, true
		if r.Operation == invalidation.Announce {
			p.put(key, r, due, owed)
		}
		key, r = p.ownKey(0, "everything"), invalidation.Record{Operation: invalidation.InvalidateConfirm, IDs: []invalidation.ID{allID}}
	}
	p.put(key, r, due, owed)
}

func (p *pendingEntries) put(key uint64, r invalidation.Record, due time.Time, owed bool) {
	r.Seq, r.Nonce, r.Repeats = 0, 0, key
	p.byKey[key] = &pendingEntry{record: r, due: due, owed: owed}
}

// owes reports whether an owed entry is pending.
func (p *pendingEntries) owes() bool {
	for _, e := range p.byKey {
		if e.owed {
			return true
		}
	}
	return false
}

// observe removes the pending entries that an entry of the log settles, and adds the repetition that the entry asks
// for (Record.Settle).
func (p *pendingEntries) observe(r invalidation.Record, now time.Time) {
	delete(p.byKey, r.Nonce)
	if r.Repeats != 0 {
		delete(p.byKey, r.Repeats)
	}
	if r.Operation == invalidation.EndFence {
		delete(p.byKey, expiryKey(r.Fence))
	}
	if r.Settle > 0 && r.Operation != invalidation.Announce {
		op := r.Operation
		if op == invalidation.BeginFence || op == invalidation.EndFence {
			op = invalidation.Invalidate
		}
		key := keyOf(r.Nonce, "settle")
		p.add(key, invalidation.Record{Operation: op, IDs: r.IDs, Older: r.Older, Spared: r.Spared}, now.Add(r.Settle+p.jitter(key)), false)
	}
}

// take appends the entries that are due, until due holds most records. Each entry is due again after resendAfter.
func (p *pendingEntries) take(due []invalidation.Record, most int, now time.Time) []invalidation.Record {
	for _, key := range slices.Sorted(maps.Keys(p.byKey)) {
		if len(due) >= most {
			break
		}
		if e := p.byKey[key]; !now.Before(e.due) {
			e.due = now.Add(resendAfter)
			due = append(due, e.record)
		}
	}
	return due
}

// ownKey derives a key that no other instance derives.
func (p *pendingEntries) ownKey(of uint64, why string) uint64 { return keyOf(of^p.salt, why) }

// jitter returns this instance's delay, up to 400 ms, before an entry that several instances would write. Delays
// differ between instances, so that the first to write spares the others.
func (p *pendingEntries) jitter(key uint64) time.Duration {
	return time.Duration(p.ownKey(key, "stagger")%400) * time.Millisecond
}

// keyOf derives a key that every instance derives alike. Instances of other versions have to derive the same key: the
// words in why are part of the protocol.
func keyOf(of uint64, why string) uint64 {
	return xxhash.Sum64String(string(binary.BigEndian.AppendUint64(nil, of)) + why)
}

// expiryKey returns the key under which an instance writes the end of a fence whose writer has died.
func expiryKey(fence uint64) uint64 { return keyOf(fence, "expiry") }

// Queue has an entry written as soon as the server can be reached, under a key that no other entry has. The caller
// has applied the entry with ApplyLocally.
func (f *Follower) Queue(key uint64, r invalidation.Record, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pending.add(key, r, now, true)
}

// Due returns the records to be written at now: renewals of this instance's fences, entries that were lost or queued,
// repetitions, and the ends of fences whose writer has died. All renewals come first; the other records fill the
// result up to most records. The driver draws a nonce for each. A record that does not come back in the log is handed
// out again.
func (f *Follower) Due(most int, now time.Time) []invalidation.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := f.fences.renewals(f.limits.fenceLife, now)
	for _, end := range f.fences.expired(now) {
		if key := expiryKey(end.Fence); f.pending.byKey[key] == nil {
			f.pending.add(key, end, now.Add(f.pending.jitter(key)), false)
		}
	}
	return f.pending.take(due, most, now)
}
