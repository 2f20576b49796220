package invalidation

import (
	"time"

	"cacheproxy/lockorder"
	"cacheproxy/policy"
)

// Crowd decides which of the names that come with writes may have marks of their own in a ledger. Anybody can write
// to any number of URLs, each of which is a name. A full ledger gives up its oldest marks, and all copies from before
// those marks become unusable. So an instance coarsens names that crowd the ledger before the instance writes them to
// the log: in the place of URLs below a prefix the writer names the prefix, which costs the copies below the prefix
// and no others. The ledger's floor remains the bound for names that have no wider name, such as keys and tags.
//
// A wider name may have as many marks set in its place as the ledger has room for yet: three quarters of the ledger,
// less the marks that the ledger holds. Shared buffers of switches are divided by the same rule (Choudhury and Hahne,
// Dynamic Queue Length Thresholds, 1998): one prefix that grows gets half of the room. n prefixes or instances that
// grow get n/(n+1) of the room and never all of it. So nobody has to configure the number of instances. Up to 190,000
// URLs of one prefix, written by any number of instances, stay exact where nothing else is written: a name that has a
// mark already adds none, whichever instance has set the mark.
//
// The writer of an entry coarsens names, and not the reader, who knows only a hash of each name. So neither the log's
// entries nor the marks on a server grow with the writes, and instances of other versions need not know of the
// coarsening. The wider name has to find each copy that the name finds, whatever configuration the instance of the
// copy has. A copy therefore bears the wider name by its URL alone.
//
// A Crowd is safe for concurrent use.
type Crowd struct {
	ledger *Ledger

	mu    lockorder.Mutex[lockorder.Crowd]
	began time.Time // when the count in now began
	// now and before count for each wider name the marks that were set in its place. The ledger may have dropped
	// marks that before counts. Each map has at most as many keys as a configuration has prefixes and hosts.
	now, before map[ID]int
}

// NewCrowd makes a Crowd for the names that an instance writes to a ledger's log.
func NewCrowd(l *Ledger) *Crowd { return &Crowd{ledger: l, now: map[ID]int{}} }

// Admits reports whether a record may contain name itself. On false the writer uses wider in its place.
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

// room returns how many more marks the ledger takes before the marks of writes would enter the quarter that is kept
// for others. That quarter also takes up the uneven distribution of marks over the shards.
func (l *Ledger) room() int { return l.limit*shards/4*3 - int(l.count.Load()) }
