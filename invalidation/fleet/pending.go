package fleet

import (
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"cacheproxy/invalidation"

	"github.com/cespare/xxhash/v2"
)

// maxPending bounds the entries that wait to be written. Beyond it they become one that invalidates everything.
const maxPending = 1 << 16

// pending is an entry that is to be written to the log unless another instance does so first.
type pending struct {
	record invalidation.Record
	due    time.Time
	// owed entries make up for what others have not heard of yet: no lease is taken before they are in the log.
	owed bool
}

// owe has an entry written, and again until it comes back in the log. The caller holds mu.
func (f *Follower) owe(key uint64, r invalidation.Record, due time.Time, owed bool) {
	if len(f.pending) >= maxPending {
		clear(f.pending)
		key, r = f.spread(0, "everything"), invalidation.Record{Operation: invalidation.Invalidate, IDs: []invalidation.ID{allID}}
	}
	r.Seq, r.Nonce, r.Repeats = 0, 0, key
	f.pending[key] = &pending{record: r, due: due, owed: owed}
}

// owes reports whether entries wait to be written that nobody else may know of.
func (f *Follower) owes() bool {
	for _, p := range f.pending {
		if p.owed {
			return true
		}
	}
	return false
}

// Queue has an entry written as soon as the log can be reached, under a key that nothing else has. It was applied here already.
func (f *Follower) Queue(key uint64, r invalidation.Record, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.owe(key, r, now, true)
}

// Hold makes this instance the one that keeps a fence standing until it calls Abandon, or ends it. The fence must have been
// applied.
func (f *Follower) Hold(fence uint64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if s := f.fences[fence]; s != nil {
		s.renew = now.Add(FenceLife / 3)
	}
}

// Abandon leaves a fence to end by itself after hold.
func (f *Follower) Abandon(fence uint64, hold time.Duration, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.fences[fence]
	if s == nil {
		return
	}
	s.renew = time.Time{}
	f.owe(f.spread(fence, "abandon"), invalidation.Record{Operation: invalidation.BeginFence, IDs: s.ids, Fence: fence, Life: hold}, now, false)
}

// followUp takes note of what a record settles, and of what it asks for later. The caller holds mu.
func (f *Follower) followUp(r invalidation.Record, now time.Time) {
	delete(f.pending, r.Nonce)
	if r.Repeats != 0 {
		delete(f.pending, r.Repeats)
	}
	if r.Operation == invalidation.EndFence {
		delete(f.pending, f.expiry(r.Fence))
	}
	if r.Settle > 0 && r.Operation != invalidation.Announce {
		op := r.Operation
		if op != invalidation.InvalidateSoft {
			op = invalidation.Invalidate
		}
		key := f.key(r.Nonce, "settle")
		f.owe(key, invalidation.Record{Operation: op, IDs: r.IDs}, now.Add(r.Settle+f.stagger(key)), false)
	}
}

// Due are records to be written now, as many as asked for: what was lost or queued, what has to be repeated, and fences to be
// renewed or to be ended in place of a writer that has died. They are handed out again after a while unless they come back in
// the log.
func (f *Follower) Due(most int, now time.Time) []invalidation.Record {
	f.mu.Lock()
	defer f.mu.Unlock()
	due := f.dueFences(now)
	for _, key := range slices.Sorted(maps.Keys(f.pending)) {
		if len(due) >= most {
			break
		}
		if p := f.pending[key]; !now.Before(p.due) {
			p.due = now.Add(resendAfter)
			due = append(due, p.record)
		}
	}
	return due
}

// dueFences are the renewals of fences that are due. It notes which fences have to be ended.
func (f *Follower) dueFences(now time.Time) (due []invalidation.Record) {
	for _, id := range slices.Sorted(maps.Keys(f.fences)) {
		s := f.fences[id]
		switch {
		case !s.renew.IsZero():
			if !now.Before(s.renew) {
				s.renew = now.Add(FenceLife / 3)
				due = append(due, invalidation.Record{Operation: invalidation.BeginFence, IDs: s.ids, Fence: id, Life: FenceLife})
			}
		case !now.Before(s.until):
			key := f.expiry(id)
			if f.pending[key] == nil {
				f.owe(key, invalidation.Record{Operation: invalidation.EndFence, IDs: s.ids, Fence: id}, now.Add(f.stagger(key)), false)
			}
		}
	}
	return due
}

// expiry is the number under which the end of a fence is written whose writer has died.
func (f *Follower) expiry(fence uint64) uint64 { return f.key(fence, "expiry") }

// key derives a number that every instance derives alike.
func (f *Follower) key(of uint64, why string) uint64 {
	return xxhash.Sum64String(string(binary.BigEndian.AppendUint64(nil, of)) + why)
}

// spread derives a number of this instance's own.
func (f *Follower) spread(of uint64, why string) uint64 { return f.key(of^f.salt, why) }

// stagger is how much later than another instance this one does what each would do: the first to do it spares the others.
func (f *Follower) stagger(key uint64) time.Duration {
	return time.Duration(f.spread(key, "stagger")%400) * time.Millisecond
}
