package writebehind

import (
	"slices"
	"time"
)

// Ref names a write in a partition.
type Ref struct {
	Entry string // of the stream
	ID    string
	Key   string
}

// lanes are the writes of one partition in their order: each key has a lane, of which only the first may go, and only one at a time. The
// zero value is not ready; newLanes is. It is for one goroutine.
type lanes struct {
	byKey map[string]*lane
	ready []string // keys whose first may go, in the order in which they became so
}

type lane struct {
	refs    []Ref
	busy    bool // the first is under way
	blocked bool // the first waits for somebody to decide
	queued  bool // in ready
	decided bool // somebody has, while the first was under way
	not     time.Time
}

// newLanes is without any write.
func newLanes() *lanes { return &lanes{byKey: map[string]*lane{}} }

// add takes in a write that came after all of its key, unless it is there.
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

// next is the write to begin now, which Done, Again or Block ends. wake is when to ask again where there is none yet; zero: no time is known.
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

// done ends a write for good.
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

// again puts a write back to the head of its lane, not to begin before a time.
func (l *lanes) again(r Ref, at time.Time) {
	if of := l.byKey[r.Key]; of != nil {
		of.busy, of.decided, of.not = false, false, at
		l.offer(r.Key, of)
	}
}

// block keeps the lane until somebody has decided about its first. Where that has happened since it was found to block, it is looked at
// once more: the word of the decision came first, and does not come again.
func (l *lanes) block(r Ref) {
	of := l.byKey[r.Key]
	if of == nil {
		return
	}
	of.busy, of.blocked, of.decided = false, !of.decided, false
	l.offer(r.Key, of)
}

// decide takes in that somebody has: the write is to be tried again, or is gone.
func (l *lanes) decide(r Ref, again bool) {
	of := l.byKey[r.Key]
	if of != nil && of.busy && of.refs[0].ID == r.ID {
		of.decided = true
		return
	}
	switch {
	case !again && of != nil && of.refs[0].ID == r.ID:
		l.done(r)
	case !again && of != nil: // it waits behind others, of which one may be under way or block
		of.refs = slices.DeleteFunc(of.refs, func(known Ref) bool { return known.ID == r.ID })
	case !again:
	case of != nil && of.blocked && of.refs[0].ID == r.ID:
		of.blocked, of.not = false, time.Time{}
		l.offer(r.Key, of)
	default:
		l.add(r)
	}
}
