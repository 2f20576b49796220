package store

// ghosts remembers, by their hashes, the keys of entries that were evicted lately (the ghost queue of S3-FIFO): if such a key comes again, its entry was
// evicted too early. Two keys with one hash are taken for one, and a key is forgotten early if another takes its slot.
type ghosts struct {
	slots []ghost // their number is a power of two
	seen  uint32  // how many entries were evicted so far, modulo 2^32
}

type ghost struct{ hash, at uint32 }

// leastGhosts is the least number of slots.
const leastGhosts = 1 << 10

// add notes that the entry with a hash was evicted. entries is how many entries the table has; there is a slot for every second one.
func (g *ghosts) add(h uint64, entries int) {
	if len(g.slots) < entries/2 || g.slots == nil {
		n := leastGhosts
		for n < entries/2 {
			n *= 2
		}
		g.slots = make([]ghost, n) // forgets all ghosts; that happens only each time the number of entries has doubled
	}
	g.seen++
	g.slots[h%uint64(len(g.slots))] = ghost{hash: uint32(h >> 32), at: g.seen}
}

// take reports whether the entry with a hash is among the last evicted ones, as many as there are entries, and forgets it.
func (g *ghosts) take(h uint64, entries int) bool {
	if len(g.slots) == 0 {
		return false
	}
	slot := &g.slots[h%uint64(len(g.slots))]
	if slot.at == 0 || slot.hash != uint32(h>>32) || g.seen-slot.at > uint32(entries) {
		return false
	}
	*slot = ghost{}
	return true
}
