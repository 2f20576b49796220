package writebehind

import (
	"slices"
	"time"
)

// Ref identifies a write in a partition.
type Ref struct {
	Entry string // the id of the entry in the stream
	ID    string
	Key   string
}

// lanes holds the writes of one partition in their order. Each key has a lane. Only the first write of a lane may be
// under way. newLanes makes a usable value; the zero value is not usable. lanes is not safe for concurrent use.
type lanes struct {
	byKey map[string]*lane
	ready []string // keys whose first write may begin, in the order in which they became ready
}

type lane struct {
	refs    []Ref
	busy    bool // the first write is under way
	blocked bool // the first write waits for a decision
	queued  bool // the key is in ready
	decided bool // a decision came while the first write was under way
	not     time.Time
}

// newLanes makes lanes without writes.
func newLanes() *lanes { return &lanes{byKey: map[string]*lane{}} }

// add appends a write to the lane of its key, unless the lane has the write.
func (l *lanes) add(r Ref) {
	of := l.byKey[r.Key]
	if of == nil {
		of = &lane{}
		l.byKey[r.Key] = of
	}
	if !slices.ContainsFunc(of.refs, func(known Ref) bool { return known.ID == r.ID }) {
		of.refs = append(of.refs, r)
	}
	l.offer(r.Key, of)
}

func (l *lanes) offer(key string, of *lane) {
	if !of.busy && !of.blocked && !of.queued && len(of.refs) > 0 {
		of.queued = true
		l.ready = append(l.ready, key)
	}
}

// next returns a write to begin at once. The caller ends the write with done, again or block. Without such a write,
// wake is the time at which one may begin; zero: no such time is known.
func (l *lanes) next(now time.Time) (r Ref, ok bool, wake time.Time) {
	for i, key := range l.ready {
		of := l.byKey[key]
		if now.Before(of.not) {
			if wake.IsZero() || of.not.Before(wake) {
				wake = of.not
			}
			continue
		}
		l.ready = slices.Delete(l.ready, i, i+1)
		of.queued, of.busy = false, true
		return of.refs[0], true, time.Time{}
	}
	return Ref{}, false, wake
}

// done removes a write.
func (l *lanes) done(r Ref) {
	of := l.byKey[r.Key]
	if of == nil {
		return
	}
	of.busy, of.blocked, of.decided, of.not = false, false, false, time.Time{}
	of.refs = slices.DeleteFunc(of.refs, func(known Ref) bool { return known.ID == r.ID })
	if len(of.refs) == 0 {
		l.ready = slices.DeleteFunc(l.ready, func(key string) bool { return key == r.Key })
		delete(l.byKey, r.Key)
		return
	}
	l.offer(r.Key, of)
}

// again returns a write to the head of its lane. The write does not begin before at.
func (l *lanes) again(r Ref, at time.Time) {
	if of := l.byKey[r.Key]; of != nil {
		of.busy, of.decided, of.not = false, false, at
		l.offer(r.Key, of)
	}
}

// block keeps the lane from going on until a decision about its first write. If a decision came while the write was
// under way, the lane offers the write once more: the decision is not delivered again.
func (l *lanes) block(r Ref) {
	of := l.byKey[r.Key]
	if of == nil {
		return
	}
	of.busy, of.blocked, of.decided = false, !of.decided, false
	l.offer(r.Key, of)
}

// decide takes in a decision: the write is to be tried again, or was dropped.
func (l *lanes) decide(r Ref, again bool) {
	of := l.byKey[r.Key]
	if of != nil && of.busy && of.refs[0].ID == r.ID {
		of.decided = true
		return
	}
	switch {
	case !again && of != nil && of.refs[0].ID == r.ID:
		l.done(r)
	case !again && of != nil: // the write waits behind others, of which one may be under way or block
		of.refs = slices.DeleteFunc(of.refs, func(known Ref) bool { return known.ID == r.ID })
	case !again:
	case of != nil && of.blocked && of.refs[0].ID == r.ID:
		of.blocked, of.not = false, time.Time{}
		l.offer(r.Key, of)
	default:
		l.add(r)
	}
}
