package invalidation

import (
	"math/rand/v2"
	"testing"
	"time"
)

// model is an obviously right ledger: it remembers every entry for ever.
type model struct{ entries []Entry }

func (m *model) verdict(token Token, ids map[ID]bool) Verdict {
	worst := Valid
	for _, e := range m.entries {
		for _, id := range e.IDs {
			if e.Position <= token.position || !ids[id] {
				continue
			}
			switch e.Operation {
			case InvalidateSoft:
				worst = max(worst, Soft)
			case InvalidateConfirm:
				worst = max(worst, Unconfirmed)
			default:
				worst = Purged
			}
		}
	}
	return worst
}

func (m *model) fenced(ids map[ID]bool) bool {
	for id := range ids {
		open := 0
		for _, e := range m.entries {
			for i, named := range e.IDs {
				switch {
				case named != id:
				case e.Operation == BeginFence:
					open++
				case e.Operation == EndFence && i < e.Fenced:
					open--
				}
			}
		}
		if open > 0 {
			return true
		}
	}
	return false
}

// held is a copy with the time at which it is dead.
type held struct {
	stamp *Stamp
	ids   []ID
	set   map[ID]bool
	until time.Time
}

// fetchUnderWay is a response on its way, to be stored at a later time.
type fetchUnderWay struct {
	token   Token
	started time.Time
}

// world drives a small ledger and the model with the same random events.
type world struct {
	*testing.T
	r       *rand.Rand
	l       *Ledger
	m       model
	now     time.Time
	copies  []*held
	fetches []fetchUnderWay
	open    [][]ID
	refused int // copies that only the floor refused
}

func (w *world) someIDs(most int) []ID {
	n := 1 + w.r.IntN(most)
	set := map[ID]bool{}
	ids := make([]ID, 0, n)
	for range n {
		// Few kinds and few shards, so that marks meet; many members, so that shards overflow.
		id := ID(3+w.r.IntN(2))<<60 | ID(w.r.IntN(40)*shards+w.r.IntN(2))
		if !set[id] {
			set[id] = true
			ids = append(ids, id)
		}
	}
	return ids
}

func (w *world) append(e Entry) {
	e.Position = w.l.Token().position + 1 + uint64(w.r.IntN(3))
	w.m.entries = append(w.m.entries, e)
	w.l.Apply(e, w.now)
}

func (w *world) step() {
	switch p := w.r.IntN(100); {
	case p < 25:
		w.append(Entry{IDs: w.someIDs(3)})
	case p < 32:
		w.append(Entry{Operation: []Operation{InvalidateSoft, InvalidateConfirm}[w.r.IntN(2)], IDs: w.someIDs(2)})
	case p < 36 && len(w.open) < 3:
		ids := w.someIDs(2)
		w.open = append(w.open, ids)
		w.append(Entry{Operation: BeginFence, IDs: ids})
	case p < 42 && len(w.open) > 0:
		ids := w.open[0]
		w.open = w.open[1:]
		w.append(Entry{Operation: EndFence, IDs: append(append([]ID(nil), ids...), w.someIDs(2)...), Fenced: len(ids)})
	case p < 58:
		w.fetches = append(w.fetches, fetchUnderWay{w.l.Token(), w.now})
	case p < 75:
		w.land()
	case p < 97:
		w.checkOne()
	default:
		w.now = w.now.Add(time.Duration(w.r.Int64N(int64(MaxFill))))
	}
}

// land stores a response as a caller has to: retain first, then ask.
func (w *world) land() {
	if len(w.fetches) == 0 {
		return
	}
	i := w.r.IntN(len(w.fetches))
	f := w.fetches[i]
	w.fetches = append(w.fetches[:i], w.fetches[i+1:]...)
	if w.now.Sub(f.started) > MaxFill {
		return
	}
	c := &held{stamp: stamped(f.token), ids: w.someIDs(4), set: map[ID]bool{}}
	for _, id := range c.ids {
		c.set[id] = true
	}
	keep := time.Duration(w.r.Int64N(int64(40 * time.Minute)))
	c.until = w.now.Add(keep)
	w.l.Retain(keep)
	want := w.m.verdict(f.token, c.set) == Valid && !w.m.fenced(c.set)
	switch got := w.l.Admits(f.token, c.ids); {
	case got && !want:
		w.Fatalf("admitted a response at position %d that the model refuses", f.token.position)
	case got:
		w.copies = append(w.copies, c)
	case want && f.token.position >= w.l.floor.Load():
		w.Fatalf("refused a response at position %d, floor %d, that the model admits", f.token.position, w.l.floor.Load())
	}
	if !w.l.Since(f.token, c.ids) && w.m.verdict(f.token, c.set) != Valid {
		w.Fatalf("Since denies an invalidation after %d", f.token.position)
	}
}

func (w *world) checkOne() {
	if len(w.copies) == 0 {
		return
	}
	i := w.r.IntN(len(w.copies))
	c := w.copies[i]
	if !w.now.Before(c.until) {
		w.copies = append(w.copies[:i], w.copies[i+1:]...)
		return
	}
	seen := c.stamp.checked.Load()
	got, want := w.l.Check(c.stamp, c.ids), w.m.verdict(c.stamp.token, c.set)
	usable := func(v Verdict) bool { return v <= Unconfirmed }
	switch {
	case got == want:
	case usable(want) && got == Purged && seen < w.l.floor.Load():
		w.refused++
	case want == Purged && got == Fenced && w.m.fenced(c.set):
	default:
		w.Fatalf("copy at position %d, checked up to %d: %v, the model says %v (floor %d)",
			c.stamp.token.position, seen, got, want, w.l.floor.Load())
	}
}

// The ledger forgets marks by age and by the floor. Against a memory of everything, it never accepts what that refuses, and
// refuses more only below the floor.
func TestLedgerAgainstModel(t *testing.T) {
	runs := 60
	if raceEnabled {
		runs = 6
	}
	pruned, refused := 0, 0
	for seed := range uint64(runs) {
		w := &world{T: t, r: rand.New(rand.NewPCG(seed, 7)), l: aimed(), now: epoch}
		small := seed%2 == 0
		if small {
			w.l.limit = 24 // overflows: the floor rises
		}
		for i := range w.l.shards {
			w.l.shards[i].sweep = 8
		}
		for range 3000 {
			w.step()
			// The real sweep comes only after a thousand marks.
			for i := range w.l.shards[:2] {
				w.l.shards[i].sweep = min(w.l.shards[i].sweep, 8+w.r.IntN(60))
			}
		}
		if !small && w.l.floor.Load() != 0 {
			t.Fatalf("seed %d: the floor rose to %d although there was room", seed, w.l.floor.Load())
		}
		if named := w.named(); w.l.Marks() < named && !small {
			pruned++
		}
		refused += w.refused
	}
	if pruned == 0 || refused == 0 {
		t.Errorf("marks were pruned by age in %d runs, copies refused by the floor %d times: the test tests nothing", pruned, refused)
	}
}

func (w *world) named() int {
	all := map[ID]bool{}
	for _, e := range w.m.entries {
		for _, id := range e.IDs {
			all[id] = true
		}
	}
	return len(all)
}
