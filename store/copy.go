package store

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"cacheproxy/invalidation"
	"cacheproxy/policy/httpcache"

	"github.com/cespare/xxhash/v2"
)

// Copy is a stored response, and a handle to its bytes: see the package's contract on references. It is made in Go's memory, where
// whoever makes it says what it is good for. A Store packs what it is given into memory that is not Go's: there nothing but Use and Stamp
// changes, and all may be read at the same time.
type Copy struct {
	Status int
	Stamp  invalidation.Stamp
	// Digest is a hash of status and body, to tell whether a later answer differs.
	Digest uint64
	// Use counts reads and guards renewal. Requests write it while others read.
	Use Use

	// references counts those who may read the bytes: everybody who has taken one, and every key under which the copy is stored. It
	// stands beside Use, which a hit writes to as well.
	references atomic.Int32
	// serial tells stored copies apart; 0: it was not stored yet. A copy that is packed has that of the one it was made from.
	serial atomic.Uint32

	packed packed // of a copy that is packed
	// made is what a copy in Go's memory consists of. Those that are packed in one heap have one in common, which says where they are.
	made *made
}

// made is a copy in Go's memory.
type made struct {
	life    httpcache.Lifetime
	vary    []string
	asked   string
	members []invalidation.ID
	head    string
	body    []byte
	coded   *coded // nil: the body is as it came
	base    *Copy  // has the body, where it is not this one; this one has a reference to it

	room *room // not nil: the copies that point here are packed in it, and the rest is empty
}

// Life is for how long the copy may be used.
func (c *Copy) Life() httpcache.Lifetime {
	if c.made.room == nil {
		return c.made.life
	}
	return c.packed.lifetime(c)
}

// Vary names the request header fields that selected this copy, canonical and sorted. It must not be written to.
func (c *Copy) Vary() []string {
	if r := c.made.room; r != nil {
		return r.lists.at(c.packed.vary)
	}
	return c.made.vary
}

// Asked is what the request that fetched the copy said of the answer that it wants, as httpcache.Negotiation writes it: a renewal
// says the same. Empty: it said nothing, or that is not known. It is a view.
func (c *Copy) Asked() string {
	if c.made.room == nil {
		return c.made.asked
	}
	return c.packed.asked(c)
}

// Members are the names of the copy, sorted, as Ledger.Check wants them. It is a view, and must not be written to.
func (c *Copy) Members() []invalidation.ID {
	if c.made.room == nil {
		return c.made.members
	}
	return c.packed.members(c)
}

// Head is the header section ready to write: "Name: value\r\n" for each field line, in canonical case and sorted by name, without those
// that differ from answer to answer (Age, Cache-Status, Connection). It is a view.
func (c *Copy) Head() string {
	if c.made.room == nil {
		return c.made.head
	}
	return c.packed.head(c)
}

// Body is the response's, unless Coding says that it is held in another form than the header describes. It is a view, and must not be
// written to.
func (c *Copy) Body() []byte {
	if c.made.room == nil {
		return c.made.body
	}
	return c.packed.body(c)
}

// SetLife says for how long a copy may be used that was not handed to a Store yet. So do the following for what they name; the copy
// keeps what they are given, which is not written to afterwards.
func (c *Copy) SetLife(life httpcache.Lifetime) { c.own().life = life }

// SetVary sets Vary.
func (c *Copy) SetVary(names []string) { c.own().vary = names }

// SetAsked sets Asked.
func (c *Copy) SetAsked(text string) { c.own().asked = text }

// SetMembers sets Members.
func (c *Copy) SetMembers(ids []invalidation.ID) { c.own().members = ids }

// own is what a copy consists of that was not packed.
func (c *Copy) own() *made {
	if c.made.room != nil {
		panic("store: a copy is changed that is stored")
	}
	return c.made
}

// same reports whether two copies are one, of which the store has a packed one.
func (c *Copy) same(other *Copy) bool {
	if c == other || c == nil || other == nil {
		return c == other
	}
	n := c.serial.Load()
	return n != 0 && n == other.serial.Load() && c.Digest == other.Digest // numbers come again after four billion copies
}

// serials is the last one that was given out.
var serials atomic.Uint32

// number gives a copy its serial number if it has none.
func (c *Copy) number() {
	if c.serial.Load() == 0 {
		c.serial.CompareAndSwap(0, max(serials.Add(1), 1))
	}
}

