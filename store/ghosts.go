package store

// ghosts remembers the keys of entries that have left lately, by their hashes: one that comes again was let go of too early. A key may be
// taken for another that shares its hash, and be forgotten early where two share a place.
type ghosts struct {
	slots []ghost // as many as a power of two
	seen  uint32  // how many have left, modulo 2^32
}

type ghost struct{ hash, at uint32 }

// leastGhosts is how many places there are at the least.
const leastGhosts = 1 << 10

// add notes that an entry has left, of which there are so many others. There is a place for every second one.
func (g *ghosts) add(h uint64, entries int) {
	if len(g.slots) < entries/2 || g.slots == nil {
		n := leastGhosts
		for n < entries/2 {
			n *= 2
		}
		g.slots = make([]ghost, n) // what was remembered is forgotten, which happens each time that there are twice as many
	}
	g.seen++
	g.slots[h%uint64(len(g.slots))] = ghost{hash: uint32(h >> 32), at: g.seen}
}

// take reports whether an entry has left among the last ones, as many as there are, and forgets it.
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
