package store

import "iter"

// all yields the entries of a table, in the order in which they may have to go.
func (t *table) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for i := range t.queues {
			for e := t.queues[i].last; e != nil; e = e.newer {
				if !yield(e) {
					return
				}
			}
		}
	}
}

func (t *table) check(about string) {
	for e := range t.all() {
		h := t.hash(e.text())
		if t.shard(h).find(h, e.text()) != e {
			panic(about)
		}
	}
}