// Use is what happens to a copy while it is stored.
type Use struct {
	Hits     atomic.Uint32 // reads since it was stored; saturates
	Renewing atomic.Bool   // a renewal is queued or running
	Failures atomic.Uint32 // times that the origin failed to give the copy anew; when it succeeds, that makes another copy

	read     atomic.Int64  // Unix ns of the last read of this copy, or of one that it has replaced; 0: none
	notUntil atomic.Int64  // Unix ns before which the origin is not asked, after it failed
	failing  atomic.Bool   // the last failure was an error for which a copy may be served
	outdated atomic.Bool   // the origin has said that it is not fresh any more
	round    atomic.Uint32 // of Store.Rewarm, in which it was last given to the tiers below memory, or came from there
}

// NewCopy seals a response: header is what policy keeps of the origin's, and neither it nor body is written to afterwards by the
// caller, who has a reference to the copy.
func NewCopy(status int, header http.Header, body []byte) *Copy {
	c := &Copy{Status: status, Digest: digest(status, body), made: &made{head: headOf(header)}}
	return c.begin(body[:len(body):len(body)])
}

// WithHeader makes a copy of the same body with another header section, as after a 304 (RFC 9111 §4.3.4). The caller must have a
// reference to the first, and has one to the second.
func (c *Copy) WithHeader(header http.Header) *Copy {
	n := &Copy{Status: c.Status, Digest: c.Digest, made: &made{vary: c.Vary(), asked: strings.Clone(c.Asked()), head: headOf(header)}}
	if c.Coding() != httpcache.Identity {
		n.made.coded = &coded{coding: c.Coding(), length: c.Length()}
	}
	return n.share(c)
}

func digest(status int, body []byte) uint64 { return xxhash.Sum64(body) ^ uint64(status) }

// Digest is the digest that a copy of this status and body would have.
func Digest(status int, body []byte) uint64 { return digest(status, body) }

// Hit counts a read at a time and says the number of reads so far.
func (u *Use) Hit(now time.Time) uint32 {
	u.read.Store(now.UnixNano())
	n := u.Hits.Load()
	if n == ^uint32(0) {
		return n
	}
	return u.Hits.Add(1)
}

// Outdate makes the copy stale, if it is not so already.
func (u *Use) Outdate() { u.outdated.Store(true) }

// Fail notes that the origin failed to give the copy anew, and has it left alone for as long as pause says after that many failures in
// a row. All who waited for one answer may note it: it counts once. standsIn says that it was an error for which a copy may be served.
func (u *Use) Fail(now time.Time, standsIn bool, pause func(failures uint32) time.Duration) {
	until, failures := u.notUntil.Load(), u.Failures.Load()+1
	if now.UnixNano() >= until && u.notUntil.CompareAndSwap(until, now.Add(pause(failures)).UnixNano()) {
		u.Failures.Store(failures)
		u.failing.Store(standsIn)
	} else if standsIn {
		u.failing.Store(true)
	}
}

// Failing reports whether the copy, where it may stand in for the origin, is to do so without asking first: the origin failed and is
// left alone, or somebody else is asking it again.
func (u *Use) Failing(now time.Time) bool {
	return u.failing.Load() && (now.UnixNano() < u.notUntil.Load() || u.Renewing.Load())
}

// StartRenewal reports whether the caller may renew the copy now; it then must call EndRenewal.
func (u *Use) StartRenewal(now time.Time) bool {
	return now.UnixNano() >= u.notUntil.Load() && u.Renewing.CompareAndSwap(false, true)
}

// EndRenewal lets the next renewal start, after the pause.
func (u *Use) EndRenewal(now time.Time, pause time.Duration) {
	if pause > 0 {
		u.notUntil.Store(now.Add(pause).UnixNano())
	}
	u.Renewing.Store(false)
}

// Sizes of what the memory tier holds around an item in Go's memory.
const (
	copyOverhead  = 512
	otherOverhead = 120
)

// Above largeObject the allocator gives whole pages; below it, sizes in classes that waste a sixteenth on average.
const (
	largeObject = 32 << 10
	heapPage    = 8 << 10
)

// allocated is what n bytes take on the heap.
func allocated(n int) int {
	if n <= largeObject {
		return n + n/16
	}
	return (n + heapPage - 1) / heapPage * heapPage
}

// cost is that of a copy in Go's memory, as Parts have one. Nothing else that is stored is there.
func (c *Copy) cost() int {
	n := copyOverhead + len(c.Head()) + len(c.Asked()) + allocated(len(c.Body())) + 8*cap(c.Members())
	for _, v := range c.Vary() {
		n += 16 + len(v)
	}
	return n
}
