package invalidation

import (
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy"
)

// Crowd decides which of the names that come with writes may have marks of their own in a ledger. Anybody can write to any number of
// URLs, each of which is a name; a full ledger gives up its oldest marks, and all copies from before them become unusable. So names
// that crowd the ledger are coarsened before they are written to the log: in the place of URLs below a prefix the writer names the
// prefix, which costs the copies below it and no others. The ledger's floor stays for all that has no wider name, such as keys and
// tags.
//
// A wider name is allowed as many marks of its own as there is room for yet, three quarters of the ledger less what it holds. Shared
// buffers of switches are divided by that rule (Choudhury and Hahne, Dynamic Queue Length Thresholds, 1998): one that grows finds half
// of the room, and n that grow, prefixes or instances, find n/(n+1) of it and never all. So there is no number of instances to be
// configured, and 190,000 URLs of one prefix, written by any number of instances, stay exact where nothing else is written: what has a
// mark already adds none, whoever has set it.
//
// The writer coarsens and not the reader, who knows a hash of each name: neither the log's entries nor the marks on a server grow with
// the writes, and instances of other versions take part unknowing. The wider name has to find each copy that the name finds,
// whatever configuration its instance has: so it is one that a copy bears by its URL alone.
//
// It is safe for concurrent use.
type Crowd struct {
	ledger *Ledger

	mu    lockorder.Mutex[lockorder.Crowd]
	began time.Time // when the marks began that now counts
	// now and before have for each wider name how many marks were set in its place, of which those in before may be gone. There are
	// as many as a configuration has prefixes and hosts.
	now, before map[ID]int
}

// NewCrowd makes one for the names that an instance writes to a ledger's log.
func NewCrowd(l *Ledger) *Crowd { return &Crowd{ledger: l, now: map[ID]int{}} }

// Admits reports whether a name may be written as it is, and not as the wider one.
func (c *Crowd) Admits(name, wider policy.Member, now time.Time) bool {
	if _, marked := c.ledger.mark(IDOf(name)); marked {
		return true
	}
	id, room := IDOf(wider), c.ledger.room()
	c.mu.Lock()
	defer c.mu.Unlock()
	if now.Sub(c.began) > c.ledger.kept() {
		c.began, c.before, c.now = now, c.now, map[ID]int{}
	}
	if c.now[id]+c.before[id] >= room {
		return false
	}
	c.now[id]++
	return true
}

// room is how many more marks the ledger takes before those of writes would come into the quarter that is for others. What falls
// unevenly into the shards has its place there.
func (l *Ledger) room() int { return l.limit*shards/4*3 - int(l.count.Load()) }
