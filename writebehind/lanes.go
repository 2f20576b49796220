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

// Lanes are the writes of one partition in their order: each key has a lane, of which only the first may go, and only one at a time. The
// zero value is not ready; NewLanes is. It is for one goroutine.
type Lanes struct {
	lanes map[string]*lane
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

// NewLanes is without any write.
func NewLanes() *Lanes { return &Lanes{lanes: map[string]*lane{}} }

// Add takes in a write that came after all of its key, unless it is there.
func (l *Lanes) Add(r Ref) {
	of := l.lanes[r.Key]
	if of == nil {
		of = &lane{}
		l.lanes[r.Key] = of
	}
	if !slices.ContainsFunc(of.refs, func(known Ref) bool { return known.ID == r.ID }) {
		of.refs = append(of.refs, r)
	}
	l.offer(r.Key, of)
}

func (l *Lanes) offer(key string, of *lane) {
	if !of.busy && !of.blocked && !of.queued && len(of.refs) > 0 {
		of.queued = true
		l.ready = append(l.ready, key)
	}
}

// Next is the write to begin now, which Done, Again or Block ends. wake is when to ask again where there is none yet; zero: no time is known.
func (l *Lanes) Next(now time.Time) (r Ref, ok bool, wake time.Time) {
	for i, key := range l.ready {
		of := l.lanes[key]
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

// Done ends a write for good.
func (l *Lanes) Done(r Ref) {
	of := l.lanes[r.Key]
	if of == nil {
		return
	}
	of.busy, of.blocked, of.decided, of.not = false, false, false, time.Time{}
	of.refs = slices.DeleteFunc(of.refs, func(known Ref) bool { return known.ID == r.ID })
	if len(of.refs) == 0 {
		l.ready = slices.DeleteFunc(l.ready, func(key string) bool { return key == r.Key })
		delete(l.lanes, r.Key)
		return
	}
	l.offer(r.Key, of)
}

// Again puts a write back to the head of its lane, not to begin before a time.
func (l *Lanes) Again(r Ref, at time.Time) {
	if of := l.lanes[r.Key]; of != nil {
		of.busy, of.decided, of.not = false, false, at
		l.offer(r.Key, of)
	}
}

// Block keeps the lane until somebody has decided about its first. Where that has happened since it was found to block, it is looked at
// once more: the word of the decision came first, and does not come again.
func (l *Lanes) Block(r Ref) {
	of := l.lanes[r.Key]
	if of == nil {
		return
	}
	of.busy, of.blocked, of.decided = false, !of.decided, false
	l.offer(r.Key, of)
}

// Decided takes in that somebody has: the write is to be tried again, or is gone.
func (l *Lanes) Decided(r Ref, again bool) {
	of := l.lanes[r.Key]
	if of != nil && of.busy && of.refs[0].ID == r.ID {
		of.decided = true
		return
	}
	switch {
	case !again && of != nil && of.blocked:
		l.Done(r)
	case !again:
	case of != nil && of.blocked && of.refs[0].ID == r.ID:
		of.blocked, of.not = false, time.Time{}
		l.offer(r.Key, of)
	default:
		l.Add(r)
	}
}

// Busy is how many are under way.
func (l *Lanes) Busy() (n int) {
	for _, of := range l.lanes {
		if of.busy {
			n++
		}
	}
	return n
}
